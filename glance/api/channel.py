"""One connection of the HTTP server: its limits, its clocks, the flow of bodies over it.

``twisted.web`` parses; what is here decides how long it may take and how large it may become, gives
an answer where Twisted just hangs up, and keeps a body, or a crowd of pipelined requests, from
filling memory. It touches what Twisted does not promise to keep: the channel's command, path,
header counts, transfer decoder, buffers and flow control; it follows ``twisted.web.http`` of 26.10.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, _IdentityTransferDecoder
from twisted.web.http_headers import Headers
from zope.interface import implementer

from glance.api.chunked import ChunkedDecoder
from glance.api.draining import MOST_ANSWERS
from glance.domain.errors import Invalid

if TYPE_CHECKING:
    from glance.api.streaming import StreamingRequest, StreamingSite

#: Bytes taken from a socket at once while image data comes in.
READ_SIZE = 256 * 1024

#: The same while chunks are smaller than a crumb on average, for each takes time of its own.
CRUMBS_READ_SIZE = 16 * 1024
CRUMB = 256

#: After an answer that came before the body's end, how long the rest is read and thrown away, so
#: that the client gets to read the answer: seconds in all, and seconds without a byte.
LINGER_TIME = 30.0
LINGER_IDLE = 5.0

#: Seconds that a client has to let a connection be closed when everything has been sent.
CLOSING_TIME = 30.0

#: Digits that a Content-Length may have; what it says fits 64 bits then.
MAX_LENGTH_DIGITS = 18

#: Bytes taken of the requests that wait behind the one being answered.
PIPELINED = 16 * 1024


@implementer(IHalfCloseableProtocol)
class StreamingChannel(HTTPChannel):
    """One connection; also the :class:`~glance.api.body.Flow` of the body coming over it."""

    site: StreamingSite
    #: The clock runs towards a fixed time, which nothing that arrives puts off.
    has_deadline = False
    _pipelined = 0
    #: A request that has been answered, with an answer that the client does not take.
    _untaken: StreamingRequest | None = None
    _paused_by_body = False
    _lingering = False
    _linger_call: Any = None
    #: What was left to send when that was last looked at while closing, and since when.
    _left: tuple[int, float] = (0, 0.0)
    _continue_due = False
    _body_wanted = False
    _normal_read_size: int | None = None
    _host: Any = None
    _sending_ended = False
    made_at = 0.0
    answered_at: float | None = None
    #: Answers given while all connections are being ended.
    _last_answers = 0

    def getHost(self) -> Any:
        """Return the local address; the kernel is asked once a connection."""
        if self._host is None:
            self._host = super().getHost()
        return self._host

    # What comes in, and by when.

    def dataReceived(self, data: bytes) -> None:
        """Take in data; set a deadline for a head or a small body that it leaves incomplete."""
        if not self.has_deadline:
            self.resetTimeout()
        if self.line_mode and (self.requests or b"\r\n " in data or b"\r\n\t" in data):
            # Perhaps a folded header, or one whose fold begins with this data.
            self.lineReceived = self._strict_line  # type: ignore[method-assign]
        LineReceiver.dataReceived(self, data)
        if self.has_deadline or self._handlingRequest or self._lingering:
            return
        if self.line_mode:
            if self._buffer or self.requests:
                self._must_come_within(self.site.limits.head_time)
        elif self.requests[-1].body is None:
            self._must_come_within(self.site.limits.body_time)

    def _strict_line(self, line: bytes) -> None:
        """Take in a line of the head; refuse one that goes on with the header before it.

        Others strip what it begins with and take it for a header of its own, which two parsers of
        one request must not be at odds about (RFC 9112, section 5.2).
        """
        if line and line[0] in b" \t" and self.requests:
            self._respondToBadRequestAndDisconnect()
        else:
            HTTPChannel.lineReceived(self, line)

    def _must_come_within(self, seconds: float | None) -> None:
        if seconds is not None:
            self.has_deadline = True
            self.setTimeout(seconds)

    def timeoutConnection(self) -> None:
        """Give a client up; tell it why if it is in the middle of a request."""
        if self.has_deadline:
            self.has_deadline = False
            self.refuse(408, "The request did not arrive in time.")
            self.loseConnection()
        else:
            super().timeoutConnection()

    def rawDataReceived(self, data: bytes) -> None:
        """Take in a part of a body, or keep what follows the request being answered."""
        if self._handlingRequest:
            self._dataBuffer.append(data)
            self._pipelined += len(data)
            if self._pipelined > PIPELINED:
                self._networkProducer.pauseProducing()
            return
        decoder = self._transferDecoder
        super().rawDataReceived(data)
        if self._normal_read_size is not None and isinstance(decoder, ChunkedDecoder):
            # Take less at a time of a body that comes in crumbs.
            crumbs = decoder.pieces * CRUMB > len(data)
            _socket_of(self).bufferSize = CRUMBS_READ_SIZE if crumbs else READ_SIZE

    def headerReceived(self, line: bytes) -> bool:
        """Take in a header; refuse a length that no image has and Python would not read."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > MAX_LENGTH_DIGITS:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line of the head that is too long."""
        if self.requests:
            self.refuse(431, f"A header is longer than {self.MAX_LENGTH} bytes.")
        else:
            self.refuse(414, f"The request line is longer than {self.MAX_LENGTH} bytes.")

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Refuse what breaks the rules."""
        body = self.requests[-1].body if self.requests else None
        if body is not None:
            # The request is being worked on and will be answered by whoever reads its body.
            self.take_until_closed()
            body.fail(Invalid("The body breaks the rules of the chunked encoding."))
        elif self._receivedHeaderSize > self.totalHeadersSize:
            self.refuse(431, f"The headers are longer than {self.totalHeadersSize} bytes in all.")
        elif self._receivedHeaderCount > self.maxHeaders:
            self.refuse(431, f"There are more than {self.maxHeaders} headers.")
        else:
            self.refuse(400, "The request breaks the rules of HTTP.")

    def refuse(self, status: int, explanation: str) -> None:
        """Refuse the request that is coming in, and take nothing more from the connection."""
        if self._lingering:
            return
        if not self.requests:
            self.requests.append(self.requestFactory(self, 0))
        self.clearLineBuffer()
        self.dataReceived = self._throw_away  # type: ignore[method-assign]
        self.has_deadline = False
        self.requests[-1].refuse(status, explanation)

    def _throw_away(self, data: bytes) -> None:
        self.resetTimeout()

    # Body flow.

    def body_begins(self) -> None:
        """Get ready for a long body."""
        self._body_wanted = self._continue_due = False
        self.setTimeout(self.site.limits.stall_time)
        if self.length is None:
            self._transferDecoder = ChunkedDecoder(
                self.requests[-1].handleContentChunk, self._finishRequestBody
            )
        transport = _socket_of(self)
        if ITCPTransport.providedBy(transport) and hasattr(transport, "bufferSize"):
            self._normal_read_size = transport.bufferSize
            transport.bufferSize = READ_SIZE

    def take_until_closed(self) -> None:
        """Treat everything that still comes as the body of the present request."""
        self.length = None
        self._transferDecoder = _IdentityTransferDecoder(
            None, self.requests[-1].handleContentChunk, self._finishRequestBody
        )

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
                self.setTimeout(self.site.limits.stall_time)
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

    def allContentReceived(self) -> None:
        """Hand the end of the body on, or end a connection that only waited for it."""
        if self._normal_read_size is not None:
            _socket_of(self).bufferSize = self._normal_read_size
            self._normal_read_size = None
        if self._lingering:
            self.loseConnection()
        else:
            self.has_deadline = False
            super().allContentReceived()

    # Answers, also those that come before the body's end.

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Keep the connection for more requests, if that is configured."""
        if not self.site.limits.keep_alive:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Headers | Any
    ) -> None:
        """Write an answer's headers; say so when the connection will not outlive it."""
        if isinstance(headers, Headers) and self.requests:
            request = self.requests[0]
            if request.body_pending or (self.site.connections.ending and self._is_last()):
                self.persistent = False
                headers.setRawHeaders(b"Connection", [b"close"])
            if self.site.cors is not None:
                request.allow_origin(self.site.cors)
        super().writeHeaders(version, code, reason, headers)

    def requestDone(self, request: StreamingRequest) -> None:
        """Go on to the next request, or linger if this one's body is still coming."""
        if request.body is not None:
            request.body.close()
        if request.body_pending:
            self._linger()
        elif self._waitingForTransport and self.persistent:
            # The client has not taken this answer yet. Until it has, it gets no other.
            self._untaken = request
            self.setTimeout(self.site.limits.stall_time)
        else:
            self._next_request(request)

    def _is_last(self) -> bool:
        """Tell whether the request being answered is the last one, as none waits behind it."""
        self._last_answers += 1
        waits = any(self._dataBuffer) or bool(self._buffer) or _waits(_socket_of(self))
        return not waits or self._last_answers > MOST_ANSWERS

    def unused(self) -> bool:
        """Tell whether no request is under way, not even its first byte."""
        busy = self.requests or self._buffer or self._lingering or self._handlingRequest
        transport: Any = self.transport
        return not (busy or transport.disconnecting or _waits(_socket_of(self)))

    def _next_request(self, done: StreamingRequest) -> None:
        self._pipelined = 0
        self.answered_at = self.site.reactor.seconds()
        self._savedTimeOut = self.site.limits.idle_time
        super().requestDone(done)
        if self._sending_ended:
            self.readConnectionLost()

    def _linger(self) -> None:
        self._lingering = True
        self._linger_call = self.callLater(LINGER_TIME, self.forceAbortClient)
        self.resume()
        self.setTimeout(LINGER_IDLE)
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()

    def _stop_lingering(self) -> None:
        if self._linger_call is not None and self._linger_call.active():
            self._linger_call.cancel()

    def resumeProducing(self) -> None:
        """Go on writing; go on reading only if the body's reader keeps up."""
        super().resumeProducing()
        if self._paused_by_body:
            self._networkProducer.pauseProducing()
        elif self._untaken is not None:
            taken, self._untaken = self._untaken, None
            self.setTimeout(None)
            self._next_request(taken)

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

    # The end.

    def connectionMade(self) -> None:
        """Set the clock, and count."""
        self.made_at = self.site.reactor.seconds()
        self.site.connection_made(self)
        super().connectionMade()

    def loseConnection(self) -> None:
        """Close the connection once what has been written is sent; do not wait for ever."""
        super().loseConnection()
        self._stop_lingering()
        if self._abortingCall is None:
            self.setTimeout(None)
            self._abortingCall = self.callLater(CLOSING_TIME, self._still_closing)

    def _still_closing(self) -> None:
        left, now = _unsent(_socket_of(self)), self.site.reactor.seconds()
        if left != self._left[0]:
            self._left = left, now
        patience = self.site.limits.stall_time
        if left and (patience is None or now - self._left[1] < patience):
            self._abortingCall = self.callLater(CLOSING_TIME, self._still_closing)
        else:
            self.forceAbortClient()

    def abort(self) -> None:
        """Close the connection, sent or not."""
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the timers along with everything else."""
        self.site.connection_lost(self)
        self._stop_lingering()
        if self._untaken is not None:
            self.requests.remove(self._untaken)
        super().connectionLost(reason)


def _socket_of(channel: StreamingChannel) -> Any:
    """Return the transport that holds the socket, below TLS if that is spoken."""
    transport: Any = channel.transport
    secure: Any = ISSLTransport(transport, None)
    return transport if secure is None else secure.transport


def _unsent(transport: Any) -> int:
    """Return how many bytes wait to be sent."""
    if not hasattr(transport, "dataBuffer"):
        return 0
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def _waits(transport: Any) -> bool:
    """Tell whether the kernel holds something that the other side has sent."""
    try:
        return bool(transport.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except (OSError, AttributeError):
        # Nothing; or the connection is broken, or closed on our side.
        return False
