"""Revisions of what this service adds to the catalogue."""
