"""The body of an answer, taken in no faster than it is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from glance.stores.errors import RemoteUnavailable, StoreError

#: Bytes kept for the next readings before the connection is paused.
HIGH = 512 * 1024


class Incoming(Protocol):
    """The body of one answer.

    Nothing is taken in before the first reading: the connection is paused from the end of the head
    on. One reading at a time.

    :param abort: cuts the connection.
    :param stall_time: seconds that a reading may wait for the next bytes.
    """

    def __init__(
        self, reactor: Any, response: IResponse, abort: Callable[[], None], stall_time: float
    ) -> None:
        self._reactor = reactor
        self._response: IResponse | None = response
        self._abort = abort
        self._stall_time = stall_time
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._ended = False
        self._error: StoreError | None = None
        self._wanted = 0
        self._waiting: Deferred[bytes] | None = None
        self._timer: Any = None

    def read(self, length: int) -> Deferred[bytes]:
        """Read so many bytes; fewer only at the end.

        :raises RemoteUnavailable: the server broke off, or sends nothing more.
        """
        if self._held >= length or self._ended:
            return succeed(self._take(length))
        if self._error is not None:
            return fail(self._error)
        self._wanted = length
        waiting = self._waiting = Deferred(lambda _: self.close())
        self._timer = self._reactor.callLater(self._stall_time, self._stalled)
        if self._response is not None:
            response, self._response = self._response, None
            response.deliverBody(self)
        else:
            self._resume()
        return waiting

    def close(self) -> None:
        """Take no more; a reading that waits fails."""
        self._fail(StoreError("The reader is closed."))
        self._pieces.clear()
        self._held = 0
        self._ended = False

    def dataReceived(self, data: bytes) -> None:
        """Keep what came, and give it out if it is enough."""
        if self._error is not None:
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._waiting is not None:
            if self._held >= self._wanted:
                self._answer()
            else:
                self._timer.reset(self._stall_time)
        if self._held >= max(HIGH, self._wanted) and not self._paused:
            self._paused = True
            self._transport("pauseProducing")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note how the body ended."""
        if self._error is not None:
            return
        # Without a length, the end of the connection is the end of the data, as far as one can say.
        if reason.check(ResponseDone, PotentialDataLoss):
            self._ended = True
            if self._waiting is not None:
                self._answer()
            self._abort()
        else:
            self._fail(RemoteUnavailable("The remote server broke off before the end of the data."))

    def _stalled(self) -> None:
        self._timer = None
        self._fail(RemoteUnavailable("The remote server has stopped sending."))

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, None
        length, self._wanted = self._wanted, 0
        self._stop_timer()
        assert waiting is not None
        waiting.callback(self._take(length))

    def _fail(self, error: StoreError) -> None:
        if self._error is None:
            self._error = error
            self._stop_timer()
            self._abort()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.errback(self._error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, length: int) -> bytes:
        taken = []
        while length and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > length:
                self._pieces.appendleft(piece[length:])
                piece = piece[:length]
            taken.append(piece)
            length -= len(piece)
            self._held -= len(piece)
        if self._held <= HIGH // 2:
            self._resume()
        return b"".join(taken)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport("resumeProducing")

    def _transport(self, method: str) -> None:
        if self.transport is not None and not self._ended and self._error is None:
            getattr(self.transport, method)()
