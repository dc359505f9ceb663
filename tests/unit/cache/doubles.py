"""A cache in memory but for its directory: threads, time and stores are the test's own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glance.cache.front import ImageCache
from glance.cache.interfaces import ICacheIndex
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import CacheDirectory
from glance.cache.room import Room
from glance.domain.image import ACTIVE, Image
from glance.stores.interfaces import IStoreReader
from glance.stores.threads import HeldPool, InlinePool, Threads

IMAGE = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
THIRD = "00000000-0000-4000-8000-000000000003"

KIB = 1024
MIB = 1024 * 1024


def image_of(data, image_id=IMAGE, hashes=True, **fields):
    """Return an active image that has some data."""
    if hashes:
        fields = {
            "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(data).hexdigest(),
            **fields,
        }
    return Image(image_id, **{"status": ACTIVE, "size": len(data), **fields})


class Reactor(Clock):
    """A clock to which threads come back at once."""

    def callFromThread(self, function, *args):
        function(*args)


class Hashing:
    """A pool that hashes at once."""

    def callInThread(self, function):
        function()


@implementer(ICacheIndex)
class Index:
    """An index in memory.

    :ivar error: what everything fails with, if it does.
    """

    name = "memory"

    def __init__(self):
        self.known = {}
        self.error = None
        self.running = False

    def _answer(self, value=None):
        return succeed(value) if self.error is None else fail(self.error)

    def start(self):
        self.running = True
        return self._answer()

    def stop(self):
        self.running = False
        return succeed(None)

    def entries(self):
        return self._answer(list(self.known.values()))

    def add(self, entries):
        if self.error is None:
            self.known |= {entry.image_id: entry for entry in entries}
        return self._answer()

    def remove(self, image_ids):
        if self.error is None:
            for image_id in image_ids:
                self.known.pop(image_id, None)
        return self._answer()

    def touch(self, hits):
        return self._answer()


@implementer(IStoreReader)
class StoreReader:
    """What is read from a store, as far as the test lets it."""

    def __init__(self, store, data, size):
        self.size = size
        self._store = store
        self._data = data
        self.waiting = []
        self.closed = False

    def read(self, offset, length):
        self._store.reads.append((offset, length))
        end = min(offset + length, len(self._data))
        if end <= self._store.allowed and not self.closed:
            return succeed(self._data[offset:end])
        answer = Deferred()
        self.waiting.append((answer, offset, end))
        return answer

    def go_on(self):
        waiting, self.waiting = self.waiting, []
        for answer, offset, end in waiting:
            if answer.called:
                continue
            if end <= self._store.allowed:
                answer.callback(self._data[offset:end])
            else:
                self.waiting.append((answer, offset, end))

    def break_off(self, error):
        waiting, self.waiting = self.waiting, []
        for answer, _, _ in waiting:
            if not answer.called:
                answer.errback(error)

    def close(self):
        self.closed = True


class Store:
    """Opens one thing, again and again.

    :ivar allowed: bytes that are given out.
    :ivar error: what opening fails with.
    :ivar opened: the attempt of each opening.
    """

    def __init__(self, data, size=None):
        self.data = data
        self.allowed = 0
        self.error = None
        self.opened = []
        self.readers = []
        self.reads = []
        self.held = None
        #: What the readers say that they have; ``None`` for as much as there is.
        self.size = len(data) if size is None else size
        self.knows_size = True

    def open(self, attempt=0):
        self.opened.append(attempt)
        if self.error is not None:
            return fail(self.error)
        if self.data is None:
            return succeed(None)
        reader = StoreReader(self, self.data, self.size if self.knows_size else None)
        self.readers.append(reader)
        if self.held is not None:
            self.held.append(Deferred())
            return self.held[-1].addCallback(lambda _: (reader, self.size))
        return succeed((reader, self.size))

    def let(self, size=None):
        self.allowed = len(self.data) if size is None else size
        for reader in list(self.readers):
            reader.go_on()

    def break_off(self, error):
        for reader in list(self.readers):
            reader.break_off(error)


class LatePool(InlinePool):
    """Runs calls at once, and says so when the test lets it."""

    def __init__(self):
        self.done = []

    def call(self, work, deliver):
        super().call(work, lambda *outcome: self.done.append((deliver, outcome)))

    def deliver_all(self):
        while self.done:
            deliver, outcome = self.done.pop(0)
            deliver(*outcome)


class CacheCase(SynchronousTestCase):
    """Tests with a directory of their own.

    What processes of a node share is just that: so every :meth:`process` stands for one.
    """

    limit = 100 * MIB

    def setUp(self):
        self.clock = Reactor()
        self.root = Path(tempfile.mkdtemp(prefix="glance-cache-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.directory = CacheDirectory(str(self.root))
        self.directory.thd_prepare()
        self.index = Index()
        self.room = Room(self.directory, self.limit)

    def descriptors(self):
        """Return how many files of the cache this process has open."""
        found = 0
        for fd in os.listdir("/proc/self/fd"):
            try:
                found += os.readlink(f"/proc/self/fd/{fd}").startswith(str(self.root))
            except FileNotFoundError:
                continue
        return found

    def assertNothingOpen(self):
        self.assertEqual(self.descriptors(), 0)

    def write(self, image_id, data=b"data", where=""):
        path = self.root / where / image_id
        path.write_bytes(data)
        return path

    def names(self, where=""):
        return sorted(p.name for p in (self.root / where).iterdir() if p.is_file())

    def threads(self, pool=None, timeout=0):
        threads = Threads(self.clock, "test", 4, timeout, 100_000, pool or InlinePool())
        threads.start()
        return threads

    def keeper(self, room=None, threads=None, index=None):
        return CacheKeeper(
            self.directory, room or self.room, index or self.index, threads or self.threads()
        )

    def process(self, pool=None, data_pool=None, timeout=0, start=True):
        """Return the cache as one more process sees it."""
        room = Room(self.directory, self.limit)
        threads = self.threads(pool, timeout)
        data = self.threads(data_pool, timeout)
        keeper = self.keeper(room, threads)
        hits = []
        cache = ImageCache(keeper, room, threads, data, Hashing(), self.clock, hits.append)
        cache.hits = hits
        if start:
            self.run_now(cache.start())
        return cache

    def run_now(self, work):
        """Return what a coroutine comes to at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def begin(self, work):
        return Deferred.fromCoroutine(work)

    def pass_time(self, seconds, step=0.02):
        """Let time pass in steps in which everybody has a look."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)


__all__ = [
    "IMAGE", "KIB", "MIB", "OTHER", "THIRD", "CacheCase", "HeldPool", "Index", "LatePool",
    "Reactor", "Store", "StoreReader", "image_of",
]  # fmt: skip
