"""Write the copy of an image: from a store into the cache, hashed on the way, judged at the end.

The data is read a few pieces ahead, written in order, and hashed in lanes beside that. A store that
breaks off is asked again, for the same byte, another of the image's copies first; a cache that
cannot be written to is given up without harm to who reads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from glance.cache.claims import BAD, GIVEN_UP, GOOD, Claim
from glance.cache.growing import GrowingFile
from glance.cache.held import Held
from glance.cache.keeper import CacheKeeper
from glance.cache.pieces import HELD, Pace, Pieces
from glance.cache.proof import Proof, expected_hashes
from glance.domain.errors import GlanceError
from glance.domain.image import Image
from glance.stores.errors import StoreError, StoreTimeout
from glance.stores.interfaces import IFileReader, IStoreReader
from glance.stores.reader import thd_read
from glance.stores.threads import Threads

T = TypeVar("T")

#: Opens a copy of an image's data in a store; ``None`` when there is none. With ``attempt=n`` it
#: begins with another copy than the first, as ``glance.transfers.opening.open_data`` does.
OpenStore = Callable[..., Awaitable["tuple[IStoreReader, int] | None"]]

#: Pieces that are read ahead; as many may wait for their hashes.
_AHEAD: Final = HELD // 2

#: Seconds that a piece may take: a server that gives its data out drop by drop must not keep a fill
#: for ever.
PIECE_TIME: Final = 120.0

#: Seconds before the data is asked for anew; each time that it gets no further the next is taken.
PAUSES: Final = (0.5, 1.0, 2.0)

_log = Logger()


class _Stopped(Exception):
    """Nobody wants the copy any more."""


class _CannotWrite(Exception):
    """The copy cannot be written."""


class _Wrong(StoreError):
    """The data is not the image's."""


class NoData(StoreError):
    """No store has the image's data."""


class Filler:
    """Writes one copy. To be run once.

    :param claim: the right to write; it is given back in any case.
    :param growing: what the readers of this process look at.
    :param hashing: the pool for hashes.
    :param threads: runs what reads and writes files.
    :param attempt: which copy in the stores comes first, as ``open_store`` counts them.
    :param trouble: told of it if the copy cannot be written.
    """

    def __init__(
        self,
        image: Image,
        open_store: OpenStore,
        claim: Claim,
        growing: GrowingFile,
        keeper: CacheKeeper,
        threads: Threads,
        hashing: Any,
        reactor: Any,
        pieces: Pieces,
        attempt: int = 0,
        trouble: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._image = image
        self._open_store = open_store
        self._claim = claim
        self._growing = growing
        self._keeper = keeper
        self._held = Held(threads, claim.fd)
        self._reactor = reactor
        self._pieces = pieces
        self._pace = Pace(pieces)
        self._proof = Proof(reactor, hashing, expected_hashes(image))
        self._attempt = attempt
        self._trouble = trouble
        self._stopping = False
        self._interruptible: Deferred[Any] | None = None
        #: Bytes that are there and given to the hashes.
        self._done = 0

    def stop(self) -> bool:
        """Break off; what there is of the copy stays.

        :returns: whether it does; not if all bytes are there, and only the end is missing.
        """
        if self._done == self._claim.size:
            return False
        self._stopping = True
        if self._interruptible is not None:
            self._interruptible.cancel()
        return True

    async def run(self) -> bool:
        """Write the copy.

        :returns: whether there is one now.
        """
        self._pieces.fills += 1
        try:
            await self._fill()
        except _Stopped:
            self._growing.settle(GIVEN_UP)
            await self._end(self._claim.thd_release)
        except _CannotWrite as error:
            _log.error(
                "Image {id} cannot be cached, and is sent from its store: {error}",
                id=self._image.id,
                error=error,
            )
            self._trouble(error)
            self._growing.settle(GIVEN_UP)
            await self._end(self._claim.thd_give_up)
        except GlanceError as error:
            await self._reject(error)
        except BaseException:
            self._growing.settle(GIVEN_UP)
            await self._end(self._claim.thd_give_up)
            raise
        else:
            return await self._commit()
        finally:
            self._pieces.fills -= 1
            self._claim.abandon()
            self._held.close()
        return False

    # How it ends.

    async def _commit(self) -> bool:
        # Who reads need not wait for the disk.
        self._growing.settle(GOOD)
        await self._end(lambda: self._claim.thd_judge(GOOD))
        if not await self._end(self._claim.thd_commit):
            # Either it was deleted meanwhile, or the disk fails: what is there of it is not to be
            # trusted then.
            if not self._claim.ended:
                await self._end(self._claim.thd_give_up)
            return False
        await self._keeper.record(self._image.id, self._claim.size)
        return True

    async def _reject(self, error: GlanceError) -> None:
        nothing = not self._growing.available
        if isinstance(error, NoData) and nothing:
            # Whoever reads the store is told that in the usual way.
            self._growing.settle(GIVEN_UP)
        else:
            self._growing.settle(BAD, error)
        if not nothing:
            _log.error(
                "Image {id} is not cached, and its downloads were broken off: {error}",
                id=self._image.id,
                error=error.message,
            )
        if nothing:
            await self._end(self._claim.thd_give_up)
        else:
            await self._end(lambda: self._claim.thd_reject(error.message))

    async def _end(self, thd_function: Callable[[], T]) -> T | None:
        """Do something to the claim; what fails there is logged, and left for others to tidy."""
        try:
            return await self._in_thread(thd_function, timeout=0)
        except (GlanceError, OSError) as error:
            _log.error(
                "The cached copy of image {id}: {error}",
                id=self._image.id,
                error=error.strerror if isinstance(error, OSError) else error,
            )
            return None

    # The bytes.

    async def _fill(self) -> None:
        size = self._claim.size
        if self._claim.offset:
            self._growing.grown(self._claim.offset)
            await self._read_back()
        failures = 0
        while self._done < size:
            before = self._done
            try:
                await self._read_store()
            except (StoreError, TimeoutError) as error:
                failures = 1 if self._done > before else failures + 1
                self._attempt += 1
                await self._try_again(error, failures)
        different = self._proof.differing()
        if different:
            hashes = " and ".join(different)
            raise _Wrong(f"Its data in the store has another {hashes} than the catalogue says.")

    async def _try_again(self, error: Exception, failures: int) -> None:
        told = error if isinstance(error, StoreError) else StoreTimeout("It comes too slowly.")
        given_up = failures > len(PAUSES) or not self._growing.available
        if given_up or isinstance(error, _Wrong):
            raise told
        _log.warn(
            "Image {id}: reading its data for the cache broke off after {count} bytes, and is "
            "tried again: {error}",
            id=self._image.id,
            count=self._done,
            error=told.message,
        )
        await self._unless_stopped(deferLater(self._reactor, PAUSES[failures - 1]))

    async def _read_back(self) -> None:
        """Hash what somebody else has left behind."""
        try:
            self._pace.begin(of_file=True)
            await self._lead(self._reread, self._claim.offset, write=False)
        except (StoreError, TimeoutError) as error:
            raise _CannotWrite(str(error)) from None

    async def _read_store(self) -> None:
        if self._stopping:
            raise _Stopped
        opening = Deferred.fromCoroutine(_opened(self._open_store, self._attempt))
        found = await self._unless_stopped(opening)
        if found is None:
            raise NoData("No store has the image's data.")
        reader, size = found
        try:
            if size != self._claim.size:
                raise _Wrong("Its data in the store has another length than the catalogue says.")
            self._pace.begin(of_file=IFileReader.providedBy(reader))
            await self._lead(reader.read, size, write=True)
            if reader.size is None:
                reading = reader.read(size, 1).addTimeout(PIECE_TIME, self._reactor)
                if await self._unless_stopped(reading):
                    raise _Wrong("Its data in the store is longer than the catalogue says.")
        finally:
            reader.close()

    async def _lead(
        self, read: Callable[[int, int], Deferred[bytes]], end: int, *, write: bool
    ) -> None:
        """Lead bytes through hashes and file, from where we are up to an offset."""
        ahead: deque[tuple[int, Deferred[bytes]]] = deque()
        hashing: deque[Deferred[Any]] = deque()
        offset = self._done
        try:
            while ahead or offset < end:
                while len(ahead) < _AHEAD and offset < end:
                    length = min(self._pace.size, end - offset)
                    reading = read(offset, length).addTimeout(PIECE_TIME, self._reactor)
                    ahead.append((length, reading))
                    offset += length
                length, reading = ahead.popleft()
                data = await self._waited_for(reading)
                if len(data) < length:
                    raise StoreError("The store's data ends early.")
                if write:
                    await self._write(data)
                hashing.append(self._proof.update(data))
                self._done += length
                self._growing.grown(self._done)
                if self._stopping:
                    raise _Stopped
                if len(hashing) > _AHEAD:
                    await hashing.popleft()
        finally:
            for _, reading in ahead:
                reading.addErrback(lambda _: None)
                reading.cancel()
            for one in hashing:
                await one

    async def _waited_for(self, reading: Deferred[bytes]) -> bytes:
        """Wait for a piece, and note how long that took."""
        since = self._reactor.seconds()
        data = await self._unless_stopped(reading)
        self._pace.took(self._reactor.seconds() - since)
        return data

    def _reread(self, offset: int, length: int) -> Deferred[bytes]:
        return self._in_thread(thd_read, self._claim.fd, offset, length)

    async def _write(self, data: bytes) -> None:
        try:
            await self._in_thread(self._thd_write, self._done, data)
        except StoreError as error:
            raise _CannotWrite(error.message) from None

    def _thd_write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self._claim.fd, view, offset)
                offset += count
                view = view[count:]
        except OSError as error:
            raise _CannotWrite(error.strerror or type(error).__name__) from error

    def _in_thread(self, thd_function: Callable[..., T], *args: Any, **more: Any) -> Deferred[T]:
        return self._held.run(thd_function, *args, must_run=True, **more)

    async def _unless_stopped(self, waited_for: Deferred[T]) -> T:
        if self._stopping:
            waited_for.addErrback(lambda _: None)
            waited_for.cancel()
            raise _Stopped
        self._interruptible = waited_for
        try:
            return await waited_for
        except (CancelledError, GlanceError):
            if self._stopping:
                raise _Stopped from None
            raise
        finally:
            self._interruptible = None


async def _opened(open_store: OpenStore, attempt: int) -> tuple[IStoreReader, int] | None:
    return await (open_store(attempt=attempt) if attempt else open_store())
