"""Tests of what people read and count."""
