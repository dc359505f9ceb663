"""Configuration sections and stores for tests of the file store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from glance.stores.file import FileStore
from glance.stores.threads import InlinePool


class Section(SimpleNamespace):
    """A section of the configuration, given value by value."""

    def is_set(self, name: str) -> bool:
        """Everything a test gives counts as set by the operator."""
        return name in self.given


def file_section(**given: Any) -> Section:
    values = {
        "filesystem_store_datadir": "/nowhere",
        "filesystem_store_datadirs": None,
        "filesystem_store_metadata_file": None,
        "filesystem_store_file_perm": 0,
        "filesystem_store_chunk_size": 65536,
        "filesystem_thin_provisioning": False,
        "filesystem_store_timeout": 0,
        "filesystem_store_thread_pool_size": 4,
        "filesystem_store_threadpool_threshold": 75,
        "filesystem_store_direct_io": True,
        "store_description": None,
        "weight": 0,
    }
    return Section(**{**values, **given}, given=given, group="glance_store")


def file_store(pool: Any = None, reactor: Any = None, **given: Any) -> FileStore:
    """Make a file store whose calls run at once, unless another pool is given."""
    return FileStore("file", file_section(**given), reactor or Clock(), pool or InlinePool())
