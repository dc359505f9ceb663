"""A store in memory that fails on demand, and a catalogue whose work is done at once."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glance.db import images, leases, schema
from glance.db.engine import make_engine
from glance.db.txdbapi import Database, Retry
from glance.domain.image import Image, Location
from glance.domain.viewer import Viewer
from glance.stores.errors import (
    BadLocation,
    DataNotFound,
    DuplicateData,
    StoreError,
    UnknownStore,
)
from glance.stores.interfaces import IStore, IStoreReader, IStoreWriter, StoredData
from glance.transfers.worker import WorkerIdentity
from tests.unit.api.doubles import CountingPool

IMAGE = "9d1c3f0e-6a51-4f3e-8d60-8f6f2f3c7a11"
US = WorkerIdentity("node", "100.1")
EVERYTHING = Viewer(is_admin=True)


class InlineReactor(Clock):
    """A clock whose threads are the caller's own."""

    def callFromThread(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        fn(*args, **kwargs)


class InlineThreads:
    """Threads, of the database's kind and of Twisted's, that do everything at once."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        return maybeDeferred(job)

    def callInThread(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        fn(*args, **kwargs)


@functools.cache
def _template() -> Path:
    place = Path(tempfile.mkdtemp(prefix="glance-catalogue-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    engine = make_engine(f"sqlite:///{place}/catalogue", sqlite_synchronous=False)
    schema.thd_sync(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return place / "catalogue"


class CatalogueCase(SynchronousTestCase):
    """A test case with an empty catalogue and a clock."""

    def setUp(self):
        self.reactor = InlineReactor()
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        path = shutil.copy(_template(), place.name)
        engine = make_engine(f"sqlite:///{path}", sqlite_synchronous=False)
        self.database = Database(engine, self.reactor, retry=Retry(conflicts=0, losses=0))
        self.database._threads = InlineThreads()
        self.addCleanup(self.database.stop)
        self.addCleanup(self.database._thd_close)

    def run_in_database(self, interaction, *args, **kwargs):
        return self.successResultOf(self.database.runInteraction(interaction, *args, **kwargs))

    def add_image(self, **fields):
        fields = {"id": IMAGE, "disk_format": "raw", "container_format": "bare", **fields}
        return self.run_in_database(images.thd_insert, Image(**fields))

    def image(self):
        return self.run_in_database(images.thd_get, IMAGE, EVERYTHING)

    def all_leases(self):
        return self.run_in_database(leases.thd_all)

    def end_leases(self):
        """End every lease, as another worker that takes them over would."""
        for lease in self.all_leases():
            self.run_in_database(leases.thd_end, lease.id)

    def take_lease(self, identity=US, kind=leases.UPLOAD, store_id="memory"):
        return self.run_in_database(
            leases.thd_take, IMAGE, kind, identity.node, identity.worker, store_id
        )

    def result(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def failure(self, coroutine, *errors):
        return self.failureResultOf(Deferred.fromCoroutine(coroutine), *errors).value


@dataclass(eq=False)
class Source:
    """Bytes in buffers, as the body of a request gives them; a test may stop in between."""

    pieces: Iterable[bytes | Exception | Deferred[None]]
    pool: CountingPool = field(default_factory=CountingPool)
    asked: int = 0
    failed: Exception | None = None

    def __post_init__(self) -> None:
        self._coming = iter(self.pieces)
        self._waiting: Deferred[Any] | None = None

    def next(self) -> Deferred[Any]:
        self.asked += 1
        if self.failed is not None:
            return fail(self.failed)
        piece = next(self._coming, None)
        if isinstance(piece, Exception):
            return fail(piece)
        if isinstance(piece, Deferred):
            self._waiting = Deferred()
            piece.addCallback(lambda _: self._go_on())
            return self._waiting
        return succeed(self._buffer(piece))

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.next().chainDeferred(waiting)

    def _buffer(self, piece: bytes | None) -> Any:
        if piece is None:
            return None
        buffer = self.pool.get()
        taken = buffer.take(memoryview(piece))
        assert taken == len(piece)
        return buffer

    def release(self, buffer: Any) -> None:
        self.pool.put(buffer)

    def fail(self, reason: Exception) -> None:
        if self.failed is None:
            self.failed = reason
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                waiting.errback(reason)


@implementer(IStore)
class MemoryStore:
    """A store that keeps objects in memory.

    :ivar faults: by the name of a step, the error it fails with, or a Deferred it waits for.
    :ivar calls: the steps taken, in order.
    """

    store_id = "memory"
    driver = "memory"
    schemes = ("memory",)
    description = None
    weight = 0
    writable = True

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.unfinished: list[Any] = []
        self.faults: dict[str, Exception | Deferred[None]] = {}
        self.calls: list[str] = []

    def step(self, name: str, then: Callable[[], Any]) -> Deferred[Any]:
        self.calls.append(name)
        fault = self.faults.get(name)
        if isinstance(fault, Exception):
            return fail(fault)
        if isinstance(fault, Deferred):
            done: Deferred[Any] = Deferred()
            fault.addBoth(lambda result: done.callback(result))
            return done.addCallback(lambda _: then())
        try:
            return succeed(then())
        except StoreError as error:
            return fail(error)

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def properties(self) -> dict[str, Any]:
        return {}

    def open_writer(self, image_id: str, size: int | None) -> Deferred[Any]:
        def opened() -> Any:
            if image_id in self.objects:
                raise DuplicateData("taken")
            writer = MemoryWriter(self, image_id)
            self.unfinished.append(writer)
            return writer

        return self.step("open_writer", opened)

    def open_reader(self, url: str) -> Deferred[Any]:
        return self.step("open_reader", lambda: MemoryReader(self._find(url)))

    def size_of(self, url: str) -> Deferred[int]:
        return self.step("size_of", lambda: len(self._find(url)))

    def delete(self, url: str) -> Deferred[None]:
        def deleted() -> None:
            self._find(url)
            del self.objects[url.removeprefix("memory:")]

        return self.step("delete", deleted)

    def _find(self, url: str) -> bytes:
        if not self.owns(url):
            raise BadLocation("elsewhere")
        try:
            return self.objects[url.removeprefix("memory:")]
        except KeyError:
            raise DataNotFound("not there") from None

    def url_for(self, image_id: str) -> list[str]:
        return [f"memory:{image_id}"]

    def owns(self, url: str) -> bool:
        return url.startswith("memory:") and "/" not in url

    def sweep(self) -> Deferred[int]:
        return self.step("sweep", lambda: 0)

    def probe(self) -> Deferred[None]:
        return self.step("probe", lambda: None)


@implementer(IStoreWriter)
class MemoryWriter:
    def __init__(self, store: MemoryStore, image_id: str) -> None:
        self._store = store
        self._image_id = image_id
        self._data = bytearray()
        self._done = False

    @property
    def length(self) -> int:
        """How many bytes have been written."""
        return len(self._data)

    def write(self, offset: int, data: memoryview) -> Deferred[None]:
        def written() -> None:
            end = offset + len(data)
            self._data.extend(bytes(max(0, end - len(self._data))))
            self._data[offset:end] = data

        if self._done:
            return fail(StoreError("finished"))
        return self._store.step("write", written)

    def commit(self) -> Deferred[StoredData]:
        def committed() -> StoredData:
            if self._image_id in self._store.objects:
                raise DuplicateData("taken")
            # Compared by identity when it is taken back.
            self._object = self._store.objects[self._image_id] = bytes(self._data)
            self._store.unfinished.remove(self)
            return StoredData(f"memory:{self._image_id}", len(self._data), {"kept": "in memory"})

        if self._done:
            return fail(StoreError("finished"))
        self._done = True
        return self._store.step("commit", committed)

    def abort(self) -> Deferred[None]:
        def aborted() -> None:
            self._done = True
            if self in self._store.unfinished:
                self._store.unfinished.remove(self)

        return self._store.step("abort", aborted)

    def take_back(self) -> Deferred[None]:
        def taken_back() -> None:
            if self._store.objects.get(self._image_id) is self._object:
                del self._store.objects[self._image_id]

        return self._store.step("take back", taken_back)


@implementer(IStoreReader)
class MemoryReader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._closed = False
        self.size = len(data)

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        if self._closed:
            return fail(StoreError("closed"))
        return succeed(self._data[offset : offset + length])

    def close(self) -> None:
        self._closed = True


class FakeStores:
    """The one configured store, named in locations as one of several would be."""

    multiple = True

    def __init__(self, store: MemoryStore) -> None:
        self.default = store

    def for_new(self, url: str) -> MemoryStore:
        if not self.default.owns(url):
            raise UnknownStore("no store is one for that")
        return self.default

    def placed(self, url: str, metadata: dict[str, Any]) -> Location:
        return Location(url, {**metadata, "store": self.for_new(url).store_id})

    def get(self, store_id: str | None) -> MemoryStore:
        if store_id != self.default.store_id:
            raise UnknownStore("there is no such store")
        return self.default

    def for_url(self, url: str, store_id: str | None = None) -> MemoryStore:
        return self.get(store_id)

    def sweep(self) -> Deferred[int]:
        return self.default.sweep()
