"""Metadata definitions: which properties there are for images, volumes, flavors and so on."""
