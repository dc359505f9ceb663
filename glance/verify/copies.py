"""Look at one copy of an image's data: is it there, how long is it, what are its hashes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.internet.task import deferLater

from glance.domain.image import Image, Location
from glance.domain.verification import (
    BAD,
    GOOD,
    HASH_MISMATCH,
    MISSING_DATA,
    SIZE_MISMATCH,
    UNREACHABLE,
    UNTOLD,
    Digests,
    Verdict,
    differing_hashes,
    differs_in_size,
)
from glance.stores.errors import (
    BadLocation,
    DataNotFound,
    StoreError,
    StoreTimeout,
    UnknownStore,
)
from glance.stores.interfaces import IFileReader
from glance.stores.registry import Stores, is_read_only
from glance.transfers.hashing import Hashes

#: Bytes read at a time, how many such pieces of one copy may wait to be hashed, and the seconds
#: that reading one may take.
PIECE: Final = 2 * 1024 * 1024
AHEAD: Final = 3
PIECE_TIME: Final = 120.0


class Rate:
    """A limit to how fast data is read, for all copies together.

    :param limit: bytes a second; 0 for none.
    """

    def __init__(self, reactor: Any, limit: float) -> None:
        self._reactor = reactor
        self._limit = limit
        self._free = reactor.seconds()

    async def take(self, count: int) -> None:
        """Wait until so many bytes may be read."""
        if not self._limit:
            return
        now = self._reactor.seconds()
        begin = max(now, self._free)
        self._free = begin + count / self._limit
        if begin > now:
            await deferLater(self._reactor, begin - now)


class Copies:
    """Looks at copies.

    :param make_hashes: makes fresh hashes with an algorithm; ``None`` to look at lengths alone.
    :param algorithm: for images that have no hash.
    :param note_bytes: told of bytes that were read.
    """

    def __init__(
        self,
        stores: Stores,
        reactor: Any,
        make_hashes: Callable[[str], Hashes] | None,
        algorithm: str,
        rate: Rate,
        note_bytes: Callable[[int], None],
    ) -> None:
        self._stores = stores
        self._reactor = reactor
        self._make_hashes = make_hashes
        self._algorithm = algorithm
        self._rate = rate
        self._note_bytes = note_bytes

    async def look(self, image: Image, location: Location) -> Verdict:
        """Say how it stands with a copy."""
        try:
            store = self._stores.for_url(location.url, location.store_id)
        except (UnknownStore, BadLocation) as error:
            problem = {"problem": error.message}
            return Verdict(location.id, location.store_id, UNTOLD, kind=UNREACHABLE, found=problem)
        ours = not is_read_only(store)
        where = location.id, store.store_id
        try:
            if self._make_hashes is None:
                size = await store.size_of(location.url)
                # Some stores cannot tell the length, and say 0.
                if not size and not ours:
                    return Verdict(*where, UNTOLD, ours)
                digests = None
            else:
                size, digests = await self._read(store, image, location)
        except DataNotFound:
            return Verdict(*where, BAD, ours, MISSING_DATA, {"size": image.size})
        except BadLocation as error:
            return Verdict(*where, UNTOLD, ours, UNREACHABLE, found={"problem": error.message})
        except StoreError as error:
            return Verdict(*where, UNTOLD, ours, error=error.message)
        read = size if digests is not None else 0
        if differs_in_size(image, size):
            expected, found = {"size": image.size}, {"size": size}
            return Verdict(*where, BAD, ours, SIZE_MISMATCH, expected, found, read=read)
        if digests is not None:
            expected, found = differing_hashes(image, digests)
            if expected:
                return Verdict(*where, BAD, ours, HASH_MISMATCH, expected, found, read=read)
        return Verdict(*where, GOOD, ours, digests=digests, read=read)

    async def _read(
        self, store: Any, image: Image, location: Location
    ) -> tuple[int, Digests | None]:
        assert self._make_hashes is not None
        algorithm = image.os_hash_algo if image.os_hash_value else None
        try:
            hashes = self._make_hashes(algorithm or self._algorithm)
        except ValueError:
            raise StoreError(
                f"This machine does not know the hash algorithm {algorithm!r} of the image."
            ) from None
        reader = await store.open_reader(location.url)
        try:
            size = reader.size
            if size is not None and differs_in_size(image, size):
                # Told already; no need to read it.
                return size, None
            _advise(reader)
            read = await self._hash(reader, size, hashes)
            if size is not None and read != size:
                raise StoreError("The data ended early, or changed while it was read.")
        finally:
            reader.close()
        return read, Digests(hashes.algorithm, hashes.value, hashes.checksum)

    async def _hash(self, reader: Any, size: int | None, hashes: Hashes) -> int:
        offset = 0
        hashing: deque[Deferred[Any]] = deque()
        try:
            while size is None or offset < size:
                length = PIECE if size is None else min(PIECE, size - offset)
                await self._rate.take(length)
                data = await self._piece(reader, offset, length)
                if not data:
                    break
                offset += len(data)
                self._note_bytes(len(data))
                hashing.append(gatherResults(hashes.update(memoryview(data)), consumeErrors=True))
                if len(hashing) >= AHEAD:
                    await hashing.popleft()
        finally:
            while hashing:
                await hashing.popleft()
        return offset

    async def _piece(self, reader: Any, offset: int, length: int) -> bytes:
        reading = reader.read(offset, length)
        try:
            data: bytes = await reading.addTimeout(PIECE_TIME, self._reactor)
        except TimeoutError:
            raise StoreTimeout("The data comes too slowly.") from None
        return data


def _advise(reader: Any) -> None:
    """Tell the kernel that a file is read once, from its beginning to its end."""
    if IFileReader.providedBy(reader):
        fd = reader.fileno()
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        # What is read so does not count as used, and leaves the page cache before all else.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_NOREUSE)
