"""A lane for each store: what waits for it, how it does, and when it had better be left alone.

A store that fails is paused for a while, longer each time, and shut when that has not helped; then
only one image in many is still tried, another in every pass, so that a few images that cannot be
deleted do not keep the rest of a healthy store waiting for ever. A store that hangs is shut
likewise; what hangs in it does not count against the images that may be worked on at once. Other
stores' images go on.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from glance.db.leases import SCRUB
from glance.db.pending import Claim
from glance.domain.image import Location

#: Seconds that a failing store is left alone, before it is shut.
PAUSES = (1.0, 2.0, 4.0)

#: How often one location is tried in a pass.
TRIES = len(PAUSES) + 1

#: Of a store that is shut, the most that are passed over before one is tried; doubles with each
#: failure.
SPACING = 8

#: Seconds that a store stays shut for the passes of a daemon, at first and at most.
SHUT_TIME = 60.0
LONGEST_SHUT_TIME = 900.0

#: Why a store is left alone that hangs.
SILENT = "The store does not answer."


@dataclass(slots=True, eq=False)
class Job:
    """One image on its way: its locations go one after the other.

    :param left: those that are still to be deleted.
    :param claimed_at: when its image was claimed at the earliest, by the reactor.
    :ivar gone: ids of locations whose data is gone.
    :ivar tries: of the first location of those that are left.
    :ivar failed: whether one of them could not be deleted.
    :ivar lost: whether the lease is lost: somebody else sees to the image.
    :ivar release: ends the renewing of the lease.
    """

    claim: Claim
    left: deque[Location]
    claimed_at: float
    gone: list[int] = field(default_factory=list)
    tries: int = 0
    failed: bool = False
    lost: bool = False
    release: Callable[[], None] = lambda: None

    # What the heartbeat asks of it.
    kind: str = SCRUB
    bytes_done: int = 0

    def lease_lost(self) -> None:
        """Do not begin any more; what is begun does no harm."""
        self.lost = True


class Lane:
    """The way into one store.

    :param name: of the store, for messages.
    :param width: jobs at once, at most; and so how many failures in a row tell of the store rather
        than of the images.
    """

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self.waiting: deque[Job] = deque()
        self.running = 0
        #: Of those running, how many have not come back for so long that the store seems to hang.
        self.overdue = 0
        #: Why the store is shut; empty while it is open.
        self.reason = ""
        self._width = width
        self._in_a_row = 0
        self._strikes = 0
        self._resume_at = 0.0
        self._spacing = SPACING
        self._skips = 0
        self._shut_until = 0.0
        self._shut_time = SHUT_TIME

    def begin_pass(self, now: float) -> None:
        """Give a store that was shut another chance, if that was long enough ago."""
        if self.reason and now >= self._shut_until and not self.hung:
            self.reason = ""
            # One row of failures is enough to shut it again.
            self._strikes = len(PAUSES)
            self._in_a_row = 0
            self._spacing = SPACING

    def is_ready(self, now: float) -> bool:
        """Tell whether the next job may be begun, or passed over."""
        if not self.waiting or now < self._resume_at:
            return False
        # Where nothing comes back, the others are passed over.
        return self.running < self._width or self.hung

    def backlog(self, now: float) -> int:
        """Return how many jobs wait for nothing but their turn."""
        return 0 if self.reason or now < self._resume_at else len(self.waiting)

    @property
    def hung(self) -> bool:
        """Tell whether everything under way has not come back for long."""
        return self.overdue >= self._width

    def passes_over(self) -> bool:
        """Tell whether the next job is not even to be tried, the store being shut."""
        if self.hung:
            return True
        if not self.reason:
            return False
        if self._skips:
            self._skips -= 1
            return True
        self._skips = self._passed_over()
        return False

    def _passed_over(self) -> int:
        return random.randint(0, self._spacing)

    def succeeded(self) -> None:
        """Note that the store did something."""
        self.reason = ""
        self._in_a_row = self._strikes = 0
        self._spacing, self._shut_time = SPACING, SHUT_TIME

    def failed(self, reason: str, now: float) -> float:
        """Note that the store failed; return the seconds for which it is to be left alone now."""
        if self.reason:
            self._spacing *= 2
            self._skips = self._passed_over()
            return 0.0
        self._in_a_row += 1
        if now < self._resume_at or self._in_a_row < self._width:
            return 0.0
        self._in_a_row = 0
        if self._strikes == len(PAUSES):
            self.shut(reason, now)
            return 0.0
        pause = PAUSES[self._strikes]
        self._strikes += 1
        self._resume_at = now + pause
        return pause

    def hangs(self, now: float) -> bool:
        """Note that one more job has not come back; return whether that shuts the store."""
        self.overdue += 1
        if not self.hung or self.reason:
            return False
        self.shut(SILENT, now)
        return True

    def shut(self, reason: str, now: float) -> None:
        """Try no more but now and then."""
        self.reason = reason
        self._skips = self._passed_over()
        self._shut_until = now + self._shut_time
        self._shut_time = min(2 * self._shut_time, LONGEST_SHUT_TIME)
