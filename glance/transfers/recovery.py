"""Put right what dead workers left: no image stays ``saving``, no data stays without a record.

Runs at start, when the leases of this node's dead processes are known to be void, and ever after at
an interval, when a lease whose heartbeat has stood still counts as void whoever held it. How long
it has stood still is told by this process's own clock, so that clocks may differ between nodes.
Every lease is taken over by one delete-and-insert that only one process can win.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from glance.db import images, leases
from glance.db.leases import Lease
from glance.db.txdbapi import Database
from glance.domain.errors import NotFound
from glance.domain.viewer import Viewer
from glance.stores.errors import DataNotFound, UnknownStore
from glance.stores.registry import Stores
from glance.transfers.removal import Remover, thd_finish
from glance.transfers.upload import thd_requeue
from glance.transfers.worker import WorkerIdentity, thd_is_alive

_EVERYTHING = Viewer(is_admin=True)

#: Seconds between sweeps of the stores for partial files when nothing hints at any.
SWEEP_INTERVAL = 3600.0

#: Seconds that a stop waits for a look under way, which a store that hangs may hold up.
STOP_TIME = 5.0


class Recovery(Service):
    """Look for interrupted work and finish or undo it.

    :param stale_time: seconds of a heartbeat standing still after which a lease is void.
    :param interval: seconds between looks.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        stores: Stores,
        remover: Remover,
        identity: WorkerIdentity,
        reactor: Any,
        *,
        stale_time: float,
        interval: float,
    ) -> None:
        self._database = database
        self._stores = stores
        self._remover = remover
        self._identity = identity
        self._stale_time = stale_time
        self._interval = interval
        self._reactor = reactor
        # The heartbeats seen, and since when each has been the same.
        self._seen: dict[str, tuple[datetime, float]] = {}
        self._sweep_due = reactor.seconds()
        self._loop = LoopingCall(lambda: ensureDeferred(self.look()))
        self._loop.clock = reactor

    def startService(self) -> None:
        """Look at once, then at the interval."""
        super().startService()
        self._stopped = self._loop.start(self._interval, now=True)

    def stopService(self) -> Deferred[Any] | None:
        """Look no more; the Deferred fires when a look under way is over, or takes too long."""
        super().stopService()
        if not self._loop.running:
            return None
        self._loop.stop()
        self._stopped.addTimeout(STOP_TIME, self._reactor)
        return self._stopped.addErrback(lambda failure: failure.trap(TimeoutError) and None)

    async def look(self) -> None:
        """Find void leases, finish or undo what they stand for, sweep partial files."""
        try:
            void = await self._void_leases()
            for lease in void:
                await self._recover(lease)
            now = self._reactor.seconds()
            if void or now >= self._sweep_due:
                swept = await self._stores.sweep()
                self._sweep_due = now + SWEEP_INTERVAL
                if swept:
                    self._log.warn("Removed {count} unfinished file(s)", count=swept)
        except Exception as error:
            # Whatever it was, the next look tries again.
            self._log.failure("Looking for interrupted work failed: {error}", error=error)

    async def _void_leases(self) -> list[Lease]:
        every = await self._database.runReading(leases.thd_all)
        now = self._reactor.seconds()
        before, self._seen = self._seen, {}
        for lease in every:
            beat, since = before.get(lease.id, (lease.heartbeat_at, now))
            self._seen[lease.id] = (
                (beat, since) if beat == lease.heartbeat_at else (lease.heartbeat_at, now)
            )
        ours = {
            lease.worker
            for lease in every
            if lease.node == self._identity.node and lease.worker != self._identity.worker
        }
        dead = await deferToThread(_thd_dead, ours) if ours else set()
        return [
            lease
            for lease in every
            if now - self._seen[lease.id][1] >= self._stale_time
            or (lease.node == self._identity.node and lease.worker in dead)
        ]

    async def _recover(self, lease: Lease) -> None:
        taken = await self._database.runInteraction(_thd_take_over, lease, self._identity)
        if taken is None:
            return
        try:
            if lease.kind == leases.UPLOAD:
                await self._undo_upload(lease, taken)
            else:
                await self._finish_removal(lease, taken)
        except Exception as error:
            # Our lease on it stops beating, so it is found again.
            self._log.failure(
                "Image {id}: could not recover from an interrupted {kind}: {error}",
                id=lease.image_id,
                kind=lease.kind,
                error=error,
            )

    async def _undo_upload(self, lease: Lease, taken: str) -> None:
        await self._remove_leftovers(lease)
        if await self._database.runInteraction(thd_requeue, lease.image_id, taken):
            self._log.warn(
                "Image {id}: an upload was interrupted; the image is queued again",
                id=lease.image_id,
            )

    async def _remove_leftovers(self, lease: Lease) -> None:
        try:
            store = self._stores.get(lease.store_id)
        except UnknownStore:
            return
        for url in store.url_for(lease.image_id):
            try:
                await store.delete(url)
            except DataNotFound:
                continue

    async def _finish_removal(self, lease: Lease, taken: str) -> None:
        try:
            image = await self._database.runReading(images.thd_get, lease.image_id, _EVERYTHING)
        except NotFound:
            await self._database.runInteraction(leases.thd_end, taken)
            return
        await self._remover.remove_data(image)
        await self._database.runInteraction(thd_finish, lease.image_id)
        self._log.warn("Image {id}: finished an interrupted deletion", id=lease.image_id)


def _thd_dead(workers: set[str]) -> set[str]:
    return {worker for worker in workers if not thd_is_alive(worker)}


def _thd_take_over(connection: Connection, lease: Lease, identity: WorkerIdentity) -> str | None:
    if not leases.thd_end_unrenewed(connection, [lease]):
        return None
    return leases.thd_take(
        connection, lease.image_id, lease.kind, identity.node, identity.worker, lease.store_id
    )
