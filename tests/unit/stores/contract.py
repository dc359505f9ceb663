"""What every store must do, whatever it keeps its bytes in.

A test module of a driver mixes :class:`StoreContract` into a trial test case, supplies
``make_store`` and ``drive``, and so runs the whole suite against it; a double runs it as well.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from glance.stores.errors import BadLocation, DataNotFound, DuplicateData, StoreError
from glance.stores.interfaces import IStore, IStoreReader, IStoreWriter, StoredData

IMAGE = "9d1c3f0e-6a51-4f3e-8d60-8f6f2f3c7a11"
OTHER = "2f0b1f8a-0c43-4bd5-9b0f-3f6f5f5e8c22"
MIB = 1024 * 1024


def driven(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], Any]:
    """Make an ``async`` test one that the test case's own ``drive`` runs."""

    @functools.wraps(test)
    def run(self: Any) -> Any:
        return self.drive(test(self))

    return run


async def put(store: Any, image_id: str, data: bytes, size: int | None = None) -> StoredData:
    """Store one object in a single write."""
    writer = await store.open_writer(image_id, size)
    if data:
        await writer.write(0, memoryview(data))
    return await writer.commit()


async def get(store: Any, url: str) -> bytes:
    """Read one object whole."""
    reader = await store.open_reader(url)
    try:
        return await reader.read(0, reader.size)
    finally:
        reader.close()


class StoreContract:
    """The tests. The class that mixes it in is a trial test case, and has

    - ``make_store()``: return a Deferred of a fresh, started, writable store, and register its
      ``stop`` as a clean-up;
    - ``drive(test)``: run a coroutine to its end, or return a Deferred of it.
    """

    #: A URL of the store's own scheme that lies outside the store.
    foreign_url: str

    make_store: Callable[[], Any]
    drive: Callable[[Coroutine[Any, Any, None]], Any]

    async def fails(self, deferred: Deferred[Any], *errors: type[Exception]) -> Exception:
        """Wait for a failure of one of the given types."""
        try:
            result = await deferred
        except errors as e:
            return e
        raise AssertionError(f"expected one of {errors}, got {result!r}")

    @driven
    async def test_interfaces(self):
        store = await self.make_store()
        verifyObject(IStore, store)
        writer = await store.open_writer(IMAGE, None)
        verifyObject(IStoreWriter, writer)
        stored = await writer.commit()
        reader = await store.open_reader(stored.url)
        verifyObject(IStoreReader, reader)
        reader.close()
        assert store.writable is True
        assert any(stored.url.startswith(f"{scheme}:") for scheme in store.schemes)

    @driven
    async def test_what_is_written_can_be_read(self):
        store = await self.make_store()
        stored = await put(store, IMAGE, b"some data", 9)
        assert stored.size == 9
        assert await store.size_of(stored.url) == 9
        assert await get(store, stored.url) == b"some data"
        assert store.owns(stored.url)
        assert stored.url in store.url_for(IMAGE)

    @driven
    async def test_an_object_may_be_empty(self):
        store = await self.make_store()
        for image_id, size in ((IMAGE, None), (OTHER, 0)):
            stored = await put(store, image_id, b"", size)
            assert stored.size == 0
            assert await get(store, stored.url) == b""

    @driven
    async def test_a_store_that_works_says_so(self):
        store = await self.make_store()
        for _ in range(2):
            assert await store.probe() is None

    @driven
    async def test_several_writes_at_once_out_of_order(self):
        store = await self.make_store()
        blocks = [bytes([n]) * MIB for n in range(1, 5)] + [b"tail"]
        writer = await store.open_writer(IMAGE, None)
        await gatherResults([writer.write(n * MIB, memoryview(blocks[n])) for n in (3, 0, 4, 2, 1)])
        stored = await writer.commit()
        assert stored.size == 4 * MIB + 4
        assert await get(store, stored.url) == b"".join(blocks)

    @driven
    async def test_odd_lengths(self):
        store = await self.make_store()
        writer = await store.open_writer(IMAGE, 12_346)
        await writer.write(0, memoryview(b"a" * 12_345))
        await writer.write(12_345, memoryview(b"b"))
        stored = await writer.commit()
        assert await get(store, stored.url) == b"a" * 12_345 + b"b"

    @driven
    async def test_ranges(self):
        store = await self.make_store()
        stored = await put(store, IMAGE, b"0123456789")
        reader = await store.open_reader(stored.url)
        assert reader.size == 10
        assert await reader.read(3, 4) == b"3456"
        assert await reader.read(8, 100) == b"89"
        assert await reader.read(10, 1) == b""
        assert await reader.read(99, 1) == b""
        assert await reader.read(0, 0) == b""
        reader.close()

    @driven
    async def test_nothing_can_be_read_before_commit(self):
        store = await self.make_store()
        writer = await store.open_writer(IMAGE, None)
        await writer.write(0, memoryview(b"data"))
        for url in store.url_for(IMAGE):
            await self.fails(store.open_reader(url), DataNotFound)
        await writer.abort()

    @driven
    async def test_nothing_is_left_after_abort(self):
        store = await self.make_store()
        writer = await store.open_writer(IMAGE, None)
        await writer.write(0, memoryview(b"data"))
        assert await writer.abort() is None
        assert await writer.abort() is None
        for url in store.url_for(IMAGE):
            await self.fails(store.open_reader(url), DataNotFound)
        assert await store.sweep() == 0
        stored = await put(store, IMAGE, b"second try")
        assert await get(store, stored.url) == b"second try"

    @driven
    async def test_abort_with_writes_in_flight(self):
        store = await self.make_store()
        writer = await store.open_writer(IMAGE, None)
        block = memoryview(bytes(MIB))
        writes = [writer.write(n * MIB, block) for n in range(4)]
        for write in writes:
            write.addErrback(lambda f: f.trap(StoreError))
        await writer.abort()
        await gatherResults(writes)
        for url in store.url_for(IMAGE):
            await self.fails(store.open_reader(url), DataNotFound)

    @driven
    async def test_abort_after_commit_keeps_the_object(self):
        store = await self.make_store()
        writer = await store.open_writer(IMAGE, None)
        await writer.write(0, memoryview(b"data"))
        stored = await writer.commit()
        await writer.abort()
        assert await get(store, stored.url) == b"data"

    @driven
    async def test_a_commit_can_be_taken_back(self):
        store = await self.make_store()
        writer = await store.open_writer(IMAGE, None)
        await writer.write(0, memoryview(b"data"))
        stored = await writer.commit()
        await writer.take_back()
        await self.fails(store.open_reader(stored.url), DataNotFound)
        await writer.take_back()

    @driven
    async def test_taking_back_leaves_another_writer_s_object_alone(self):
        store = await self.make_store()
        first = await store.open_writer(IMAGE, None)
        await first.write(0, memoryview(b"data"))
        stored = await first.commit()
        await store.delete(stored.url)
        await put(store, IMAGE, b"data")
        await first.take_back()
        assert await get(store, stored.url) == b"data"

    @driven
    async def test_a_finished_writer_takes_nothing_more(self):
        store = await self.make_store()
        aborted = await store.open_writer(IMAGE, None)
        await aborted.abort()
        committed = await store.open_writer(OTHER, None)
        await committed.commit()
        for writer in (aborted, committed):
            await self.fails(writer.write(0, memoryview(b"x")), StoreError)
            await self.fails(writer.commit(), StoreError)

    @driven
    async def test_a_taken_name_is_refused_at_once(self):
        store = await self.make_store()
        stored = await put(store, IMAGE, b"first")
        await self.fails(store.open_writer(IMAGE, None), DuplicateData)
        assert await get(store, stored.url) == b"first"

    @driven
    async def test_the_slower_of_two_writers_loses(self):
        store = await self.make_store()
        fast = await store.open_writer(IMAGE, None)
        slow = await store.open_writer(IMAGE, None)
        await fast.write(0, memoryview(b"fast"))
        await slow.write(0, memoryview(b"slower"))
        stored = await fast.commit()
        await self.fails(slow.commit(), DuplicateData)
        await slow.abort()
        assert await get(store, stored.url) == b"fast"
        assert await store.sweep() == 0

    @driven
    async def test_delete(self):
        store = await self.make_store()
        stored = await put(store, IMAGE, b"data")
        other = await put(store, OTHER, b"other")
        await store.delete(stored.url)
        for attempt in (store.open_reader, store.size_of, store.delete):
            await self.fails(attempt(stored.url), DataNotFound)
        assert await get(store, other.url) == b"other"
        assert (await put(store, IMAGE, b"again")).url == stored.url

    @driven
    async def test_foreign_urls_are_refused_and_not_repeated(self):
        store = await self.make_store()
        for url in (self.foreign_url, "", "nonsense", "gopher://host/secret"):
            assert not store.owns(url)
            for attempt in (store.open_reader, store.size_of, store.delete):
                error = await self.fails(attempt(url), BadLocation)
                assert not url or url not in str(error)
                assert "secret" not in str(error)

    @driven
    async def test_sweep_leaves_live_writers_and_finished_objects_alone(self):
        store = await self.make_store()
        done = await put(store, OTHER, b"done")
        writer = await store.open_writer(IMAGE, None)
        await writer.write(0, memoryview(b"under way"))
        assert await store.sweep() == 0
        stored = await writer.commit()
        assert await get(store, stored.url) == b"under way"
        assert await get(store, done.url) == b"done"

    @driven
    async def test_readers_can_be_closed_at_any_time(self):
        store = await self.make_store()
        stored = await put(store, IMAGE, b"data" * MIB)
        reader = await store.open_reader(stored.url)
        reading = reader.read(0, MIB)
        reader.close()
        reader.close()
        with contextlib.suppress(StoreError):
            assert await reading == b"data" * (MIB // 4)
        await self.fails(reader.read(0, 1), StoreError)

    @driven
    async def test_an_open_reader_outlives_deletion_or_says_so(self):
        store = await self.make_store()
        stored = await put(store, IMAGE, b"data")
        reader = await store.open_reader(stored.url)
        await store.delete(stored.url)
        with contextlib.suppress(StoreError):
            assert await reader.read(0, 4) == b"data"
        reader.close()
