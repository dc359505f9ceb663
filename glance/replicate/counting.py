"""Telling how much of an image's data went through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from glance.remote.splicing import Flow, Outlet
from glance.remote.streams import IByteReceiver, ISpliceable
from glance.replicate.interfaces import Moved


@implementer(ISpliceable, IByteReceiver)
class Counted:
    """A stream whose bytes are counted on their way.

    :param moved: told of them; also that they are lost, by :meth:`lose`.
    """

    def __init__(self, stream: Any, moved: Moved) -> None:
        self.size: int | None = stream.size
        self._stream = stream
        self._moved = moved
        self._count = 0
        self._receiver: Any = None

    def start(self, receiver: Any) -> Deferred[None]:
        """Let the bytes come."""
        self._receiver = receiver
        return self._stream.start(self)

    def write(self, data: bytes) -> None:
        """Pass on some bytes."""
        self._count += len(data)
        self._moved(len(data))
        self._receiver.write(data)

    def splice(
        self, outlet: Outlet, expected: int, flow: Flow, passed: Callable[[int], None]
    ) -> bool:
        """Let the bytes go into a connection, and count those too."""
        inner: Any = ISpliceable(self._stream, None)
        if inner is None:
            return False

        def count(number: int) -> None:
            self._count += number
            self._moved(number)
            passed(number)

        return bool(inner.splice(outlet, expected, flow, count))

    def pause(self) -> None:
        """Let no more come."""
        self._stream.pause()

    def resume(self) -> None:
        """Let them come again."""
        self._stream.resume()

    def stop(self) -> None:
        """Let go of the source."""
        self._stream.stop()

    def lose(self) -> None:
        """Tell that what went through was for nothing."""
        count, self._count = self._count, 0
        if count:
            self._moved(-count)
