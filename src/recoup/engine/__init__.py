"""Carries decisions out: receives, charges, reconciles, speaks, operates."""
