"""Lines that are redrawn in place at the end of a terminal, with everything else above them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

from twisted.internet.task import LoopingCall

#: Seconds between two looks.
_EVERY: Final = 0.2
_USUAL = os.terminal_size((80, 24))

#: Makes the lines, for a number of columns and of rows.
Draw = Callable[[int, int], Sequence[str]]


class Screen:
    """The end of a terminal.

    :param reactor: the reactor; only its clock is used here.
    :param stream: the terminal.
    :param draw: what is to be shown.
    """

    def __init__(self, reactor: Any, stream: TextIO, draw: Draw) -> None:
        self._stream = stream
        self._draw = draw
        self._loop = LoopingCall(self.show)
        self._loop.clock = reactor
        self._drawn = 0
        # Whether the last thing that stands above is a whole line.
        self._whole = True
        self.above = _Above(self)

    def start(self) -> None:
        """Show it from now on."""
        self._whole = True
        if not self._loop.running:
            self._loop.start(_EVERY)

    def stop(self) -> None:
        """Take it off."""
        if self._loop.running:
            self._loop.stop()
        self.wipe()

    def show(self) -> None:
        """Draw what there is to show by now."""
        if not self._whole:
            return
        size = self._size()
        # In the last column a terminal may begin another line by itself.
        lines = self._draw(max(size.columns - 1, 1), max(size.lines - 1, 1))
        self._write(self._home() + "\n".join(lines))
        self._drawn = len(lines)

    def wipe(self) -> None:
        """Take it off until it is shown again."""
        if self._drawn:
            self._write(self._home())
            self._drawn = 0

    def put(self, text: str) -> None:
        """Write something that stays."""
        self.wipe()
        if text:
            self._whole = text.endswith("\n")
            self._write(text)

    def _home(self) -> str:
        """Return what leads to the first of the lines, and clears all that comes."""
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        return f"\r{up}\x1b[J" if self._drawn else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return _USUAL
        # A terminal that does not know says 0.
        return size if size.columns and size.lines else _USUAL


class _Above(io.TextIOBase):
    """Takes the place of the terminal's own stream for whoever writes to that, such as the log."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def isatty(self) -> bool:
        """Say that it is a terminal."""
        return True

    def write(self, text: str) -> int:
        """Write above the lines."""
        self._screen.put(text)
        return len(text)
