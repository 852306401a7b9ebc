"""One payment provider, one file, one mapping table."""
