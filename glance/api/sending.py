"""Send stored data to a client: by the kernel where it can, by read and write elsewhere.

On a plain socket a file goes out by ``sendfile``: the bytes never pass through this process. Before
each stretch is sent a thread brings it into the page cache, so that a slow disk stalls one transfer
and not the reactor. Over TLS, and from stores that are no files of this machine, the data is read a
piece ahead of what the client takes. A file may still be growing: what there is of it is sent, and
the reader says when there is more.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.main import CONNECTION_LOST
from zope.interface import implementer

from glance.domain.errors import Unavailable
from glance.stores.errors import ReadElsewhere
from glance.stores.interfaces import IFileReader, IStoreReader

#: Bytes brought into the page cache at a time: few at first, so that sending can begin, then more.
FIRST_STRETCH = 1024 * 1024
LAST_STRETCH = 16 * 1024 * 1024

#: Bytes sent at most before other connections get their turn.
TURN = 4 * 1024 * 1024

#: Bytes read at a time where the kernel cannot send by itself.
READ_SIZE = 256 * 1024


async def send(
    request: Any,
    reader: IStoreReader,
    offset: int,
    length: int,
    reactor: Any,
    stall_time: float,
    elsewhere: Callable[[], Awaitable[IStoreReader]] | None = None,
) -> None:
    """Send a range of stored data as the body of an answer whose head is set.

    :param request: the request; its status and headers, ``Content-Length`` among them, are set.
    :param stall_time: seconds without progress after which the client is given up; 0 for never.
    :param elsewhere: opens another copy of the data, for when this reader cannot go on. Whoever
        gave it closes what it opens.
    :raises Unavailable: the data ended early; the connection is then cut, never completed.
    """
    request.write(b"")
    end = offset + length
    while True:
        sender = _make_sender(request, reader, offset, end - offset)
        watch = _StallWatch(reactor, stall_time, sender, request.transport)
        try:
            await sender.start()
            return
        except ReadElsewhere:
            if elsewhere is None:
                raise
            offset += sender.sent
        finally:
            watch.stop()
        reader = await elsewhere()


def _make_sender(
    request: Any, reader: IStoreReader, offset: int, length: int
) -> _KernelSender | _CopyingSender:
    kind = _KernelSender if _kernel_can(request.transport, reader) else _CopyingSender
    return kind(request, reader, offset, length)


def _kernel_can(transport: Any, reader: IStoreReader) -> bool:
    return (
        IFileReader.providedBy(reader)
        and isinstance(transport, FileDescriptor)
        and ISSLTransport(transport, None) is None
        and hasattr(os, "sendfile")
    )


class _StallWatch:
    """Cut the connection of a client that takes nothing for too long."""

    def __init__(self, reactor: Any, seconds: float, sender: Any, transport: Any) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._sender = sender
        self._transport = transport
        self._seen = -1
        self._call = reactor.callLater(seconds, self._look) if seconds else None

    def _look(self) -> None:
        self._call = None
        if self._sender.sent == self._seen:
            self._transport.abortConnection()
            return
        self._seen = self._sender.sent
        self._call = self._reactor.callLater(self._seconds, self._look)

    def stop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


def _short() -> Unavailable:
    return Unavailable("The stored data ended before the image's size was reached.")


@implementer(IPushProducer)
class _KernelSender:
    """Send by ``sendfile``, in place of the transport's own writing.

    The transport asks us instead of itself when its socket takes more; what it still holds, the
    head of the answer, goes first, by its own ways.
    """

    def __init__(self, request: Any, reader: Any, offset: int, length: int) -> None:
        self.sent = 0
        self._request = request
        self._reader = reader
        self._transport = request.transport
        self._offset = offset
        self._end = offset + length
        self._cached = offset
        self._stretch = FIRST_STRETCH
        self._fetching: Deferred[int] | None = None
        self._done: Deferred[None] = Deferred(lambda _: self._finish(CancelledError()))

    def start(self) -> Deferred[None]:
        self._request.registerProducer(self, True)
        self._own_write = self._transport.doWrite
        self._transport.doWrite = self._write
        if self._offset == self._end:
            self._finish(None)
        else:
            self._fetch()
            self._transport.startWriting()
        return self._done

    def _fetch(self) -> None:
        """Have the next stretch read ahead, one stretch before it is needed."""
        if self._fetching is not None or self._cached >= self._end:
            return
        start = self._cached
        length = min(self._stretch, self._end - start)
        self._stretch = min(2 * self._stretch, LAST_STRETCH)
        self._fetching = self._reader.prefetch(start, length)
        self._fetching.addCallbacks(self._fetched, self._fetch_failed)

    def _fetched(self, count: int) -> None:
        self._fetching = None
        self._cached += count
        if not count:
            self._finish(_short())
        if not self._done.called:
            self._transport.startWriting()
            self._fetch_ahead()

    def _fetch_ahead(self) -> None:
        if self._cached - self._offset <= self._stretch:
            self._fetch()

    def _fetch_failed(self, failure: Any) -> None:
        self._fetching = None
        self._finish(failure.value)

    def _write(self) -> Any:
        transport = self._transport
        if transport.dataBuffer or transport._tempDataBuffer:
            result = self._own_write()
            transport.startWriting()
            return result
        stop = self._offset + TURN
        while self._offset < stop:
            ready = min(self._cached, stop) - self._offset
            if ready <= 0:
                transport.stopWriting()
                self._fetch()
                return None
            try:
                count = os.sendfile(transport.fileno(), self._reader.fileno(), self._offset, ready)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EIO:
                    return CONNECTION_LOST
                self._ask_reader()
                return None
            if not count:
                self._finish(_short())
                return None
            self.sent += count
            self._offset += count
            if self._offset >= self._end:
                self._finish(None)
                return None
        self._fetch_ahead()
        return None

    def _ask_reader(self) -> None:
        """Have the reader say what it means that the disk failed; it is not the client's fault."""
        self._transport.stopWriting()
        asked = self._reader.read(self._offset, 1)
        asked.addCallbacks(lambda _: self._finish(_short()), self._fetch_failed)

    def _finish(self, error: BaseException | None) -> None:
        if self._done.called:
            return
        self._transport.__dict__.pop("doWrite", None)
        self._request.sentLength += self.sent
        if not self._request._disconnected:
            self._request.unregisterProducer()
        if error is None:
            self._done.callback(None)
        else:
            self._done.errback(error)

    def pauseProducing(self) -> None:
        """Do nothing: the socket says when it takes more."""

    def resumeProducing(self) -> None:
        """Do nothing, likewise."""

    def stopProducing(self) -> None:
        """Do nothing: the request learns next that its connection is gone, and cancels us."""


@implementer(IPushProducer)
class _CopyingSender:
    """Send by reading a piece and writing it, as fast as the client takes them."""

    def __init__(self, request: Any, reader: Any, offset: int, length: int) -> None:
        self.sent = 0
        self._request = request
        self._reader = reader
        self._offset = offset
        self._end = offset + length
        self._paused = False
        self._reading = False
        self._done: Deferred[None] = Deferred(lambda _: self._finish(CancelledError()))

    def start(self) -> Deferred[None]:
        self._request.registerProducer(self, True)
        self._go_on()
        return self._done

    def _go_on(self) -> None:
        if self._done.called or self._paused or self._reading:
            return
        if self._offset >= self._end:
            self._finish(None)
            return
        self._reading = True
        length = min(READ_SIZE, self._end - self._offset)
        self._reader.read(self._offset, length).addCallbacks(self._read, self._failed)

    def _read(self, data: bytes) -> None:
        self._reading = False
        if self._done.called:
            return
        if not data:
            self._finish(_short())
            return
        self._offset += len(data)
        self.sent += len(data)
        self._request.write(data)
        self._go_on()

    def _failed(self, failure: Any) -> None:
        self._reading = False
        self._finish(failure.value)

    def _finish(self, error: BaseException | None) -> None:
        if self._done.called:
            return
        if not self._request._disconnected:
            self._request.unregisterProducer()
        if error is None:
            self._done.callback(None)
        else:
            self._done.errback(error)

    def pauseProducing(self) -> None:
        """Wait: the client is behind."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        self._go_on()

    def stopProducing(self) -> None:
        """Do nothing: the request learns next that its connection is gone, and cancels us."""
