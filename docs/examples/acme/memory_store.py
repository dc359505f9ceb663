"""A store that keeps images in memory, for a service of one process: the smallest whole driver.

A driver whose calls block runs them in threads of its own and returns their Deferreds;
``glance.stores.threads.Threads`` does that, with deadlines.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from glance.stores.errors import (
    BadLocation,
    DataNotFound,
    DuplicateData,
    StoreError,
    StoreFull,
    WriteDisabled,
)
from glance.stores.interfaces import IStore, IStoreReader, IStoreWriter, StoredData

PREFIX = "memory:///"


def options() -> list[Any]:
    """Return the driver's options, for the section of each of its stores."""
    return [
        cfg.IntOpt("memory_store_limit", default=2**30, min=1, help="Most bytes of one image."),
    ]


def make(store_id: str, section: Any, reactor: Any) -> MemoryStore:
    """Make a store from its section of the configuration."""
    return MemoryStore(store_id, section)


@implementer(IStore)
class MemoryStore:
    """A dictionary of objects."""

    driver = "memory"
    schemes = ("memory",)

    def __init__(self, store_id: str, section: Any) -> None:
        self.store_id = store_id
        self.description = getattr(section, "store_description", None)
        self.weight = getattr(section, "weight", 0)
        self.writable = False
        self.limit = section.memory_store_limit
        self.objects: dict[str, bytes] = {}

    def start(self) -> Deferred[None]:
        """Get ready."""
        self.writable = True
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Take no more."""
        self.writable = False
        return succeed(None)

    def properties(self) -> dict[str, Any]:
        """Tell administrators how the store works."""
        return {"limit": self.limit}

    def open_writer(self, image_id: str, size: int | None) -> Deferred[MemoryWriter]:
        """Begin an object."""
        url = PREFIX + image_id
        if not self.writable:
            return fail(WriteDisabled("The store is not running."))
        if url in self.objects:
            return fail(DuplicateData("The store holds data of that name already."))
        if size is not None and size > self.limit:
            return fail(StoreFull("The image is larger than memory_store_limit."))
        return succeed(MemoryWriter(self, url))

    def open_reader(self, url: str) -> Deferred[MemoryReader]:
        """Open an object."""
        if not self.owns(url):
            # Never repeat a URL: those of other stores may hold credentials.
            return fail(BadLocation("The location is not one of this store."))
        if url not in self.objects:
            return fail(DataNotFound("The store does not hold the image's data."))
        return succeed(MemoryReader(self.objects[url]))

    def size_of(self, url: str) -> Deferred[int]:
        """Look up the length of an object."""
        return self.open_reader(url).addCallback(lambda reader: reader.size)

    def delete(self, url: str) -> Deferred[None]:
        """Forget an object."""
        return self.open_reader(url).addCallback(lambda _: self.objects.pop(url) and None)

    def url_for(self, image_id: str) -> list[str]:
        """Say where an object for this image would stand."""
        return [PREFIX + image_id]

    def owns(self, url: str) -> bool:
        """Tell whether a URL is one of ours."""
        return url.startswith(PREFIX) and "/" not in url.removeprefix(PREFIX)

    def probe(self) -> Deferred[None]:
        """Find nothing to look at: memory does not go away."""
        return succeed(None)

    def sweep(self) -> Deferred[int]:
        """Find no leftovers: what a dead process had written died with it."""
        return succeed(0)


@implementer(IStoreWriter)
class MemoryWriter:
    """An object on its way in: nobody sees it before ``commit``."""

    def __init__(self, store: MemoryStore, url: str) -> None:
        self._store = store
        self._url = url
        self._data = bytearray()
        self._object: bytes | None = None
        self._usable = True

    def write(self, offset: int, data: memoryview) -> Deferred[None]:
        """Take bytes; the caller uses the memory again as soon as we have answered."""
        if not self._usable:
            return fail(StoreError("The object takes no more data."))
        end = offset + len(data)
        if end > self._store.limit:
            self._usable = False
            return fail(StoreFull("The image is larger than memory_store_limit."))
        self._data.extend(bytes(max(0, end - len(self._data))))
        self._data[offset:end] = data
        return succeed(None)

    def commit(self) -> Deferred[StoredData]:
        """Show the object, whole."""
        if not self._usable:
            return fail(StoreError("The object is not complete."))
        self._usable = False
        if self._url in self._store.objects:
            return fail(DuplicateData("The store holds data of that name already."))
        self._object = self._store.objects[self._url] = bytes(self._data)
        return succeed(StoredData(self._url, len(self._data)))

    def abort(self) -> Deferred[None]:
        """Forget what was written."""
        self._usable = False
        return succeed(None)

    def take_back(self) -> Deferred[None]:
        """Forget the object, unless another has its name by now."""
        if self._store.objects.get(self._url) is self._object:
            del self._store.objects[self._url]
        return succeed(None)


@implementer(IStoreReader)
class MemoryReader:
    """An object being read."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data: bytes | None = data

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """Read a stretch."""
        if self._data is None:
            return fail(StoreError("The reader is closed."))
        return succeed(self._data[offset : offset + length])

    def close(self) -> None:
        """Let go of the data."""
        self._data = None
