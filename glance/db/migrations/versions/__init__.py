"""Revision files, one directory a chain; alembic loads them by path."""
