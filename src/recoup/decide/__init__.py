"""Pure decisions: what to do about a case, at which instant, and why."""
