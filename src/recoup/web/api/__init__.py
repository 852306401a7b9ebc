"""The operations of the JSON API, by area."""
