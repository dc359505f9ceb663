"""Tell whoever waits how far a verification has come: a bar on a terminal, now and then a line."""

from __future__ import annotations

import shutil
from typing import Any, Final, TextIO

from twisted.internet.task import LoopingCall

#: Seconds between two looks of the bar, and between two lines.
_BAR_EVERY: Final = 0.2
_LINE_EVERY: Final = 10.0
_WIDTH: Final = 24
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def in_words(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit takes everything")


class Progress:
    """How far it has come.

    :param stream: where it is told; ``None`` for nowhere.
    """

    def __init__(self, reactor: Any, stream: TextIO | None) -> None:
        self._reactor = reactor
        self._stream = stream
        self._bar = stream is not None and stream.isatty()
        self._loop = LoopingCall(self._tell)
        self._loop.clock = reactor
        self._drawn = False
        self._stage = ""
        self._done = self._total = self._bytes = self._all_bytes = self._found = 0
        self._since = self._bytes_before = 0.0

    def start(self) -> None:
        """Tell from now on."""
        if self._stream is not None:
            self._loop.start(_BAR_EVERY if self._bar else _LINE_EVERY, now=False)

    def stop(self) -> None:
        """Tell no more."""
        if self._loop.running:
            self._loop.stop()
        self.wipe()

    def stage(self, words: str, total: int = 0, done: int = 0) -> None:
        """Begin with something else.

        :param words: what is done.
        :param total: how many there are to do; 0 where nobody knows.
        :param done: how many are done already.
        """
        self._stage, self._total, self._done = words, total, done
        self._since, self._bytes_before = self._reactor.seconds(), self._bytes
        self._tell()

    def expect_bytes(self, done: int, total: int) -> None:
        """Note how many bytes have been read before, and how many there are to read."""
        self._bytes = self._bytes_before = done
        self._all_bytes = total

    def step(self, count: int = 1) -> None:
        """Note that some more are done."""
        self._done += count

    def read(self, count: int) -> None:
        """Note that bytes were read."""
        self._bytes += count

    def suspect(self, count: int = 1) -> None:
        """Note that something looks wrong."""
        self._found += count

    def say(self, line: str) -> None:
        """Say something that stays."""
        if self._stream is not None:
            self.wipe()
            print(line, file=self._stream, flush=True)

    def line(self) -> str:
        """Return what there is to tell."""
        parts = [f"{self._done} of {self._total}" if self._total else str(self._done)]
        if self._bytes > self._bytes_before:
            seconds = max(self._reactor.seconds() - self._since, 0.001)
            speed = (self._bytes - self._bytes_before) / seconds
            read = in_words(self._bytes)
            if self._all_bytes:
                read += f" of {in_words(self._all_bytes)}"
            parts.append(f"{read} read, {in_words(speed)}/s")
        if self._found:
            parts.append(f"{self._found} to be looked at again")
        return f"{self._stage}: {', '.join(parts)}"

    def _tell(self) -> None:
        if self._stream is None or not self._stage:
            return
        if not self._bar:
            self.say(self.line())
            return
        width = shutil.get_terminal_size().columns - 1
        text = self.line()
        share = self._share()
        if share is not None:
            full = int(share * _WIDTH)
            text = f"[{'#' * full}{'.' * (_WIDTH - full)}] {share:4.0%} {text}"
        self._stream.write(f"\r\x1b[K{text[:width]}")
        self._stream.flush()
        self._drawn = True

    def _share(self) -> float | None:
        done, total = self._done, self._total
        if self._all_bytes and self._bytes > self._bytes_before:
            done, total = self._bytes, self._all_bytes
        return min(1.0, done / total) if total else None

    def wipe(self) -> None:
        """Take the bar off, so that something else can be written."""
        if self._drawn and self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False
