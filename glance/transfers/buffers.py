"""Memory for bytes on their way into a store.

A transfer holds a few buffers of one size, whatever the size of the image, and they are used again
and again: what arrives is copied once, into the memory that the hashes read and the store writes.
The buffers are page-aligned, which lets a file store write past the page cache.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

#: Bytes in one buffer. A multiple of every page and sector size.
BUFFER_SIZE = 2 * 1024 * 1024

#: Buffers that one transfer may hold at once.
BUFFERS_PER_TRANSFER = 4

#: Buffers that the transfers of a process may hold in all, not counting the first of each.
EXTRA_BUFFERS_PER_PROCESS = 64


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

    A transfer gets its first buffer always; those beyond it are *extra*, and count. So a transfer
    can go on whatever the others do, and slow ones take nothing away from the rest.

    :param keep: how many idle buffers to hold on to, so that a burst leaves no large memory behind.
    :param budget: how many extra buffers may be in use.
    """

    def __init__(
        self, keep: int = 4 * BUFFERS_PER_TRANSFER, budget: int = EXTRA_BUFFERS_PER_PROCESS
    ) -> None:
        self._keep = keep
        self._left = budget
        self._idle: list[Buffer] = []
        # Whom to tell of a spare buffer, who came first first.
        self._waiting: dict[Callable[[], None], None] = {}

    @property
    def spare(self) -> bool:
        """Whether an extra buffer may be taken; not while others wait for one."""
        return self._left > 0 and not self._waiting

    def get(self, *, extra: bool = False) -> Buffer:
        """Take an empty buffer; an extra one only where :attr:`spare` allows it, or in turn."""
        self._left -= extra
        return self._idle.pop() if self._idle else Buffer()

    def put(self, buffer: Buffer, *, extra: bool = False) -> None:
        """Give a buffer back."""
        self._left += extra
        buffer.filled = 0
        if len(self._idle) < self._keep:
            self._idle.append(buffer)
        while self._waiting and self._left > 0:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            turn()

    def wait(self, turn: Callable[[], None]) -> None:
        """Have a function called, once, when it may take an extra buffer; it need not."""
        self._waiting.setdefault(turn)

    def forget(self, turn: Callable[[], None]) -> None:
        """Call a function no more that was to be called."""
        self._waiting.pop(turn, None)
