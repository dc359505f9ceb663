"""Moving data from one connection into another without ever having it (splice(2), Linux).

Most of what a copy costs is reading bytes from the kernel only to write them back. Here it is told
to pass them on itself, through a pipe. That takes two plain TCP connections and data of which only
the length has to be known; the end of it is left to be read and written as usual, so that whoever
speaks HTTP on either connection sees it come.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

#: Bytes that a pipe is to hold; the kernel may grant fewer.
ROOM = 1024 * 1024

#: Bytes at the end that go the usual way, and the fewest worth going this one.
TAIL = 16 * 1024
LEAST = 256 * 1024


class Counter(Protocol):
    """Knows how many bytes of an answer's body are still to come."""

    contentLength: int


@dataclass(frozen=True, slots=True)
class Inlet:
    """A connection on which the body of an answer comes.

    :param transport: Twisted's.
    :param counter: is made to believe that it has seen what passed.
    """

    transport: Any
    counter: Counter


@dataclass(frozen=True, slots=True)
class Outlet:
    """A connection on which the body of a request goes.

    :param transport: Twisted's.
    :param unsent: tells how many bytes it has still to hand to the system.
    """

    transport: Any
    unsent: Callable[[], int]


class Flow(Protocol):
    """Is told when the outlet takes no more, and when it does again."""

    def pauseProducing(self) -> None:
        """Have nothing more read from the inlet."""

    def resumeProducing(self) -> None:
        """Have more read from it."""


class Splice:
    """One piece of data on its way between two connections.

    It takes the place of what the reactor calls of both. Errors are told to the reactor, as theirs,
    and come to whoever uses the connections as ever.

    :param count: bytes to pass on.
    :param passed: told how many went into the outlet.
    """

    def __init__(
        self, inlet: Inlet, outlet: Outlet, count: int, flow: Flow, passed: Callable[[int], None]
    ) -> None:
        self._inlet = inlet
        self._outlet = outlet
        self._left = count
        self._flow = flow
        self._passed = passed
        #: Bytes in the pipe.
        self._held = 0
        self._blocked = False
        self._ended = False
        self._from, self._into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, ROOM)
        self._plain_write = outlet.transport.doWrite
        inlet.transport.doRead = self._read
        outlet.transport.doWrite = self._write

    def stop(self) -> None:
        """Pass on no more. What is in the pipe is lost, and so are the connections."""
        if self._ended:
            return
        self._ended = True
        # Those of the class are there again.
        del self._inlet.transport.doRead, self._outlet.transport.doWrite
        os.close(self._from)
        os.close(self._into)

    # What the reactor calls.

    def _read(self) -> Any:
        if self._outlet.unsent():
            # That goes first.
            self._block()
            return None
        try:
            count = _move(self._inlet.transport.fileno(), self._into, min(self._left, ROOM))
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not count:
            return CONNECTION_DONE
        self._left -= count
        self._held += count
        self._inlet.counter.contentLength -= count
        if not self._drain():
            self._block()
        return None

    def _write(self) -> Any:
        if self._outlet.unsent():
            trouble = self._plain_write()
            if self._blocked and not (trouble or self._outlet.unsent()):
                # It has turned itself off, and does not know that somebody waits for that.
                self._outlet.transport.startWriting()
            return trouble
        try:
            drained = self._ended or self._drain(tell=True)
        except OSError:
            return CONNECTION_LOST
        if drained:
            self._outlet.transport.stopWriting()
            if self._blocked:
                self._blocked = False
                self._flow.resumeProducing()
        return None

    def _drain(self, tell: bool = False) -> bool:
        """Empty the pipe; return whether it came to that.

        :param tell: whether to raise what the outlet fails with; else it is left to be found out by
            the outlet's own turn.
        """
        while self._held:
            try:
                count = _move(self._from, self._outlet.transport.fileno(), self._held)
            except BlockingIOError:
                return False
            except OSError:
                if tell:
                    raise
                return False
            self._held -= count
            self._passed(count)
            if self._ended:
                return True
        if not self._left:
            self.stop()
        return True

    def _block(self) -> None:
        self._blocked = True
        self._outlet.transport.startWriting()
        self._flow.pauseProducing()


def _move(source: int, target: int, count: int) -> int:
    return os.splice(source, target, count, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)


def skip(consumer: Any, count: int) -> None:
    """Make what counts a request's body believe that it has seen some bytes of it.

    :param consumer: that Twisted gave to the body.
    """
    consumer._length -= count


def splice(
    inlet: Inlet, outlet: Outlet, flow: Flow, passed: Callable[[int], None]
) -> Splice | None:
    """Begin to pass on the rest of an answer's body, but for its end.

    :returns: ``None`` where that is not possible, or not worth it.
    """
    count = inlet.counter.contentLength - TAIL
    if count < LEAST or not hasattr(os, "splice"):
        return None
    try:
        return Splice(inlet, outlet, count, flow, passed)
    except OSError:
        # No more descriptors, say.
        return None
