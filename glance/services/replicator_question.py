"""Ask whoever sits at the terminal, without holding up the reactor meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

#: What counts as a yes.
_YES = ("y", "yes")
#: Bytes of an answer that are read.
_LONGEST = 1024


@implementer(IReadDescriptor)
class _Line:
    """Reads one line from a terminal, which gives nothing before the line is whole."""

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self.read: Deferred[str] = Deferred(lambda _: reactor.removeReader(self))
        reactor.addReader(self)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._descriptor

    def doRead(self) -> None:
        """Take what was typed."""
        self._reactor.removeReader(self)
        try:
            text = os.read(self._descriptor, _LONGEST).decode("utf-8", "replace")
        except OSError:
            text = ""
        self.read.callback(text)

    def connectionLost(self, reason: object) -> None:
        """Take it that there is nobody any more."""
        if not self.read.called:
            self.read.callback("")

    def logPrefix(self) -> str:
        """Return what the log calls it."""
        return "terminal"


async def is_yes(reactor: Any, descriptor: int, end_line: Callable[[], object]) -> bool:
    """Wait for an answer, and tell whether it is a yes; the end of input is none.

    :param descriptor: of a terminal.
    :param end_line: called if nobody has ended the question's line there.
    """
    answer = ""
    try:
        answer = await _Line(reactor, descriptor).read
    finally:
        if not answer.endswith("\n"):
            end_line()
    return answer.strip().lower() in _YES
