"""Calls to other houses over HTTP: what was never sent is told apart from what was sent and not answered."""
