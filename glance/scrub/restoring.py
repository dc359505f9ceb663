"""Restore an image that was deleted by mistake, if its data is still there.

The image's lease keeps scrubbers away meanwhile, and shows if one was faster. The data is looked at
before anything is changed: a scrubber that died may have deleted it without saying so, and an image
without its data would be worse than none.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import TimeoutError
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from glance.db import leases, restoring
from glance.db.leases import Lease
from glance.db.restoring import Begun
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict
from glance.domain.image import Location
from glance.stores.errors import DataNotFound, StoreError
from glance.stores.registry import Stores
from glance.transfers.heartbeat import Finisher, Heartbeat
from glance.transfers.worker import WorkerIdentity, thd_is_alive

#: Seconds in which a store has to say whether it has the data.
LOOK_TIME = 30.0

_DOING = {
    leases.SCRUB: "its data is being deleted",
    leases.RESTORE: "it is being restored",
    leases.REMOVAL: "work on it that was under way when it was deleted is being undone",
}


class Restorer:
    """Restores images.

    :param identity: this process.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        stores: Stores,
        heartbeat: Heartbeat,
        identity: WorkerIdentity,
        reactor: Any,
    ) -> None:
        self._database = database
        self._stores = stores
        self._heartbeat = heartbeat
        self._identity = identity
        self._reactor = reactor

    async def restore(self, image_id: str) -> None:
        """Make an image active again.

        :raises NotFound: there is no such image.
        :raises InvalidStatus: it is not in ``pending_delete``.
        :raises Conflict: a scrubber is at work on it, or its data is gone.
        """
        begun = await self._begin(image_id)
        release = self._heartbeat.hold(begun.lease, Finisher(leases.RESTORE))
        try:
            there = await self._look(begun)
            await self._database.runInteraction(restoring.thd_finish, begun, there)
        except BaseException:
            await self._database.runInteraction(leases.thd_end, begun.lease)
            raise
        finally:
            release()
        self._log.info("Image {id} is active again", id=image_id)
        if len(there) < len(begun.locations):
            self._log.warn(
                "Image {id}: {count} of its locations had lost their data and are left out",
                id=image_id,
                count=len(begun.locations) - len(there),
            )

    async def _begin(self, image_id: str) -> Begun:
        who = self._identity
        while True:
            begun = await self._database.runInteraction(
                restoring.thd_begin, image_id, who.node, who.worker
            )
            if isinstance(begun, Begun):
                return begun
            if not await self._is_dead(begun):
                raise _held(begun)
            # Nothing has to be waited for where a process of this node is known to be dead.
            await self._database.runInteraction(leases.thd_end_unrenewed, [begun])

    async def _is_dead(self, lease: Lease) -> bool:
        if lease.kind not in (leases.SCRUB, leases.RESTORE) or lease.node != self._identity.node:
            return False
        return not await deferToThread(thd_is_alive, lease.worker)

    async def _look(self, begun: Begun) -> list[Location]:
        """Return the locations whose data is there, or may be: one at least is certain."""
        there, doubts = [], []
        for location in begun.locations:
            try:
                store = self._stores.for_url(location.url, location.store_id)
                await store.size_of(location.url).addTimeout(LOOK_TIME, self._reactor)
            except DataNotFound:
                continue
            except StoreError as error:
                doubts.append(f"store {location.store_id or 'unknown'}: {error.message}")
            except TimeoutError:
                doubts.append(f"store {location.store_id or 'unknown'} does not answer.")
            there.append(location)
        if not there:
            raise Conflict(
                f"Image {begun.image_id} cannot be restored: its data has been deleted already."
            )
        for doubt in doubts:
            self._log.warn(
                "Image {id}: a copy could not be seen: {why}", id=begun.image_id, why=doubt
            )
        if len(doubts) == len(there):
            raise Conflict(
                f"Image {begun.image_id} cannot be restored: whether its data is still there "
                f"cannot be told; {doubts[0]}"
            )
        return there


def _held(lease: Lease) -> Conflict:
    doing = _DOING.get(lease.kind, "it is being worked on")
    host = lease.node.partition("/")[0]
    return Conflict(
        f"Image {lease.image_id} cannot be restored now: {doing} by process "
        f"{lease.worker.partition('.')[0]} on {host}. If that process is dead, the next one that "
        "looks after leases ends this; then try again."
    )
