"""Declares the storage drivers to ``twisted.plugin``; the drivers are imported when used."""

from glance.stores.drivers import BUILT_IN

file_store = BUILT_IN["file"]
http_store = BUILT_IN["http"]
