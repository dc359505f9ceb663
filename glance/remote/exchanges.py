"""Requests whose bodies, or whose answers' bodies, are streams.

Twisted's client does what is needed but for four things, which :class:`_Connection` adds: an
answer counts when its head is there, also while the request is still being sent; a request can wait
for ``100 Continue`` (RFC 9110, section 10.1.1); more is read and written at once, since each time
costs; and what the system takes at once is never copied into a buffer. It touches what Twisted does
not promise to keep, and so does :mod:`glance.remote.splicing`; nothing else here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import Agent, HTTPConnectionPool, RequestGenerationFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IPolicyForHTTPS
from zope.interface import implementer

from glance.identity.http import KEPT_CONNECTIONS, Address, calling, innermost
from glance.identity.timing import cancellable
from glance.remote.splicing import Inlet, Outlet

#: Bytes read from a connection, and kept for one to be written, at once.
CHUNK = 512 * 1024

#: Bytes read at once while an answer's head is awaited: what follows it is copied for each line.
_NARROW = 16 * 1024

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST_UNMAPPED = 32 * 1024 * 1024


class Upload(Protocol):
    """The body of a request that waits for being wanted: an ``IBodyProducer``, and this."""

    length: Any

    def connected(self, unsent: Callable[[], int], outlet: Outlet | None = None) -> None:
        """Note that the request's head is being sent.

        :param unsent: tells how many bytes the connection has still to hand to the system.
        :param outlet: where the body can go without coming through us; ``None`` for nowhere.
        """

    def proceed(self) -> None:
        """Send: the body is wanted."""

    def stopProducing(self) -> None:
        """Send no more."""


class Exchange:
    """A request and its answer, whose head is there."""

    def __init__(
        self,
        response: Any,
        abort: Callable[[], None],
        widen: Callable[[], None],
        inlet: Callable[[], Inlet | None],
    ) -> None:
        self._response = response
        self._widen = widen
        self.abort = abort
        #: Returns where the body comes from, if it may go from there without coming through us.
        self.inlet = inlet
        #: Whether more came than the answer announced.
        self.surplus = False
        #: Whether the body is not the data itself, although that was asked for.
        self.encoded = False

    @property
    def code(self) -> int:
        """The answer's status, as Twisted and treq call it."""
        return self._response.code

    status = code

    @property
    def headers(self) -> Headers:
        """The answer's headers."""
        return self._response.headers

    @property
    def length(self) -> int | None:
        """Bytes of the answer's body, ``None`` where nobody said."""
        length = self._response.length
        return None if length == UNKNOWN_LENGTH else length

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        values = self.headers.getRawHeaders(name)
        return values[-1] if values else None

    def deliverBody(self, protocol: IProtocol) -> None:
        """Have the answer's body delivered to a protocol, as Twisted does."""
        self._widen()
        self._response.deliverBody(protocol)


class Exchanges:
    """Makes such requests to one service, as many at once as are asked for.

    :param tls: how connections are made where they are secured.
    :param connect_time: seconds that a connection may take to be made.
    :param chunk_size: bytes read and written at once.
    """

    def __init__(
        self,
        reactor: Any,
        tls: IPolicyForHTTPS,
        *,
        connect_time: float,
        chunk_size: int = CHUNK,
    ) -> None:
        _keep_memory(chunk_size)
        pool = HTTPConnectionPool(reactor, persistent=True)
        pool.maxPersistentPerHost = KEPT_CONNECTIONS
        vars(pool)["_factory"] = lambda quiescent, _: _Factory(quiescent, chunk_size)
        agent = Agent(reactor, contextFactory=tls, connectTimeout=connect_time, pool=pool)
        self._treq = HTTPClient(_Literal(agent))
        self._reactor = reactor

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: Upload | None = None
    ) -> Exchange:
        """Make a request; return when the head of the answer is there.

        What ends the body too early is raised as it came. Cancelling closes the connection.

        :raises CallFailed: there was no answer; its ``cause`` says why.
        """
        sent = Headers({"User-Agent": ["glance"]})
        for name, value in headers.items():
            sent.setRawHeaders(name, [value])
        with calling(method, url):
            asked: Any = self._treq.request(
                method,
                Address.from_text(url),
                headers=sent,
                data=body,  # type: ignore[arg-type]
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,
            )
            try:
                return (await cancellable(asked)).original
            except RequestGenerationFailed as error:
                raise innermost(error) from None


@implementer(IAgent)
class _Literal:
    """Asks for data as it is: treq would have it compressed, and then nobody knew its length."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        """Make a request, as the interface says."""
        headers.setRawHeaders(b"Accept-Encoding", [b"identity"])
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(_as_it_came)


def _as_it_came(exchange: Any) -> Exchange:
    """Let nobody decode an answer; only note that it would have to be."""
    encodings = exchange.headers.getRawHeaders(b"Content-Encoding", [])
    exchange.encoded = any(one.strip().lower() != b"identity" for one in encodings)
    exchange.headers.removeHeader(b"Content-Encoding")
    return exchange


def _keep_memory(chunk_size: int) -> None:
    """Have the memory of one piece of data serve the next.

    Else glibc gives it back and gets it anew, zeroed page by page, for each: that takes more than
    twice the time of all the rest.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, min(4 * chunk_size, _MOST_UNMAPPED))
        mallopt(_TRIM_THRESHOLD, 32 * chunk_size)


class _Factory:
    """Makes connections for a pool."""

    noisy = False

    def __init__(self, quiescent: Callable[..., None], chunk_size: int) -> None:
        self._quiescent = quiescent
        self._chunk_size = chunk_size

    def doStart(self) -> None:
        """Begin; there is nothing to do."""

    def doStop(self) -> None:
        """End; there is nothing to do."""

    def buildProtocol(self, _: Any) -> _Connection:
        """Make what speaks HTTP."""
        return _Connection(self._quiescent, self._chunk_size)


class _Connection(HTTP11ClientProtocol):
    transport: Any
    _responseDeferred: Any
    _finishedRequest: Any
    _currentRequest: Any

    def __init__(self, quiescent: Callable[..., None], chunk_size: int) -> None:
        super().__init__(quiescent)
        self._chunk_size = chunk_size
        self._narrow = min(_NARROW, chunk_size)
        self._early = False
        self._turn: object = None
        self._exchange: Exchange | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        # Below TLS there is another one.
        bottom = getattr(self.transport, "transport", self.transport)
        bottom.bufferSize, bottom.SEND_LIMIT = self._narrow, self._chunk_size
        self._bottom = bottom
        self._put_aside = bottom.write
        bottom.write = self._write

    def _write(self, data: bytes) -> None:
        """Write at once what the system takes at once; Twisted copies it first."""
        bottom = self._bottom
        ready = bottom.connected and not bottom.disconnecting and not self._unsent()
        if ready and len(data) >= self._narrow:
            sent = bottom.writeSomeData(data)
            # What is wrong with the connection is found out once more, in its place.
            if isinstance(sent, int):
                data = data[sent:]
        if data:
            self._put_aside(data)

    def _widen(self) -> None:
        self._bottom.bufferSize = self._chunk_size

    def request(self, request: Any) -> Deferred[Any]:
        self._bottom.bufferSize = self._narrow
        body = request.bodyProducer
        if body is not None:
            outlet = Outlet(self._bottom, self._unsent) if self._is_plain() else None
            body.connected(self._unsent, outlet)
        answered = super().request(request)
        turn = self._turn = object()
        self._exchange = None
        if self._state == "TRANSMITTING":
            parser = self._parser
            self._hear(parser, body)
            self._responseDeferred.addCallbacks(
                self._answered_early, self._unintelligible, (request,), None, (answered,)
            )

        def made(response: Any) -> Exchange:
            self._exchange = Exchange(response, lambda: self._abort(turn), self._widen, self._inlet)
            return self._exchange

        return answered.addCallback(made)

    def _hear(self, parser: Any, body: Upload) -> None:
        """Tell a body that it is wanted."""
        head_received = parser.allHeadersReceived

        def heard() -> None:
            if parser.response.code == 100:
                # As it does itself, but for a line in the log that it is unexpected.
                parser.connectionMade()
                del parser.response
                body.proceed()
            else:
                head_received()

        parser.allHeadersReceived = heard

    def _answered_early(self, response: Any, request: Any) -> Any:
        """Let an answer count that came in between; who asked stops the body then."""
        if self._state in ("TRANSMITTING", "TRANSMITTING_AFTER_RECEIVING_RESPONSE"):
            self._early = True
            self.transport.unregisterProducer()
            if self._state == "TRANSMITTING":
                # From here on all is as if the whole request had been sent, but for the
                # connection, which is good for no other.
                self._state = "WAITING"
                request.persistent = False
                self._responseDeferred.chainDeferred(self._finishedRequest)
            else:
                self.transport.abortConnection()
        return response

    def _unintelligible(self, failure: Failure, answered: Deferred[Any]) -> Failure | None:
        """Give up when what came in between is no answer; it would be sent on to the end else."""
        if self._state != "TRANSMITTING":
            return failure
        self._state = "GENERATION_FAILED"
        self.transport.unregisterProducer()
        self.transport.abortConnection()
        answered.errback(failure)
        return None

    def _finishResponse(self, rest: bytes) -> None:
        if rest:
            # Nobody knows what that is; the next answer, to whom it may seem to belong, it is not.
            self._currentRequest.persistent = False
            if self._exchange is not None:
                self._exchange.surplus = True
        super()._finishResponse(rest)

    def _giveUp(self, reason: Any) -> None:
        if self._early:
            # What was not sent yet is not wanted.
            self.transport.abortConnection()
        super()._giveUp(reason)

    def _inlet(self) -> Inlet | None:
        counter: Any = getattr(self._parser, "bodyDecoder", None)
        if self._is_plain() and getattr(counter, "contentLength", None) is not None:
            return Inlet(self._bottom, counter)
        return None

    def _is_plain(self) -> bool:
        """Tell whether there is nothing between us and the system, such as TLS."""
        return self._bottom is self.transport and hasattr(self._bottom, "fileno")

    def _abort(self, turn: object) -> None:
        # Once an exchange is over, the connection is another's.
        if turn is self._turn and self._state != "QUIESCENT":
            self.transport.abortConnection()

    def _unsent(self) -> int:
        bottom = self._bottom
        return len(bottom.dataBuffer) - bottom.offset + bottom._tempDataLen
