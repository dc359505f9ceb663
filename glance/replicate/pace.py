"""How fast bytes go through, and how long what is left will take."""

from __future__ import annotations

from collections import deque

#: Seconds that a rate is taken over: long enough to be steady, short enough to follow a change.
WINDOW = 10.0
#: Seconds between two samples.
_STEP = 0.5
#: Seconds that have to have passed before a rate means anything.
_ENOUGH = 0.5
#: Seconds that nobody believes any more.
_LONGEST = 100 * 3600.0


class Pace:
    """Counts bytes.

    :param now: seconds by some clock; all other times are by the same.
    """

    def __init__(self, now: float) -> None:
        self._total = 0
        # When, and how many there had been by then.
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    def add(self, now: float, count: int) -> None:
        """Note that bytes went through."""
        if now - self._samples[-1][0] >= _STEP:
            self._samples.append((now, self._total))
        self._total += count
        self._forget(now)

    def rate(self, now: float) -> float | None:
        """Return bytes a second of late; ``None`` if it is too early to tell."""
        self._forget(now)
        since, before = self._samples[0]
        if now - since < _ENOUGH:
            return None
        return (self._total - before) / (now - since)

    def left(self, now: float, remaining: int) -> float | None:
        """Return seconds that as many more bytes will take; ``None`` if nobody can tell."""
        rate = self.rate(now)
        if not rate:
            return None
        seconds = remaining / rate
        return seconds if seconds < _LONGEST else None

    def _forget(self, now: float) -> None:
        # The last one that is older than the window is what the rate is counted from.
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()
