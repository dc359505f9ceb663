"""Serve requests whose bodies stream, on ``twisted.web``.

``twisted.web`` gathers a request's whole body, in memory or in a temporary file, before it asks a
resource anything. Here a request that brings image data is dispatched when its headers are
complete, and its body arrives as a :class:`~glance.api.body.RequestBody` with back-pressure; every
other body is kept in memory and may not exceed a limit.

It touches what Twisted does not promise to keep, following ``twisted.web.http`` of 26.10. So do
``glance.api.channel`` (the parser's state), ``glance.api.chunked`` (the decoder's states),
``glance.api.sending`` (the transport's buffers) and ``glance.api.healthcheck`` (whether a client is
still there); on the other side, where this service is the client, ``glance.stores.outbound``
(``Agent._requestWithEndpoint``), ``glance.identity.http`` (the pool's ``_factory``) and
``glance.identity.memcached`` (the protocol's ``_current``); and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, AnyStr

from twisted.internet.defer import succeed
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString, parse_qs
from twisted.web.resource import IResource
from twisted.web.server import Request, Site, version

from glance.api.body import RequestBody
from glance.api.channel import StreamingChannel
from glance.api.draining import Connections
from glance.api.limits import Limits
from glance.api.settings import Exposure
from glance.domain import forwarding
from glance.domain.correlation import Correlation, working_on
from glance.domain.cors import Cors
from glance.domain.forwarding import Forwarded
from glance.transfers.buffers import BufferPool


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
    _forwarded: Forwarded | None = None
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

    @property
    def forwarded(self) -> Forwarded:
        """What a proxy in front says of this request; nothing unless proxies are trusted."""
        if not self.site.trust_proxies:
            return forwarding.NOTHING
        if self._forwarded is None:
            self._forwarded = forwarding.parse(self._values)
        return self._forwarded

    def _values(self, name: str) -> list[str]:
        values = self.requestHeaders.getRawHeaders(name.encode("ascii"), [])
        return [value.decode("utf-8", "replace") for value in values]

    def client_host(self) -> str:
        """Return the client's address, by what a trusted proxy says if there is one."""
        return self.forwarded.client or str(self.getClientAddress().host)

    def gotLength(self, length: int | None) -> None:
        """Dispatch the request now if its body streams; otherwise make room for the body."""
        channel = self.channel
        # That was the head's; what follows has its own.
        channel.has_deadline = False
        self.site = site = channel.site
        if channel._path[0] != _SLASH and not self._take_absolute_form():
            self._refuse_unmeasured(400, "The request's target is neither a path nor a URL.")
            return
        encodings = self.requestHeaders.getRawHeaders(b"Transfer-Encoding")
        if encodings is not None and (length is not None or len(encodings) > 1):
            # Twisted lets "identity" pass; nothing tells where such a body ends.
            self._refuse_unmeasured(501, "The only transfer encoding known here is chunked.")
            return
        if encodings is not None and channel._version != b"HTTP/1.1":
            # Whoever is between the client and us need not know of chunks (RFC 9112, 6.1).
            self._refuse_unmeasured(400, "HTTP/1.0 knows no transfer encodings.")
            return
        streams = site.streams(channel._command, channel._path)
        if streams and channel._transferDecoder is None:
            explanation = "Image data needs a Content-Length, or to be sent chunked."
            self._refuse_unmeasured(411, explanation)
            return
        if length != 0 and streams:
            self.content = _NoContent()
            self.body = RequestBody(channel, site.buffers, length)
            channel.body_begins()
            self._take_request_line()
            self.process()
            return
        self.content = BytesIO()
        if length is not None and length > site.limits.body:
            self._refuse_body()

    def _take_absolute_form(self) -> bool:
        """Make a URL as the request's target a path (RFC 9112, section 3.2); tell if it was one."""
        channel = self.channel
        scheme, separator, rest = channel._path.partition(b"://")
        if separator and scheme.lower() in (b"http", b"https"):
            host, slash, path = rest.partition(b"/")
            channel._path = slash + path or b"/"
            self.requestHeaders.setRawHeaders(b"Host", [host])
            return True
        return channel._path == b"*"

    def _take_request_line(self) -> None:
        channel = self.channel
        self.method, self.uri = channel._command, channel._path
        self.clientproto = channel._version
        self.path, _, query = self.uri.partition(b"?")
        self.args = parse_qs(query, True)

    def handleContentChunk(self, data: bytes | memoryview) -> None:
        """Take in a piece of the body; a view is good for the length of the call."""
        if self.finished or self._disconnected:
            return
        if self.body is not None:
            self.body.received(data)
            return
        self.content.write(data)
        if self.content.tell() > self.site.limits.body:
            self._refuse_body()

    def _refuse_body(self) -> None:
        self.refuse(413, "The request's body is larger than this service accepts.")

    def _refuse_unmeasured(self, status: int, explanation: str) -> None:
        """Refuse a request of whose body nobody knows where it ends; nothing can follow it."""
        self.channel.take_until_closed()
        self.refuse(status, explanation)

    def refuse(self, status: int, explanation: str) -> None:
        """Answer the request before it is complete; no resource is asked about it."""
        self._refused = True
        self.site = self.channel.site
        self.setHeader(b"Server", version)
        self.setHeader(b"Date", datetimeToString())
        self.content = BytesIO()
        if hasattr(self.channel, "_command"):
            self._take_request_line()
        else:
            # Not even its first line could be read.
            self.method = self.uri = self.path = b"-"
            self.clientproto = b"HTTP/1.1"
        self.site.refuse(self, status, explanation)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Note the body's end; dispatch the request if that has not been done."""
        self._body_complete = True
        if self.body is not None:
            self.body.finished()
        elif not self._refused:
            self.content.seek(0)
            self.method, self.uri, self.clientproto = command, path, version
            self.path, _, query = path.partition(b"?")
            self.args = parse_qs(query, True)
            self.process()

    def allow_origin(self, cors: Cors) -> None:
        """Tell the browser of a page of another origin whether that page may see the answer."""
        headers = self.responseHeaders
        if cors.varies:
            headers.addRawHeader(b"Vary", b"Origin")
        origin = self.getHeader("Origin")
        if origin is None:
            return
        asked = self.getHeader("Access-Control-Request-Method")
        if self.method == b"OPTIONS" and asked is not None:
            names = ",".join(self._values("Access-Control-Request-Headers"))
            found = cors.preflight(origin, asked, names)
        else:
            found = cors.simple(origin)
        for name, value in found:
            headers.setRawHeaders(name.encode(), [value.encode()])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the body's reader, then everybody else."""
        if self.body is not None:
            self.body.lost()
        super().connectionLost(reason)

    def streaming_body(self) -> RequestBody:
        """Return the body as a stream, also one that is here already."""
        if self.body is None:
            data = self.content.getvalue()
            self.body = RequestBody(self.channel, self.site.buffers, len(data))
            if data:
                self.body.received(data)
            self.body.finished()
        return self.body

    @property
    def body_pending(self) -> bool:
        """Whether the client may still be sending this request's body."""
        return not self._body_complete


_SLASH = ord("/")

#: Connections taken at once from the kernel's queue when no more are to come.
MOST_WAITING = 65536


class StreamingSite(Site):
    """The HTTP server behind one port.

    :param resource: the root.
    :param streams: tells by method and URI whether a request's body is to stream.
    :param refuse: answers a request that no resource is asked about: status, explanation.
    :param exposure: what those who come in by this port may see.
    :param cors: pages of which origins may use the service, ``None`` to say nothing about that.
    :param trust_proxies: believe what a proxy in front says of the request.
    :param log: writes the access log's line.
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
        limits: Limits,
        exposure: Exposure = Exposure(),  # noqa: B008 - it is frozen
        cors: Cors | None = None,
        trust_proxies: bool = False,
        log: Callable[[StreamingRequest], None] | None = None,
    ) -> None:
        super().__init__(
            resource, requestFactory=StreamingRequest, timeout=limits.idle_time, reactor=reactor
        )
        self.streams = streams
        self.refuse = refuse
        self.limits = limits
        self.exposure = exposure
        self.cors = cors
        self.trust_proxies = trust_proxies
        self.buffers = BufferPool()
        self.connections = Connections(reactor)
        self._log_request = log
        self._open = 0
        self._port: Any = None

    def beside(self, exposure: Exposure) -> StreamingSite:
        """Make the server of a second port of the same service."""
        site = StreamingSite(
            self.resource,
            self.reactor,
            streams=self.streams,
            refuse=self.refuse,
            limits=self.limits,
            exposure=exposure,
            cors=self.cors,
            trust_proxies=self.trust_proxies,
            log=self._log_request,
        )
        site.buffers = self.buffers
        site.connections = self.connections
        return site

    def acceptableProtocols(self) -> list[bytes]:
        """Return what may be agreed on over TLS: this server speaks no HTTP/2."""
        return [b"http/1.1"]

    def protocol(self) -> StreamingChannel:  # type: ignore[override]
        """Make the protocol of one connection."""
        channel = StreamingChannel()
        limits = self.limits
        channel.totalHeadersSize = max(limits.head, limits.line)
        channel.maxHeaders = limits.headers
        channel.MAX_LENGTH = limits.line
        return channel

    def serve(self, port: Any) -> None:
        """Take note of the port, which takes no connections while there are as many as may be."""
        self._port = port
        if not self.limits.connections:
            return
        take: Callable[[], None] = port.doRead

        def take_one() -> None:
            # A port does not look whether it has been paused before it takes the next, and takes
            # the more the more had come.
            port.numberAccepts = 1
            take()

        port.doRead = take_one

    def stop_serving(self, take_waiting: bool) -> Any:
        """Take no more connections; return a Deferred of the port's end.

        :param take_waiting: take those first that wait in the kernel's queue, for nobody else will.
        """
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        if take_waiting:
            self._take_waiting(port)
        return port.stopListening()

    def _take_waiting(self, port: Any) -> None:
        most = self.limits.connections
        for _ in range(MOST_WAITING):
            if most and self._open >= most:
                return
            before = port.sessionno
            port.numberAccepts = 1
            port.doRead()
            if port.sessionno == before:
                return

    def connection_made(self, connection: StreamingChannel) -> None:
        """Count a connection."""
        self.connections.add(connection)
        self._open += 1
        if self._port is not None and self._open == self.limits.connections:
            # Those that wait in the kernel's queue can be taken by another process.
            self._port.pauseProducing()

    def connection_lost(self, connection: StreamingChannel) -> None:
        """Count one less."""
        self.connections.remove(connection)
        self._open -= 1
        if self._port is not None and self._open == self.limits.connections - 1:
            self._port.resumeProducing()

    def log(self, request: Any) -> None:
        """Write the access log's line."""
        if self._log_request is not None:
            with working_on(request.correlation):
                self._log_request(request)
