"""Put right what dead workers left: no image stays ``saving``, no data stays without a record.

Runs at start, when the leases of this node's dead processes are known to be void, and ever after at
an interval, when a lease of another node whose heartbeat has stood still counts as void
(``glance.transfers.watch``). Every lease is taken over by one delete-and-insert that only one
process can win.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.db import images, leases
from glance.db.leases import Lease
from glance.db.txdbapi import Database
from glance.domain.errors import GlanceError, NotFound
from glance.domain.viewer import Viewer
from glance.stores.errors import DataNotFound, UnknownStore
from glance.stores.registry import Stores
from glance.transfers.removal import REFUSALS, Remover, thd_finish
from glance.transfers.upload import thd_requeue
from glance.transfers.watch import LeaseWatch
from glance.transfers.worker import WorkerIdentity

_EVERYTHING = Viewer(is_admin=True)

#: Seconds between sweeps of the stores for partial files when nothing hints at any.
SWEEP_INTERVAL = 3600.0

#: Seconds that a stop waits for what is under way, which a store that hangs may hold up.
STOP_TIME = 5.0


class Recovery(Service):
    """Look for interrupted work and finish or undo it.

    :param stale_time: seconds of a heartbeat standing still after which a lease is void.
    :param interval: seconds between looks.
    :param others: what finishes or undoes work of other kinds than uploads and removals, by the
        kind of the lease: called with the image's id and the lease taken over.
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
        others: Mapping[str, Callable[[str, str], Awaitable[None]]] | None = None,
    ) -> None:
        self._database = database
        self._stores = stores
        self._remover = remover
        self._identity = identity
        self._others = others or {}
        self._interval = interval
        self._reactor = reactor
        self._watch = LeaseWatch(
            database, identity, reactor, stale_time=stale_time, interval=interval
        )
        self._sweep_due = reactor.seconds()
        self._under_way: dict[str, Deferred[None]] = {}
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Look at once, then at the interval."""
        super().startService()
        self._loop.start(self._interval, now=True)

    def stopService(self) -> Deferred[Any]:
        """Look no more; the Deferred fires when what is under way is over, or takes too long."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        waiting: Deferred[Any] = Deferred()
        # The time limit ends the waiting, not the work.
        DeferredList(list(self._under_way.values())).addCallback(waiting.callback)
        waiting.addTimeout(STOP_TIME, self._reactor)
        return waiting.addErrback(lambda failure: failure.trap(TimeoutError) and None)

    def look(self) -> None:
        """Look once, unless the last look still goes on.

        A store that hangs holds up what is in it and nothing else: every recovery goes on by
        itself, as do the sweeps, and the looks do not wait for them.
        """
        self._start("look", self._look)

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something, unless the same is being done."""
        if name in self._under_way:
            return
        done: Deferred[None] = Deferred()
        self._under_way[name] = done

        def over(result: Any) -> None:
            del self._under_way[name]
            # Whatever it was, a later look tries again.
            if isinstance(result, Failure) and result.check(GlanceError):
                self._log.warn("Interrupted work ({name}): {error}", name=name, error=result.value)
            elif isinstance(result, Failure):
                self._log.failure("Interrupted work ({name})", result, name=name)
            done.callback(None)

        ensureDeferred(work()).addBoth(over)

    async def _look(self) -> None:
        for lease in await self._watch.look():
            self._start(lease.image_id, partial(self._recover, lease))
        if self._reactor.seconds() >= self._sweep_due:
            self._start("sweep", self._sweep)

    async def _sweep(self) -> None:
        swept = await self._stores.sweep()
        self._sweep_due = self._reactor.seconds() + SWEEP_INTERVAL
        if swept:
            self._log.warn("Removed {count} unfinished file(s)", count=swept)

    async def _recover(self, lease: Lease) -> None:
        taken = await self._database.runInteraction(_thd_take_over, lease, self._identity)
        if taken is None:
            return
        # The lease taken does not beat: should this fail, it is found again.
        if lease.kind == leases.UPLOAD:
            await self._undo_upload(lease, taken)
        elif lease.kind in self._others:
            await self._others[lease.kind](lease.image_id, taken)
        else:
            await self._finish_removal(lease, taken)
        self._start("sweep", self._sweep)

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
            # Deleted during an upload, which died before it could remove what it had stored.
            await self._remove_leftovers(lease)
            await self._database.runInteraction(leases.thd_end, taken)
            return
        try:
            await self._remover.remove_data(image)
        except REFUSALS as refusal:
            self._log.warn(
                "Image {id}: not deleted after all: {error}", id=lease.image_id, error=refusal
            )
            await self._database.runInteraction(leases.thd_end, taken)
            return
        await self._database.runInteraction(thd_finish, lease.image_id, taken)
        self._log.warn("Image {id}: finished an interrupted deletion", id=lease.image_id)


def _thd_take_over(connection: Connection, lease: Lease, identity: WorkerIdentity) -> str | None:
    if not leases.thd_end_unrenewed(connection, [lease]):
        return None
    return leases.thd_take(
        connection, lease.image_id, lease.kind, identity.node, identity.worker, lease.store_id
    )
