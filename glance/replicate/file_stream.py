"""A file's bytes as a stream: read in threads, one portion ahead of who takes them."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.remote.streams import IByteReceiver, IByteStream
from glance.replicate.dump_files import DataFile
from glance.stores.threads import Threads

#: Bytes that one trip to a thread reads; as many at most are ready beside those.
_PORTION = 1024 * 1024

_log = Logger()


@implementer(IByteStream)
class FileStream:
    """The data of an image, from a file.

    :param file: open; it is closed when all is read, or by :meth:`stop`.
    :param offset: where to begin.
    :param chunksize: bytes that are read, and handed on, at a time.
    :ivar size: how many bytes will come.
    :ivar offset: how many bytes of the image's data are not among them.
    """

    def __init__(self, threads: Threads, file: DataFile, offset: int, chunksize: int) -> None:
        self.offset = offset
        self.size = file.size - offset
        self._threads = threads
        self._file = file
        self._chunksize = chunksize
        self._portion = max(_PORTION // chunksize, 1) * chunksize
        self._position = offset
        self._ready: deque[bytes] = deque()
        self._waiting = 0
        self._receiver: IByteReceiver | None = None
        self._done: Deferred[None] | None = None
        self._reading = False
        self._paused = False
        self._pumping = False
        self._ended = False

    def start(self, receiver: IByteReceiver) -> Deferred[None]:
        """Let the bytes come.

        :raises DumpError: the file cannot be read, or has become shorter.
        """
        assert self._done is None
        done = self._done = Deferred(lambda _: self.stop())
        if self._ended:
            done.cancel()
            return done
        self._receiver = receiver
        self._pump()
        return done

    def pause(self) -> None:
        """Let no more come until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        """Let them come again."""
        self._paused = False
        if self._receiver is not None:
            self._pump()

    def stop(self) -> None:
        """Close the file, at whatever point."""
        if not self._ended:
            self._ended = True
            self._ready.clear()
            closing = self._threads.run(self._file.thd_close, must_run=True)
            closing.addErrback(lambda f: _log.debug("Closing: {error}", error=f.value))

    def _pump(self) -> None:
        # Whoever is called from here may call back, and threads may be done at once.
        if self._pumping:
            return
        self._pumping = True
        try:
            self._move()
        except Exception:
            self._fail(Failure())
        finally:
            self._pumping = False

    def _move(self) -> None:
        assert self._receiver is not None and self._done is not None
        while not self._ended:
            left = self._file.size - self._position
            if left and not self._reading and self._waiting < self._portion:
                self._read(min(left, self._portion))
            elif not left and not self._reading and not self._ready:
                self.stop()
                self._done.callback(None)
            elif self._paused or not self._ready:
                return
            else:
                piece = self._ready.popleft()
                self._waiting -= len(piece)
                self._receiver.write(piece)

    def _read(self, count: int) -> None:
        self._reading = True
        reading = self._threads.run(self._file.thd_read, self._position, count, self._chunksize)
        reading.addCallbacks(self._read_ahead, self._fail)

    def _read_ahead(self, pieces: list[bytes]) -> None:
        self._reading = False
        if not self._ended:
            count = sum(map(len, pieces))
            self._position += count
            self._waiting += count
            self._ready.extend(pieces)
            self._pump()

    def _fail(self, failure: Failure) -> None:
        self._reading = False
        if not self._ended:
            self.stop()
            assert self._done is not None
            self._done.errback(failure)
