"""Speed and memory, each beside its bare limit in the same run."""
