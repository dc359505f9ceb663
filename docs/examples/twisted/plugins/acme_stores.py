"""Declares the driver to ``twisted.plugin``; its module is imported when a store is made."""

from glance.stores.drivers import LazyFactory

memory_store = LazyFactory("memory", "acme.memory_store")
