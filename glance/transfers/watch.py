"""Tell which leases are void: those of dead processes, and those that nobody renews any more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from twisted.internet.threads import deferToThread

from glance.db import leases
from glance.db.leases import Lease
from glance.db.txdbapi import Database
from glance.transfers.worker import WorkerIdentity, thd_is_alive

#: How many intervals may pass between two looks before what was seen then means nothing any more.
PATIENCE = 2.5


class LeaseWatch:
    """Looks at all leases at an interval.

    A lease of this node is void if its process is known to be dead; one of another node (or one of
    our own that nobody renews) if its heartbeat has stood still. How long it has is told by this
    process's own clock, so that clocks may differ between nodes, and time in which nobody could
    beat, because the database was away, does not count.

    :param stale_time: seconds of a heartbeat standing still after which a lease is void.
    :param interval: seconds between looks.
    :ivar every: all leases, as the last look has found them.
    """

    def __init__(
        self,
        database: Database,
        identity: WorkerIdentity,
        reactor: Any,
        *,
        stale_time: float,
        interval: float,
    ) -> None:
        self._database = database
        self._identity = identity
        self._reactor = reactor
        self._stale_time = stale_time
        self._interval = interval
        self.every: list[Lease] = []
        # The heartbeats seen, and since when each has been the same.
        self._seen: dict[str, tuple[datetime, float]] = {}
        self._looked = reactor.seconds()

    async def look(self) -> list[Lease]:
        """Look once; return the leases that are void."""
        every = self.every = await self._database.runReading(leases.thd_all)
        now = self._reactor.seconds()
        before, self._seen = self._seen, {}
        if now - self._looked > PATIENCE * self._interval:
            # The database was away, or we were: nobody could renew anything.
            before = {}
        self._looked = now
        for lease in every:
            beat, since = before.get(lease.id, (lease.heartbeat_at, now))
            self._seen[lease.id] = (
                (beat, since) if beat == lease.heartbeat_at else (lease.heartbeat_at, now)
            )
        us = self._identity
        siblings = {e.worker for e in every if e.node == us.node} - {us.worker}
        dead = await deferToThread(_thd_dead, siblings) if siblings else set()
        return [lease for lease in every if self._is_void(lease, dead, now)]

    def _is_void(self, lease: Lease, dead: set[str], now: float) -> bool:
        if lease.node == self._identity.node and lease.worker != self._identity.worker:
            # Of this node's processes it is known whether they live, however slow they are.
            return lease.worker in dead
        return now - self._seen[lease.id][1] >= self._stale_time


def _thd_dead(workers: set[str]) -> set[str]:
    return {worker for worker in workers if not thd_is_alive(worker)}
