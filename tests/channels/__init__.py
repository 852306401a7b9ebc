"""Tests of the channels floor, against real servers and the standard library's own parsers."""
