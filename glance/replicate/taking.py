"""Taking a stream to its end with functions that block, at their pace."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from glance.domain.errors import GlanceError
from glance.remote.streams import IByteReceiver, IByteStream
from glance.replicate.errors import WrongData
from glance.replicate.hashing import Conveyor
from glance.stores.threads import Threads


@implementer(IByteReceiver)
class Taking:
    """Takes the bytes of a stream.

    :param threads: where the functions run.
    :param works: called with each portion, in order and side by side.
    :param least: bytes of a portion, unless it is the last one.
    :param most: bytes that may come at most; ``None`` where nobody knows.
    :param moved: told how many came.
    :param what: to call the data in messages.
    """

    def __init__(
        self,
        stream: IByteStream,
        threads: Threads,
        works: Sequence[Callable[[bytes], Any]],
        least: int,
        most: int | None,
        moved: Callable[[int], None],
        what: str,
    ) -> None:
        self._stream = stream
        self._conveyor = Conveyor(threads, works, least, self._worked)
        self._left = most
        self._moved = moved
        self._what = what
        self._coming: Deferred[None] | None = None
        self._error: BaseException | None = None
        self._paused = False
        self._over = False

    async def run(self) -> None:
        """Take all. However it ends, no function is at work any more then.

        :raises WrongData: more comes than should.
        :raises GlanceError: what the stream or a function failed with.
        """
        try:
            self._coming = self._stream.start(self)
            if self._error is not None:
                self._coming.cancel()
            await self._coming
            await self._conveyor.finish()
        except BaseException as error:
            self._over = True
            self._stream.stop()
            if self._error is None and isinstance(error, GlanceError):
                # What came before the break is worth having; this failure is the one that counts.
                with contextlib.suppress(Exception):
                    await self._conveyor.finish()
            await self._conveyor.stop()
            if self._error is not None:
                raise self._error from None
            raise

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._error is not None:
            return
        self._moved(len(data))
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self._fail(WrongData(f"{self._what}: there is more data than the image has."))
                return
        self._conveyor.put(data)
        if self._conveyor.full and not self._paused:
            self._paused = True
            self._stream.pause()

    def _worked(self) -> None:
        if self._over:
            return
        if self._conveyor.error is not None:
            self._fail(self._conveyor.error)
        elif self._paused:
            self._paused = False
            self._stream.resume()

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._stream.stop()
            if self._coming is not None:
                self._coming.cancel()
