"""A request body that arrives while it is being worked on.

Bytes are copied once, into buffers that go to whoever reads the body; when all the buffers that a
transfer may hold are in use the sender is paused. So a body of any length, in chunks of any size,
takes the same bounded memory. That is a single buffer until somebody reads it; and beyond its first
buffer a body waits its turn while the whole process holds as many as it may.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.defer import Deferred, fail, succeed

from glance.domain.errors import Invalid
from glance.transfers.buffers import BUFFERS_PER_TRANSFER, Buffer, BufferPool


class Flow(Protocol):
    """What a body can ask of the connection it comes over."""

    def pause(self) -> None:
        """Take no more from the peer."""

    def resume(self) -> None:
        """Take more again."""

    def want(self) -> None:
        """Ask for the body, if the client waits to be asked (``Expect: 100-continue``)."""


class RequestBody:
    """The body of one request, as a :class:`~glance.transfers.upload.ByteSource`.

    :param flow: the connection.
    :param pool: where buffers come from.
    :param length: declared length in bytes, ``None`` when it is not known (chunked).
    :param depth: how many buffers this body may hold at once; one until somebody reads it.
    """

    def __init__(
        self,
        flow: Flow,
        pool: BufferPool,
        length: int | None,
        depth: int = BUFFERS_PER_TRANSFER,
    ) -> None:
        self.length = length
        self._flow = flow
        self._pool = pool
        self._depth = depth
        self._held = 0
        self._filling: Buffer | None = None
        self._ready: deque[Buffer] = deque()
        # What arrived in one read beyond the last buffer; never more than one read's worth.
        self._overflow = bytearray()
        self._moving = False
        self._waiting: Deferred[Buffer | None] | None = None
        self._error: Exception | None = None
        self._wanted = False
        self.complete = False

    # Called by the connection.

    def received(self, data: bytes | memoryview) -> None:
        """Take in what has arrived."""
        if self._error is not None:
            return
        if self._overflow:
            self._overflow += data
            return
        rest = self._fill(memoryview(data))
        if rest and self._error is None:
            self._overflow += rest
            self._flow.pause()

    def finished(self) -> None:
        """Note that the body has arrived whole."""
        self.complete = True
        self._deliver()

    def lost(self) -> None:
        """Note that the connection ended before the body did."""
        if not self.complete:
            self.fail(Invalid("The connection was closed before all of the data had arrived."))

    # Called by the reader.

    def next(self) -> Deferred[Buffer | None]:
        """Return the next buffer, full but for the last; ``None`` at the end.

        :raises Invalid: the client stopped sending before the end.
        """
        if not self._wanted:
            self._wanted = True
            self._flow.want()
            self._go_on()
        if self._error is not None:
            return fail(self._error)
        buffer = self._pop()
        if buffer is not None or self._at_end():
            return succeed(buffer)
        self._waiting = Deferred()
        return self._waiting

    def release(self, buffer: Buffer) -> None:
        """Give a buffer back."""
        self._give_back(buffer)
        self._go_on()

    def close(self) -> None:
        """Let go of everything: the request has been answered."""
        self.fail(Invalid("The request has been answered already."))

    def fail(self, reason: Exception) -> None:
        """Make the present and every later ``next`` fail, and drop what has arrived.

        What the connection still brings is thrown away.
        """
        if self._error is not None:
            return
        self._error = reason
        self._pool.forget(self._take_turn)
        dropped = list(self._ready)
        self._ready.clear()
        if self._filling is not None:
            dropped.append(self._filling)
            self._filling = None
        for buffer in dropped:
            self._give_back(buffer)
        if self._overflow:
            self._overflow = bytearray()
            self._flow.resume()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(reason)

    def _go_on(self) -> None:
        """Move what was left over into buffers, as far as there is room by now."""
        if self._moving or not self._overflow or self._error is not None:
            # A reader that gives back at once what it gets comes here again from within.
            return
        self._moving = True
        rest = self._fill(memoryview(self._overflow).toreadonly())
        self._moving = False
        if self._failed():
            return
        left = bytes(rest)
        self._overflow = bytearray(left)
        if not left:
            self._pool.forget(self._take_turn)
            self._flow.resume()
        self._deliver()

    def _failed(self) -> bool:
        return self._error is not None

    def _take_turn(self) -> None:
        """Take the buffer that has become spare."""
        if self._overflow and self._error is None and self._filling is None:
            self._filling = self._take_buffer()
            self._go_on()

    def _take_buffer(self) -> Buffer:
        buffer = self._pool.get(extra=self._held > 0)
        self._held += 1
        return buffer

    def _give_back(self, buffer: Buffer) -> None:
        self._held -= 1
        self._pool.put(buffer, extra=self._held > 0)

    def _may_take(self) -> bool:
        if not self._held:
            return True
        if not self._wanted or self._held >= self._depth:
            return False
        if self._pool.spare:
            return True
        self._pool.wait(self._take_turn)
        return False

    def _fill(self, data: memoryview) -> memoryview:
        """Copy data into buffers; return what did not fit into those that may be held."""
        while data and self._error is None:
            if self._filling is None:
                if not self._may_take():
                    return data
                self._filling = self._take_buffer()
            data = data[self._filling.take(data) :]
            if self._filling.full:
                self._ready.append(self._filling)
                self._filling = None
                self._deliver()
        return data

    def _pop(self) -> Buffer | None:
        if self._ready:
            return self._ready.popleft()
        if self.complete and not self._overflow and self._filling is not None:
            last, self._filling = self._filling, None
            return last
        return None

    def _at_end(self) -> bool:
        return self.complete and not self._overflow and not self._ready and self._filling is None

    def _deliver(self) -> None:
        if self._waiting is None:
            return
        buffer = self._pop()
        if buffer is not None or self._at_end():
            waiting, self._waiting = self._waiting, None
            waiting.callback(buffer)
