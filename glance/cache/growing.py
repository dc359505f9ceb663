"""A copy that can be read while it is being written, by this process or another one.

What is there of it is given out at once, but for the last piece: that is withheld until all bytes
were found to be right. So nobody has a whole image that might be a wrong one, and who has a part of
a wrong one sees the connection break.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.cache.claims import BAD, GIVEN_UP, GOOD, OPEN
from glance.cache.interfaces import ICachedReader
from glance.domain.errors import GlanceError
from glance.stores.errors import ReadElsewhere, StoreError
from glance.stores.reader import FileReader
from glance.stores.threads import Threads

T = TypeVar("T")

#: Bytes at the end that are withheld until the verdict.
WITHHELD: Final = 64 * 1024

#: Bytes before what was written last that are taken to be in memory still.
_RECENT: Final = 8 * 1024 * 1024


class GrowingFile:
    """What all readers of one process know of a copy that is being written.

    Whoever fills it, or follows another process that does, tells how it grows and how it ends; the
    readers wait here, and those that can go on are woken together. It is for the reactor's thread.

    :param size: bytes that it will have, more than none.
    :ivar available: bytes that are there.
    :ivar verdict: how it ended, as in ``glance.cache.claims``.
    :ivar fd: where they are; -1 as long as that is not known.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.available = 0
        self.verdict = OPEN
        self.fd = -1
        self._error: GlanceError | None = None
        self._waiting: dict[Deferred[None], int] = {}

    @property
    def readable(self) -> int:
        """How many bytes may be given out."""
        if self.verdict == GOOD:
            return self.size
        if self.verdict == BAD:
            return 0
        return min(self.available, max(0, self.size - WITHHELD))

    def attach(self, fd: int) -> None:
        """Say where the bytes are.

        :param fd: a descriptor, which somebody else closes; readers have their own.
        """
        self.fd = fd

    def grown(self, available: int) -> None:
        """Note how many bytes are there by now."""
        if self.verdict == OPEN and available > self.available:
            self.available = available
            self._wake()

    def settle(self, verdict: str, error: GlanceError | None = None) -> None:
        """Note how it ended; what is noted first counts.

        :param error: why, for those who read a copy that is ``BAD``.
        """
        if self.verdict != OPEN:
            return
        self.verdict = verdict
        self._error = error
        if verdict == GOOD:
            self.available = self.size
        self._wake()

    def wait(self, until: int) -> Deferred[None]:
        """Wait until so many bytes may be given out.

        Cancelling it ends the waiting.

        :raises ReadElsewhere: there will never be so many, though those that there are are right.
        :raises GlanceError: they are wrong.
        """
        if until <= self.readable:
            return succeed(None)
        if self.verdict != OPEN:
            return fail(self._failure())
        waiting: Deferred[None] = Deferred(self._forget)
        self._waiting[waiting] = until
        return waiting

    def _forget(self, waiting: Deferred[None]) -> None:
        self._waiting.pop(waiting, None)

    def _failure(self) -> Failure:
        if self._error is not None:
            # One for each: to be raised gives it a history.
            return Failure(copy(self._error))
        if self.verdict == GIVEN_UP:
            return Failure(ReadElsewhere("The cache does without the image."))
        return Failure(StoreError("The image's data is not what the catalogue says it is."))

    def _wake(self) -> None:
        readable, ended = self.readable, self.verdict != OPEN
        woken = [one for one, until in self._waiting.items() if ended or until <= readable]
        for one in woken:
            # Another one that was woken may have ended its waiting.
            until = self._waiting.pop(one, None)
            if until is None:
                continue
            if until <= readable:
                one.callback(None)
            else:
                one.errback(self._failure())


@implementer(ICachedReader)
class CopyReader(FileReader):
    """Reads a complete copy.

    :param delivered: called when somebody has got all of it.
    """

    def __init__(
        self, threads: Threads, fd: int, size: int, delivered: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(threads, fd, size)
        self._delivered = delivered

    def delivered(self) -> None:
        """Note that somebody has got all of it."""
        self._delivered()

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """Read up to ``length`` bytes; fewer only at the end."""
        return super().read(offset, length).addErrback(self._elsewhere)

    def prefetch(self, offset: int, length: int) -> Deferred[int]:
        """Bring a range into the page cache."""
        return super().prefetch(offset, length).addErrback(self._elsewhere)

    def _elsewhere(self, failure: Failure) -> Failure:
        """Have the rest read elsewhere, where the cache's disk fails or does not answer."""
        if failure.check(StoreError) and not self._closed:
            return Failure(ReadElsewhere(failure.getErrorMessage()))
        return failure


class GrowingReader(CopyReader):
    """Reads a copy that is being written, with a descriptor of its own.

    :param closed: called once when it is closed.
    """

    def __init__(self, threads: Threads, growing: GrowingFile, closed: Callable[[], None]) -> None:
        # The lock that says that the file is in use belongs to all duplicates together.
        super().__init__(threads, os.dup(growing.fd), growing.size)
        self._growing = growing
        self._on_close = closed
        self._waits: set[Deferred[None]] = set()

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """Read ``length`` bytes as soon as they are there; fewer only at the end."""
        until = min(offset + length, self.size)
        return self._when(until, lambda: super(GrowingReader, self).read(offset, length))

    def prefetch(self, offset: int, length: int) -> Deferred[int]:
        """Bring in what there is of a range, as soon as there is any."""
        until = min(offset + min(length, 1), self.size)
        return self._when(until, lambda: self._bring_in(offset, length))

    def _bring_in(self, offset: int, length: int) -> Deferred[int]:
        growing = self._growing
        length = min(length, max(0, growing.readable - offset))
        if offset >= growing.available - _RECENT:
            return succeed(length)
        return super().prefetch(offset, length)

    def _when(self, until: int, go_on: Callable[[], Deferred[T]]) -> Deferred[T]:
        if self._closed:
            return fail(_closed())
        if until <= self._growing.readable:
            return go_on()
        waiting = self._growing.wait(until)
        if not waiting.called:
            self._waits.add(waiting)

        def over(result: object) -> object:
            self._waits.discard(waiting)
            if isinstance(result, Failure):
                if self._closed and result.check(CancelledError):
                    return Failure(_closed())
                return result
            return go_on()

        answer: Deferred[T] = waiting.addBoth(over)  # type: ignore[assignment]
        return answer

    def close(self) -> None:
        """Close it, and wait for nothing any more."""
        if self._closed:
            return
        super().close()
        for waiting in list(self._waits):
            waiting.cancel()
        self._on_close()


def _closed() -> StoreError:
    return StoreError("The reader is closed.")
