"""Recoup: a self-hosted dunning engine."""

__version__ = "0.1.0"
