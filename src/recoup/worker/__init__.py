"""Polls, claims, acts, speaks, rests."""
