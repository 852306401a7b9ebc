"""Experiments: assignment, statistics, the registry, and what they do to cases."""
