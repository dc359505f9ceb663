"""Noticing that nothing happens any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Seconds without a byte after which a service is given up.
STALL_TIME = 60.0


class Watch:
    """Calls when nothing happened for some time; cheap to tell that something did.

    :param late: what to call.
    """

    def __init__(self, reactor: Any, late: Callable[[], None]) -> None:
        self._reactor = reactor
        self._late = late
        self._call: Any = None
        self._seconds = 0.0
        self._since = 0.0

    def begin(self, seconds: float) -> None:
        """Begin to wait, anew if need be."""
        self._seconds = seconds
        self._since = self._reactor.seconds()
        # A call that is due too early finds that out by itself.
        if self._call is not None and self._call.getTime() > self._since + seconds:
            self._cancel()
        if self._call is None:
            self._call = self._reactor.callLater(seconds, self._due)

    def end(self) -> None:
        """Wait no more."""
        self._seconds = 0.0

    def stop(self) -> None:
        """Wait no more, and never again."""
        self.end()
        self._cancel()

    def _cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _due(self) -> None:
        self._call = None
        if not self._seconds:
            return
        left = self._since + self._seconds - self._reactor.seconds()
        if left > 0:
            self._call = self._reactor.callLater(left, self._due)
        else:
            self._late()
