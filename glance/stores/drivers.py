"""Finds the storage drivers: ours in a table, others through ``twisted.plugin``.

The plugin lookup reads every plugin module of the installation when its cache is stale, so it is
asked only about a driver that the table does not know.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer

from glance.stores.interfaces import IStoreFactory


@implementer(IPlugin, IStoreFactory)
class LazyFactory:
    """A store factory whose module is imported when a store is made, not when drivers are listed.

    :param driver: its name.
    :param module: holds ``options()`` and ``make(store_id, section, reactor)``.
    """

    def __init__(self, driver: str, module: str) -> None:
        self.driver = driver
        self._module = module

    def options(self) -> list[Any]:
        """Return the driver's options, for its section of the configuration."""
        options: list[Any] = import_module(self._module).options()
        return options

    def make(self, store_id: str, section: Any, reactor: Any) -> Any:
        """Make a store."""
        return import_module(self._module).make(store_id, section, reactor)


BUILT_IN: Final = {
    "file": LazyFactory("file", "glance.stores.file"),
    "http": LazyFactory("http", "glance.stores.http"),
}

# Drivers that configurations of the field name and that may still be absent here.
KNOWN: Final = frozenset({"file", "http", "swift", "rbd", "s3", "cinder", "vmware", "sheepdog"})

# ``default_store`` names a URL scheme; a driver that is not loaded cannot tell its own.
DRIVER_OF_SCHEME: Final = {
    "filesystem": "file",
    "https": "http",
    "swift+http": "swift",
    "swift+https": "swift",
    "swift+config": "swift",
    "s3+http": "s3",
    "s3+https": "s3",
    "vsphere": "vmware",
}


def find(driver: str) -> Any | None:
    """Return the ``IStoreFactory`` of a driver, or ``None`` if nobody supplies it."""
    if driver in BUILT_IN:
        return BUILT_IN[driver]
    for factory in getPlugins(IStoreFactory):
        if factory.driver == driver:
            return factory
    return None
