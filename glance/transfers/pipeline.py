"""Lead the bytes of one upload through hashes, inspection and store, side by side."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList

from glance.stores.interfaces import IStoreWriter
from glance.transfers.buffers import Buffer
from glance.transfers.hashing import Hashes
from glance.transfers.inspecting import Inspector


class ByteSource(Protocol):
    """A stream of bytes with back-pressure."""

    def next(self) -> Deferred[Buffer | None]:
        """Return the next buffer, full but for the last; ``None`` at the end."""

    def release(self, buffer: Buffer) -> None:
        """Give a buffer back when nobody reads it any more."""

    def fail(self, reason: Exception) -> None:
        """Make the present and every later ``next`` fail."""


class Progress(Protocol):
    """What is told how far an upload has come."""

    bytes_done: int


class Pipeline:
    """Hash, inspect and write the buffers of one upload side by side.

    The first failure stops the source, so that no more is taken in than can be used.
    """

    def __init__(
        self,
        source: ByteSource,
        writer: IStoreWriter,
        hashes: Hashes,
        inspector: Inspector | None,
        progress: Progress,
    ) -> None:
        self._source = source
        self._writer = writer
        self._hashes = hashes
        self._inspector = inspector
        self._progress = progress
        self._pending = 0
        self._drained: Deferred[None] | None = None
        self._error: Exception | None = None

    def feed(self, offset: int, buffer: Buffer) -> None:
        """Start work on the next buffer; it is released when the work is done."""
        data = buffer.data
        work = [*self._hashes.update(data), self._writer.write(offset, data)]
        if self._inspector is not None:
            work.append(self._inspector.feed(data))
        self._pending += 1
        DeferredList(work, consumeErrors=True).addCallback(self._done, buffer)

    def _done(self, results: list[tuple[bool, Any]], buffer: Buffer) -> None:
        self._progress.bytes_done += buffer.filled
        self._source.release(buffer)
        for succeeded, result in results:
            if not succeeded and self._error is None:
                self._error = result.value
                self._source.fail(result.value)
        self._pending -= 1
        if not self._pending and self._drained is not None:
            self._drained.callback(None)

    async def drain(self) -> None:
        """Wait until nothing reads a buffer any more."""
        if self._pending:
            self._drained = Deferred()
            await self._drained

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._error is not None:
            raise self._error
