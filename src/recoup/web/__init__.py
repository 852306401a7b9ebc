"""Webhook doors, JSON API, dashboard and hosted pages."""
