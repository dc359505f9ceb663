"""Memory for bytes on their way into a store.

A transfer holds a few buffers of one size, whatever the size of the image, and they are used again
and again: what arrives is copied once, into the memory that the hashes read and the store writes.
The buffers are page-aligned, which lets a file store write past the page cache.
"""

from __future__ import annotations

import mmap

#: Bytes in one buffer. A multiple of every page and sector size.
BUFFER_SIZE = 1024 * 1024

#: Buffers that one transfer may hold at once.
BUFFERS_PER_TRANSFER = 8


class Buffer:
    """A block of memory and how much of it is filled."""

    __slots__ = ("_memory", "filled", "view")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, BUFFER_SIZE)
        self.view = memoryview(self._memory)
        self.filled = 0

    @property
    def data(self) -> memoryview:
        """The filled part."""
        return self.view[: self.filled]

    def take(self, data: memoryview) -> int:
        """Copy in as much as fits; return how many bytes that was."""
        count = min(len(data), BUFFER_SIZE - self.filled)
        self.view[self.filled : self.filled + count] = data[:count]
        self.filled += count
        return count

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        return self.filled == BUFFER_SIZE


class BufferPool:
    """Buffers not in use at the moment, shared by the transfers of a process.

    :param keep: how many idle buffers to hold on to, so that a burst leaves no large memory behind.
    """

    def __init__(self, keep: int = 4 * BUFFERS_PER_TRANSFER) -> None:
        self._keep = keep
        self._idle: list[Buffer] = []

    def get(self) -> Buffer:
        """Take an empty buffer."""
        return self._idle.pop() if self._idle else Buffer()

    def put(self, buffer: Buffer) -> None:
        """Give a buffer back."""
        buffer.filled = 0
        if len(self._idle) < self._keep:
            self._idle.append(buffer)
