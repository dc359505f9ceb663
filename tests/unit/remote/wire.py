"""Connections in memory, whose other end is the test."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface import implementer

from glance.identity.http import HttpCaller
from glance.remote.endpoint import Endpoint
from glance.remote.exchanges import Exchanges
from glance.remote.images import RemoteImages
from glance.remote.service import ImageService
from glance.remote.streams import IByteStream
from glance.remote.tokens import GivenToken
from glance.remote.transfers import Transfers

ENDPOINT = Endpoint("127.0.0.1", 9292)
IMAGE = "11111111-1111-4111-8111-111111111111"
#: What the classes under test are given.
SECONDS, STALL = 20.0, 7.0


class Wire(StringTransport):
    """A connection: what was written to it, and whether it is read from."""

    bufferSize = SEND_LIMIT = 0
    aborted = False
    offset = 0
    dataBuffer = b""
    _tempDataLen = 0

    def writeSomeData(self, data: bytes) -> int:
        """Take nothing at once."""
        return 0

    def abortConnection(self) -> None:
        self.aborted = self.disconnected = True
        self.producerState = "stopped"

    def loseConnection(self) -> None:
        self.disconnecting = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def take(self) -> bytes:
        """Return what was written since the last time."""
        data = self.value()
        self.clear()
        return data


class Link:
    """One connection with its two ends."""

    def __init__(self, protocol: Any) -> None:
        self.wire = Wire()
        self.protocol = protocol
        protocol.makeConnection(self.wire)

    @property
    def paused(self) -> bool:
        return self.wire.producerState == "paused"

    def head(self) -> tuple[str, dict[str, str]]:
        """Return the line and the headers of the request; what follows stays."""
        head, _, rest = self.wire.take().partition(b"\r\n\r\n")
        self.wire.write(rest)
        line, *lines = head.decode().split("\r\n")
        return line, {
            name.lower(): value for name, _, value in (one.partition(": ") for one in lines)
        }

    def answer(self, *pieces: bytes) -> None:
        """Have bytes arrive."""
        for piece in pieces:
            assert not self.wire.aborted
            self.protocol.dataReceived(piece)

    def lose(self, error: Exception | None = None) -> None:
        """Have the connection end."""
        producer = self.wire.producer
        if producer is not None:
            # As Twisted's own do.
            self.wire.producer = None
            producer.stopProducing()
        self.protocol.connectionLost(Failure(error or ConnectionDone()))


@implementer(IByteStream)
class Bytes:
    """A stream that the test lets come."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size
        self.offset = 0
        self.receiver: Any = None
        self.done: Any = None
        self.calls: list[str] = []

    def start(self, receiver: Any) -> Deferred[None]:
        self.calls.append("start")
        self.receiver = receiver
        self.done = Deferred(lambda _: self.calls.append("cancel"))
        return self.done

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def stop(self) -> None:
        self.calls.append("stop")


class Sink:
    """Takes bytes."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


class WireTestCase(SynchronousTestCase):
    """Tests of transfers over connections in memory."""

    token: str | None = None

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.tokens: Any = GivenToken(self.token)
        http = HttpCaller(self.reactor, None)
        service = ImageService(http, ENDPOINT, self.tokens, SECONDS)
        exchanges = Exchanges(
            self.reactor, BrowserLikePolicyForHTTPS(), connect_time=5, chunk_size=1000
        )
        self.transfers = Transfers(
            self.reactor, service, exchanges, seconds=SECONDS, stall_time=STALL
        )
        self.images = RemoteImages(service, self.transfers)

    def link(self) -> Link:
        """Make the connection that is being asked for."""
        factory = self.reactor.tcpClients.pop(0)[2]
        return Link(factory.buildProtocol(None))

    def refuse(self) -> None:
        """Refuse the connection that is being asked for."""
        factory = self.reactor.tcpClients.pop(0)[2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        # There might be another address.
        self.reactor.advance(1)

    def open(self, offset: int = 0) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.images.open_data(IMAGE, offset))

    def upload(self, stream: Any, **more: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(self.images.upload(IMAGE, stream, **more))

    def failed(self, work: Deferred[Any], kind: type[Exception]) -> Any:
        """Return what the work fails with."""
        error = self.failureResultOf(work, kind).value
        self.assertNotIn("canary", str(error))
        return error
