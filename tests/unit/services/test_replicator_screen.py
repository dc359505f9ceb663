"""What is written to a terminal whose last lines are redrawn."""

from __future__ import annotations

import io
import os
import pty
import termios

import pytest
from twisted.internet.task import Clock

from glance.services.replicator_screen import Screen


class Terminal:
    """As much of a terminal as is needed to see what stands on it."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        while text:
            if text.startswith("\x1b["):
                end = next(i for i, c in enumerate(text) if c.isalpha())
                self._act(text[2:end], text[end])
                text = text[end + 1 :]
                continue
            self._put(text[0])
            text = text[1:]

    def _act(self, number: str, what: str) -> None:
        if what == "A":
            self.row -= int(number)
            assert self.row >= 0
        elif what == "J":
            self.lines = [*self.lines[: self.row], self.lines[self.row][: self.column]]
        else:
            raise AssertionError(what)

    def _put(self, character: str) -> None:
        if character == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
        elif character == "\r":
            self.column = 0
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def shown(stream):
    def shown() -> list[str]:
        terminal = Terminal()
        terminal.feed(stream.getvalue())
        return terminal.lines

    return shown


def test_it_is_redrawn_in_place(stream, shown):
    clock = Clock()
    lines = ["one", "two"]
    screen = Screen(clock, stream, lambda columns, rows: lines)
    screen.start()
    assert shown() == ["one", "two"]
    lines[:] = ["x", "y", "z"]
    clock.advance(0.1)
    assert shown() == ["one", "two"]
    clock.advance(0.1)
    assert shown() == ["x", "y", "z"]
    lines[:] = ["last"]
    clock.advance(0.2)
    assert shown() == ["last"]
    screen.stop()
    assert shown() == [""]
    clock.advance(5)
    assert shown() == [""]
    assert clock.getDelayedCalls() == []


def test_what_stays_stands_above(stream, shown):
    clock = Clock()
    screen = Screen(clock, stream, lambda columns, rows: ["bar", "total"])
    screen.start()
    print("said", file=screen.above)
    assert shown() == ["said", ""]
    clock.advance(0.2)
    assert shown() == ["said", "bar", "total"]
    print("more", file=screen.above)
    clock.advance(0.2)
    screen.stop()
    assert shown() == ["said", "more", ""]


def test_a_line_that_is_not_whole_is_not_written_into(stream, shown):
    clock = Clock()
    screen = Screen(clock, stream, lambda columns, rows: ["bar"])
    screen.start()
    screen.above.write("Really? ")
    clock.advance(1)
    assert shown() == ["Really? "]
    # The terminal itself shows what is typed, and the end of the line.
    stream.write("y\n")
    screen.stop()
    screen.start()
    assert shown() == ["Really? y", "bar"]


def test_nothing_is_written_where_nothing_is_shown(stream):
    screen = Screen(Clock(), stream, lambda columns, rows: ["bar"])
    screen.stop()
    screen.above.write("")
    assert stream.getvalue() == ""


def test_the_size_of_the_terminal():
    master, slave = pty.openpty()
    try:
        termios.tcsetwinsize(slave, (10, 40))
        with os.fdopen(os.dup(slave), "w") as stream:
            asked = []
            screen = Screen(Clock(), stream, lambda *size: asked.append(size) or ["bar"])
            screen.start()
            termios.tcsetwinsize(slave, (0, 0))
            screen.show()
            screen.stop()
    finally:
        os.close(master)
        os.close(slave)
    assert asked == [(39, 9), (79, 23)]


def test_a_terminal_is_what_it_passes_for(stream):
    above = Screen(Clock(), stream, lambda *_: []).above
    assert above.isatty()
    assert above.writable()
