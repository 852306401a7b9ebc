"""Simulations: worlds, lives, rivals, and what they come to."""
