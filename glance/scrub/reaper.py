"""End the leases that dead scrubbers left, so that their images can be claimed again.

An image in ``pending_delete`` whose scrubber died needs nothing undone: whoever claims it next does
the rest. The API's recovery ends such leases likewise.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from glance.db import leases
from glance.db.columns import utcnow
from glance.db.txdbapi import Database
from glance.domain.errors import GlanceError
from glance.transfers.watch import LeaseWatch

#: How old the last sign of life of a scrubber of another node is that is dead in any case. A
#: process that makes one pass does not look on long enough to see that a heartbeat stands still,
#: and has only the clocks to go by; those of two nodes do not differ by that much.
LONG_DEAD = timedelta(hours=1)

_KINDS = frozenset({leases.SCRUB, leases.RESTORE})


class Reaper(Service):
    """Looks for leases of dead scrubbers at an interval, and whenever it is asked to.

    :param watch: tells which leases are void.
    :param interval: seconds between looks.
    """

    _log = Logger()

    def __init__(
        self, database: Database, watch: LeaseWatch, reactor: Any, interval: float
    ) -> None:
        self._database = database
        self._watch = watch
        self._interval = interval
        self._loop = LoopingCall(self._look_again)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Look at the interval from now on."""
        super().startService()
        self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look_again(self) -> Deferred[None]:
        looking: Deferred[None] = Deferred.fromCoroutine(self.look())

        def note(failure: Any) -> None:
            failure.trap(GlanceError)
            self._log.warn("Leases cannot be read: {error}", error=failure.getErrorMessage())

        return looking.addErrback(note)

    async def look(self) -> None:
        """End what dead scrubbers hold.

        :raises Unavailable: the database cannot be reached.
        """
        void = {lease.id: lease for lease in await self._watch.look()}
        long_ago = utcnow() - LONG_DEAD
        void |= {e.id: e for e in self._watch.every if e.heartbeat_at < long_ago}
        ours = [lease for lease in void.values() if lease.kind in _KINDS]
        if not ours:
            return
        ended = await self._database.runInteraction(leases.thd_end_unrenewed, ours)
        if ended:
            self._log.warn(
                "{count} image(s) were being scrubbed by processes that died; they are free again",
                count=len(ended),
            )
