"""A real directory and a real catalogue, an index in memory, and fills that a test decides on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from glance.cache.interfaces import ICacheIndex
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import CacheDirectory
from glance.cache.room import Room
from glance.domain.caching import CachedImage
from glance.domain.errors import Unavailable
from glance.stores.threads import InlinePool, Threads
from tests.unit.transfers.doubles import CatalogueCase

IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(20)]


@implementer(ICacheIndex)
class MemoryIndex:
    """An index that can be away."""

    name = "memory"

    def __init__(self) -> None:
        self.known: dict[str, CachedImage] = {}
        self.away = False

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def _answer(self, value: Any = None) -> Deferred[Any]:
        return fail(Unavailable("the index is away.")) if self.away else succeed(value)

    def entries(self) -> Deferred[list[CachedImage]]:
        return self._answer(list(self.known.values()))

    def add(self, entries: Sequence[CachedImage]) -> Deferred[None]:
        if not self.away:
            self.known |= {entry.image_id: entry for entry in entries}
        return self._answer()

    def remove(self, image_ids: Sequence[str]) -> Deferred[None]:
        for image_id in () if self.away else image_ids:
            self.known.pop(image_id, None)
        return self._answer()

    def touch(self, hits: Mapping[str, tuple[int, float]]) -> Deferred[None]:
        return self._answer()


def thd_write(path: str, size: int) -> None:
    Path(path).write_bytes(b"x" * size)


class Fills:
    """Fetches images at once, or when a test says so.

    :ivar outcomes: what comes of an image: an answer, an error or a Deferred; else it is cached.
    """

    def __init__(self, directory: CacheDirectory) -> None:
        self.directory = directory
        self.outcomes: dict[str, Any] = {}
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.openers: dict[str, Any] = {}

    async def fetch(self, image: Any, opener: Any) -> bool:
        self.begun.append(image.id)
        self.openers[image.id] = opener
        outcome = self.outcomes.get(image.id, True)
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Deferred):
            try:
                outcome = await outcome
            except BaseException:
                self.cancelled.append(image.id)
                raise
        if outcome:
            thd_write(self.directory.copy(image.id), image.size or 0)
            # As a commit does.
            self.directory.thd_dequeue(image.id)
        return outcome

    def hold(self, image_id: str) -> Deferred[bool]:
        """Have an image fetched only when the Deferred fires."""
        self.outcomes[image_id] = held = Deferred()
        return held


class CacheCase(CatalogueCase):
    """A test case with a cache of 1000 bytes."""

    def setUp(self):
        super().setUp()
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.directory = CacheDirectory(place.name)
        self.index = MemoryIndex()
        self.keeper = self.make_keeper()
        self.result(self.keeper.start())
        self.fills = Fills(self.directory)

    def make_keeper(self):
        threads = Threads(self.reactor, "cache", 1, pool=InlinePool())
        return CacheKeeper(self.directory, Room(self.directory, 1000), self.index, threads)

    def add_images(self, count, **fields):
        """Add active images of ten bytes; return their ids."""
        for image_id in IDS[:count]:
            self.add_image(id=image_id, **{"status": "active", "size": 10, **fields})
        return IDS[:count]

    def queue(self, *image_ids):
        """Wish for images, each a second after the one before."""
        for image_id in image_ids:
            self.assertTrue(self.directory.thd_enqueue(image_id))
            self.age = getattr(self, "age", 0) + 1
            os.utime(self.directory.wish(image_id), (self.age, self.age))

    def queued(self):
        return self.directory.thd_queued()

    def write(self, path, size=10, age=0.0):
        """Make a file, some seconds old."""
        thd_write(path, size)
        then = os.stat(path).st_mtime - age
        os.utime(path, (then, then))

    def copies(self):
        return sorted(file.image_id for file in self.directory.thd_copies())
