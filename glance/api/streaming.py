"""Serve requests whose bodies stream, on ``twisted.web``.

``twisted.web`` gathers a request's whole body, in memory or in a temporary file, before it asks a
resource anything. Here a request that brings image data is dispatched when its headers are
complete, and its body arrives as a :class:`~glance.api.body.RequestBody` with back-pressure; every
other body is kept in memory and may not exceed a limit.

It touches what Twisted does not promise to keep: the channel's command, path, transfer decoder and
flow control; it follows ``twisted.web.http`` of 26.10. So do ``glance.api.chunked`` (the decoder's
states), ``glance.api.sending`` (the transport's buffers) and ``glance.api.healthcheck`` (whether a
client is still there), and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, AnyStr

from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, _IdentityTransferDecoder, parse_qs
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Request, Site
from zope.interface import implementer

from glance.api.body import RequestBody
from glance.api.chunked import ChunkedDecoder
from glance.domain.correlation import Correlation, working_on
from glance.transfers.buffers import BufferPool

#: Bytes taken from a socket at once while image data comes in.
READ_SIZE = 256 * 1024

#: The same while chunks are smaller than a crumb on average, for each takes time of its own.
CRUMBS_READ_SIZE = 16 * 1024
CRUMB = 256

#: After an answer that came before the body's end, how long the rest is read and thrown away, so
#: that the client gets to read the answer: seconds in all, and seconds without a byte.
LINGER_TIME = 30.0
LINGER_IDLE = 5.0

#: Bytes that a request's line and headers may have in all, unless one line may have more.
MAX_HEAD = 64 * 1024

#: Digits that a Content-Length may have; what it says fits 64 bits then.
MAX_LENGTH_DIGITS = 18


class _NoContent(BytesIO):
    """Stands where ``twisted.web`` expects the gathered body of a request whose body streams."""


class StreamingRequest(Request):
    """A request whose body may stream.

    :ivar body: the streaming body, ``None`` for other requests.
    :ivar correlation: what log lines say of the request, once it is known.
    """

    body: RequestBody | None = None
    correlation: Correlation | None = None
    _body_complete = False
    _refused = False
    channel: StreamingChannel
    content: BytesIO
    site: StreamingSite

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """Return a header's last value; bytes that are no UTF-8 in it do not matter."""
        if isinstance(key, bytes):
            return super().getHeader(key)
        value = super().getHeader(key.encode("ascii"))
        return None if value is None else value.decode("utf-8", "replace")

    def getRequestHostname(self) -> bytes:
        """Return a name for routing, which goes by paths alone and would fail for odd names."""
        return b"localhost"

    def gotLength(self, length: int | None) -> None:
        """Dispatch the request now if its body streams; otherwise make room for the body."""
        channel = self.channel
        site = channel.site
        streams = site.streams(channel._command, channel._path)
        if self.requestHeaders.hasHeader(b"Transfer-Encoding") and length is not None:
            # Twisted lets "identity" pass; nothing tells where such a body ends.
            self._refuse_unmeasured(501, "The only transfer encoding known here is chunked.")
            return
        if streams and channel._transferDecoder is None:
            explanation = "Image data needs a Content-Length, or to be sent chunked."
            self._refuse_unmeasured(411, explanation)
            return
        if length != 0 and streams:
            self.content = _NoContent()
            self.body = RequestBody(channel, site.buffers, length)
            channel.body_begins()
            self._take_request_line(channel._command, channel._path, channel._version)
            self.process()
            return
        self.content = BytesIO()
        if length is not None and length > site.body_limit:
            self._take_request_line(channel._command, channel._path, channel._version)
            self._refuse_body()

    def _take_request_line(self, command: bytes, uri: bytes, version: bytes) -> None:
        self.method, self.uri, self.clientproto = command, uri, version
        self.path, _, query = uri.partition(b"?")
        self.args = parse_qs(query, True)

    def handleContentChunk(self, data: bytes | memoryview) -> None:
        """Take in a piece of the body; a view is good for the length of the call."""
        if self.finished or self._disconnected:
            return
        if self.body is not None:
            self.body.received(data)
            return
        self.content.write(data)
        channel = self.channel
        if self.content.tell() > channel.site.body_limit:
            self._take_request_line(channel._command, channel._path, channel._version)
            self._refuse_body()

    def _refuse_body(self) -> None:
        self._refuse(413, "The request's body is larger than this service accepts.")

    def _refuse_unmeasured(self, status: int, explanation: str) -> None:
        """Refuse a request of whose body nobody knows where it ends; nothing can follow it."""
        channel = self.channel
        self.content = BytesIO()
        self._take_request_line(channel._command, channel._path, channel._version)
        channel.take_until_closed()
        self._refuse(status, explanation)

    def _refuse(self, status: int, explanation: str) -> None:
        self._refused = True
        self.channel.site.refuse(self, status, explanation)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Note the body's end; dispatch the request if that has not been done."""
        self._body_complete = True
        if self.body is not None:
            self.body.finished()
        elif not self._refused:
            self.content.seek(0)
            self._take_request_line(command, path, version)
            self.process()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the body's reader, then everybody else."""
        if self.body is not None:
            self.body.lost()
        super().connectionLost(reason)

    def streaming_body(self) -> RequestBody:
        """Return the body as a stream, also one that is here already."""
        if self.body is None:
            data = self.content.getvalue()
            self.body = RequestBody(self.channel, self.channel.site.buffers, len(data))
            if data:
                self.body.received(data)
            self.body.finished()
        return self.body

    @property
    def body_pending(self) -> bool:
        """Whether the client may still be sending this request's body."""
        return not self._body_complete


@implementer(IHalfCloseableProtocol)
class StreamingChannel(HTTPChannel):
    """One connection; also the :class:`~glance.api.body.Flow` of the body coming over it."""

    site: StreamingSite
    _paused_by_body = False
    _lingering = False
    _linger_call: Any = None
    _continue_due = False
    _body_wanted = False
    _normal_read_size: int | None = None
    _host: Any = None
    _sending_ended = False

    def getHost(self) -> Any:
        """Return the local address; the kernel is asked once a connection."""
        if self._host is None:
            self._host = super().getHost()
        return self._host

    # Body flow.

    def body_begins(self) -> None:
        """Get ready for a long body."""
        self._body_wanted = self._continue_due = False
        if self.length is None:
            self._transferDecoder = ChunkedDecoder(
                self.requests[-1].handleContentChunk, self._finishRequestBody
            )
        transport = self.transport
        if ITCPTransport.providedBy(transport) and hasattr(transport, "bufferSize"):
            self._normal_read_size = transport.bufferSize
            transport.bufferSize = READ_SIZE

    def rawDataReceived(self, data: bytes) -> None:
        """Take in a part of a body; take less at a time of one that comes in crumbs."""
        decoder = self._transferDecoder
        super().rawDataReceived(data)
        if self._normal_read_size is not None and isinstance(decoder, ChunkedDecoder):
            transport: Any = self.transport
            crumbs = decoder.pieces * CRUMB > len(data)
            transport.bufferSize = CRUMBS_READ_SIZE if crumbs else READ_SIZE

    def take_until_closed(self) -> None:
        """Treat everything that still comes as the body of the present request."""
        self.length = None
        self._transferDecoder = _IdentityTransferDecoder(
            None, self.requests[-1].handleContentChunk, self._finishRequestBody
        )

    def headerReceived(self, line: bytes) -> bool:
        """Take in a header; refuse a length that no image has and Python would not read."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > MAX_LENGTH_DIGITS:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def pause(self) -> None:
        """Take no more of the body; the idle clock stands still meanwhile."""
        if not self._paused_by_body:
            self._paused_by_body = True
            self.setTimeout(None)
            self._networkProducer.pauseProducing()

    def resume(self) -> None:
        """Take more of the body."""
        if self._paused_by_body:
            self._paused_by_body = False
            if not self._handlingRequest:
                self.setTimeout(self.site.timeOut)
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()

    def want(self) -> None:
        """Send ``100 Continue`` if the client waits for it."""
        self._body_wanted = True
        if self._continue_due:
            self._continue_due = False
            super()._send100Continue()

    def _send100Continue(self) -> None:
        request = self.requests[-1]
        if request.finished or request.startedWriting:
            return
        if request.body is None or self._body_wanted:
            super()._send100Continue()
        else:
            self._continue_due = True

    def resumeProducing(self) -> None:
        """Go on writing; go on reading only if the body's reader keeps up."""
        super().resumeProducing()
        if self._paused_by_body:
            self._networkProducer.pauseProducing()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Keep the connection for more requests, if that is configured."""
        if not self.site.keep_alive:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def allContentReceived(self) -> None:
        """Hand the end of the body on, or end a connection that only waited for it."""
        if self._normal_read_size is not None:
            transport: Any = self.transport
            transport.bufferSize = self._normal_read_size
            self._normal_read_size = None
        if self._lingering:
            self.loseConnection()
        else:
            # The clock may stand still just now; it goes on with the next request.
            self._savedTimeOut = self.site.timeOut
            super().allContentReceived()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line of the head that is too long, in so many words."""
        self._respondToBadRequestAndDisconnect()

    # Answers that come before the body's end.

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Headers | Any
    ) -> None:
        """Write an answer's headers; say so when the connection will not outlive it."""
        if self.requests and self.requests[0].body_pending and isinstance(headers, Headers):
            self.persistent = False
            headers.setRawHeaders(b"Connection", [b"close"])
        super().writeHeaders(version, code, reason, headers)

    def requestDone(self, request: StreamingRequest) -> None:
        """Go on to the next request, or linger if this one's body is still coming."""
        if request.body is not None:
            request.body.close()
        if not request.body_pending:
            super().requestDone(request)
            if self._sending_ended:
                self.readConnectionLost()
            return
        self._lingering = True
        self._linger_call = self.callLater(LINGER_TIME, self.forceAbortClient)
        self.resume()
        self.setTimeout(LINGER_IDLE)
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()

    # A client that has said all it will and waits for its answer.

    def readConnectionLost(self) -> None:
        """Answer what has arrived whole before the connection is closed."""
        self._sending_ended = True
        transport: Any = self.transport
        if transport.disconnecting:
            return
        if self._lingering or not self._handlingRequest:
            # Nothing is under way, or something whose rest will never come.
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side never ends its sending alone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the timer along with everything else."""
        if self._linger_call is not None and self._linger_call.active():
            self._linger_call.cancel()
        super().connectionLost(reason)


class StreamingSite(Site):
    """The HTTP server.

    :param resource: the root.
    :param streams: tells by method and URI whether a request's body is to stream.
    :param refuse: answers a request that no resource is asked about: status, explanation.
    :param body_limit: most bytes of a body that does not stream.
    :param timeout: seconds without a byte after which a connection is closed.
    :param max_header: most bytes of a request's line, and of each header.
    """

    requestFactory = StreamingRequest
    displayTracebacks = False

    def __init__(
        self,
        resource: IResource,
        reactor: Any,
        *,
        streams: Callable[[bytes, bytes], bool],
        refuse: Callable[[StreamingRequest, int, str], None],
        body_limit: int,
        timeout: float | None,
        max_header: int,
        keep_alive: bool = True,
        log: Callable[[StreamingRequest], None] | None = None,
    ) -> None:
        super().__init__(
            resource, requestFactory=StreamingRequest, timeout=timeout, reactor=reactor
        )
        self.streams = streams
        self.refuse = refuse
        self.body_limit = body_limit
        self.buffers = BufferPool()
        self._log_request = log
        self._max_header = max_header
        self.keep_alive = keep_alive

    def protocol(self) -> StreamingChannel:  # type: ignore[override]
        """Make the protocol of one connection."""
        channel = StreamingChannel()
        channel.totalHeadersSize = max(MAX_HEAD, self._max_header)
        channel.MAX_LENGTH = self._max_header
        return channel

    def log(self, request: Any) -> None:
        """Write the access log's line."""
        if self._log_request is not None:
            with working_on(request.correlation):
                self._log_request(request)
