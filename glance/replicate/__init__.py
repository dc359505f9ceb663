"""Copying images between image services, and between a service and a directory."""
