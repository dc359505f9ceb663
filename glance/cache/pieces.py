"""How much of an image is read at a time to be cached.

Large pieces cost little; but readers of the growing copy wait for each to be there as a whole, and
all pieces that are under way are in memory.
"""

from __future__ import annotations

from typing import Final

#: Bytes of a piece. A server may be fast now and slow the next moment, a file of this machine is
#: rarely.
SMALLEST: Final = 64 * 1024
LARGEST: Final = 1024 * 1024
LARGEST_OF_FILE: Final = 4 * 1024 * 1024

#: Pieces that one fill holds at most.
HELD: Final = 4

#: Bytes that the fills of a process hold together, where there are not very many of them.
MEMORY: Final = 128 * 1024 * 1024

#: Seconds of waiting for a piece from which on the next ones are smaller; up to half of that they
#: are larger. With many readers the reactor alone may take some tenths, which says nothing of a
#: disk.
_LONG: Final = 0.5
_LONG_OF_FILE: Final = 2.0


class Pieces:
    """What the fills of a process share.

    :ivar fills: how many there are.
    """

    def __init__(self) -> None:
        self.fills = 0

    @property
    def largest(self) -> int:
        """Bytes that a piece may have."""
        return max(SMALLEST, min(LARGEST_OF_FILE, MEMORY // (HELD * max(1, self.fills))))


class Pace:
    """How large the pieces of one fill are."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._largest = LARGEST
        self._long = _LONG
        self._size = SMALLEST

    @property
    def size(self) -> int:
        """Bytes of the next piece."""
        return min(self._size, self._pieces.largest)

    def begin(self, *, of_file: bool) -> None:
        """Begin to read something, of which nobody knows how fast it is.

        :param of_file: whether it is a file of this machine.
        """
        self._largest = LARGEST_OF_FILE if of_file else LARGEST
        self._long = _LONG_OF_FILE if of_file else _LONG
        self._size = SMALLEST

    def took(self, seconds: float) -> None:
        """Note how long a piece was waited for: it is to be neither long nor no time at all."""
        if seconds > self._long:
            self._size = max(SMALLEST, self._size // 2)
        elif seconds < self._long / 2:
            self._size = min(self._largest, 2 * self._size)
