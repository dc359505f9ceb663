"""Image data as it comes from a service.

Nothing limits how long all of it may take; what is limited is how long nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.protocol import connectionDone as DONE
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from glance.identity.http import describe
from glance.remote.errors import Unreachable, WrongLength
from glance.remote.exchanges import Exchange
from glance.remote.splicing import Flow, Outlet, Splice, splice
from glance.remote.streams import IByteReceiver, ISpliceable
from glance.remote.watching import STALL_TIME, Watch


@implementer(ISpliceable)
class DataStream:
    """The data of an image, from a service.

    :param exchange: whose answer's body it is; nothing of it has been taken.
    :param place: host and port of the service, for messages.
    :param offset: see ``offset``.
    :param stall_time: seconds without a byte after which the service is given up.
    :ivar size: how many bytes will come; ``None`` where the service did not say.
    :ivar offset: how many bytes of the image's data were left out.
    """

    def __init__(
        self,
        reactor: Any,
        exchange: Exchange,
        place: str,
        *,
        offset: int = 0,
        stall_time: float = STALL_TIME,
    ) -> None:
        self.size = exchange.length
        self.offset = offset
        self._exchange = exchange
        self._place = place
        self._stall_time = stall_time
        self._watch = Watch(reactor, self._stalled)
        self._paused = False
        self._body: _Body | None = None
        self._done: Deferred[None] | None = None
        self._splice: Splice | None = None
        self._ended = False

    def start(self, receiver: IByteReceiver) -> Deferred[None]:
        """Let the bytes come.

        Cancelling it cuts the connection.

        :raises Unreachable: the service broke off, or sends nothing more.
        :raises WrongLength: it sends more than it announced.
        """
        assert self._done is None, "a stream comes once"
        done = self._done = Deferred(lambda _: self.stop())
        if self._ended:
            done.cancel()
            return done
        self._body = _Body(receiver, self)
        self._watch.begin(self._stall_time)
        self._exchange.deliverBody(self._body)
        if self._paused:
            self.pause()
        return done

    def pause(self) -> None:
        """Let no more come until :meth:`resume`; those on their way may still do."""
        self._paused = True
        if self._body is not None and not self._ended:
            self._watch.end()
            self._body.transport.pauseProducing()

    def resume(self) -> None:
        """Let them come again."""
        self._paused = False
        if self._body is not None and not self._ended:
            self._watch.begin(self._stall_time)
            self._body.transport.resumeProducing()

    def stop(self) -> None:
        """Cut the connection, unless all has come."""
        if not self._ended:
            self._end()
            self._exchange.abort()

    def splice(
        self, outlet: Outlet, expected: int, flow: Flow, passed: Callable[[int], None]
    ) -> bool:
        """Let the bytes go into a connection from now on; only the last ones come as before.

        :param expected: how many are still to come.
        :param flow: is to pause and resume the stream.
        :param passed: told how many went there.
        :returns: whether they do.
        """
        body, inlet = self._body, self._exchange.inlet()
        if self._ended or body is None or inlet is None or self._splice is not None:
            return False
        if inlet.counter.contentLength != expected:
            return False

        def count(number: int) -> None:
            body.received += number
            self.arrived()
            passed(number)

        self._splice = splice(inlet, outlet, flow, count)
        return self._splice is not None

    # What the body tells.

    def arrived(self) -> None:
        """Note that something came."""
        if not self._paused:
            self._watch.begin(self._stall_time)

    def over(self, reason: Failure, received: int) -> None:
        """Note that nothing more will come.

        :param received: bytes that came.
        """
        if self._ended:
            return
        if not reason.check(ResponseDone, PotentialDataLoss):
            cause = reason.value or ConnectionLost()
            known = received if self.size is None else f"{received} of {self.size}"
            text = f"broke off after {known} bytes of data: {describe(cause)}."
            self._fail(Unreachable(f"{self._place} {text}"))
        elif self._exchange.surplus:
            text = f"sends more data than the {self.size} bytes that it announced."
            self._fail(WrongLength(f"{self._place} {text}"))
        else:
            self._end()
            assert self._done is not None
            self._done.callback(None)

    def refused(self, failure: Failure) -> None:
        """Note that the receiver failed."""
        if not self._ended:
            self._fail(failure)

    def _stalled(self) -> None:
        self._fail(Unreachable(f"{self._place} has sent no data for {self._stall_time:g} s."))

    def _fail(self, failure: Failure | Exception) -> None:
        self.stop()
        assert self._done is not None
        self._done.errback(failure)

    def _end(self) -> None:
        self._ended = True
        self._watch.stop()
        if self._splice is not None:
            self._splice.stop()
        if self._body is not None:
            self._body.receiver = None


class _Body(Protocol):
    """Hands on what comes."""

    transport: Any

    def __init__(self, receiver: IByteReceiver, stream: DataStream) -> None:
        self.receiver: IByteReceiver | None = receiver
        self._stream = stream
        self.received = 0

    def dataReceived(self, data: bytes) -> None:
        if self.receiver is None:
            return
        self.received += len(data)
        self._stream.arrived()
        try:
            self.receiver.write(data)
        except Exception:
            self._stream.refused(Failure())

    def connectionLost(self, reason: Failure = DONE) -> None:
        self._stream.over(reason, self.received)
