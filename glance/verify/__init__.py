"""Comparing the catalogue with what the stores really hold."""
