"""Tests of the doors: API, webhooks, pages."""
