"""What happened and what it is worth: metrics, checks, experiments, forecast."""
