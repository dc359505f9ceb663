"""Watch the copy that another process is writing, for all who read it in this one.

The file's length says how much there is, its lock's file how it ended; one look at both, every few
hundredths of a second, is all it takes. A writer that died, or let go, is noticed as well: somebody
else has to go on then. One that is there and writes nothing, be it stopped or its store silent, is
not waited for without end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from glance.cache.claims import BAD, GIVEN_UP, GOOD, OPEN, thd_read_state
from glance.cache.growing import GrowingFile
from glance.cache.held import Held
from glance.cache.room import Room
from glance.stores.threads import Threads

#: Seconds between looks: while the copy grows, and at most.
SOON: Final = 0.02
LATE: Final = 0.25

#: Seconds without growth after which it is asked whether the writer is alive.
QUIET: Final = 0.5

#: Seconds without growth after which the copy is done without.
PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Sight:
    """What is seen of a copy.

    :param size: bytes that are there.
    :param whole: bytes that it is to have, ``None`` where the writer has not said it.
    :param gone: whether the writer has let go.
    """

    size: int
    whole: int | None
    verdict: str
    gone: bool


def _thd_look(fd: int, lock: int) -> _Sight:
    # In this order: who lets go has said before how it ended, and written before it said that.
    gone = not os.fstat(lock).st_nlink
    state = thd_read_state(lock)
    whole, verdict = (None, OPEN) if state is None else state
    return _Sight(os.fstat(fd).st_size, whole, verdict, gone)


class Follower:
    """Follows one writer. To be run once.

    :param growing: what is told; its descriptor is that of the copy.
    :param lock: a descriptor of the lock's file, which is closed at the end.
    """

    def __init__(
        self, growing: GrowingFile, lock: int, room: Room, threads: Threads, reactor: Any
    ) -> None:
        self._growing = growing
        self._lock = lock
        self._room = room
        self._threads = threads
        self._reactor = reactor
        self._stopping = False
        self._pausing: Deferred[None] | None = None

    def stop(self) -> bool:
        """Look no more.

        :returns: that it does.
        """
        self._stopping = True
        if self._pausing is not None:
            self._pausing.cancel()
        return True

    async def run(self) -> bool:
        """Look until there is nothing more to see.

        :returns: whether it has ended with a verdict; if not, nobody writes any more.
        """
        held = Held(self._threads, self._lock)
        try:
            return await self._follow(held, self._growing.fd)
        finally:
            held.close()

    async def _follow(self, held: Held, fd: int) -> bool:
        pause, quiet, still = SOON, 0.0, 0.0
        while not self._stopping:
            before = self._growing.available
            sight: _Sight = await held.run(_thd_look, fd, self._lock)
            if self._take_in(sight):
                return True
            if sight.gone:
                return False
            if self._growing.available > before:
                pause, quiet, still = SOON, 0.0, 0.0
            elif still >= PATIENCE:
                self._growing.settle(GIVEN_UP)
                return True
            elif quiet >= QUIET:
                quiet = 0.0
                if not await held.run(self._room.thd_is_written, self._lock):
                    # It may have ended well since we looked.
                    return self._take_in(await held.run(_thd_look, fd, self._lock))
            await self._sleep(pause)
            quiet += pause
            still += pause
            pause = min(1.5 * pause, LATE)
        return False

    def _take_in(self, sight: _Sight) -> bool:
        growing = self._growing
        if sight.verdict == GOOD and sight.size == growing.size:
            growing.settle(GOOD)
        elif sight.verdict == BAD:
            growing.settle(BAD)
        elif sight.verdict != OPEN or sight.whole not in (None, growing.size):
            growing.settle(GIVEN_UP)
        else:
            growing.grown(min(sight.size, growing.size))
            return False
        return True

    async def _sleep(self, seconds: float) -> None:
        if self._stopping:
            return
        self._pausing = deferLater(self._reactor, seconds)
        try:
            await self._pausing
        except CancelledError:
            if not self._stopping:
                raise
        finally:
            self._pausing = None
