"""Worlds to try policies in, models that learn, estimates from logs."""
