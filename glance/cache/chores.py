"""Put a node's copies in order: what cron had to do, and what nobody did.

Each chore is done by one process of the node at a time; others leave it to that one.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from twisted.logger import Logger

from glance.cache.keeper import CacheKeeper
from glance.cache.room import Removed
from glance.domain.amounts import counted, human_size

if TYPE_CHECKING:
    from glance.db.txdbapi import Database

_log = Logger()

#: What is locked while they are done.
CLEAN = "clean"
PRUNE = "prune"


class Chores:
    """Cleans and prunes.

    :param database: the catalogue's; ``None`` where none is configured.
    :param stall_time: ``[DEFAULT] image_cache_stall_time``, seconds.
    :param say: told what was removed.
    """

    def __init__(
        self,
        keeper: CacheKeeper,
        database: Database | None,
        *,
        stall_time: float,
        say: Callable[[str], None],
    ) -> None:
        self._keeper = keeper
        self._database = database
        self._stall_time = stall_time
        self._say = say

    async def clean(self) -> bool:
        """Remove what is broken, what nobody finishes, and the copies of deleted images.

        Afterwards the index knows what there is, no more and no less.

        :returns: whether it was our turn; if not, another process does it.
        :raises Unavailable: the catalogue cannot be reached; all else was done.
        """
        async with self._turn(CLEAN) as ours:
            if ours:
                removed = await self._keeper.clean(self._stall_time)
                self._tell(removed, "broken or abandoned file")
                await self._keeper.reconcile()
                await self._drop_deleted()
        return ours

    async def _drop_deleted(self) -> None:
        copies = sorted(await self._keeper.cached())
        if self._database is None or not copies:
            return
        # Only now: pruning does without the catalogue.
        from glance.db.presence import BATCH, thd_alive

        found: dict[str, bool] = {}
        for at in range(0, len(copies), BATCH):
            found |= await self._database.runReading(thd_alive, copies[at : at + BATCH])
        if not found:
            # Deleted images are known until they are purged, which is long after.
            _log.warn(
                "The catalogue has never heard of any of the {count} images that there are copies "
                "of; they stay. Is [database]connection that of the API?",
                count=len(copies),
            )
            return
        # A copy is made after its image, so what the catalogue lacks by now was deleted.
        gone = [image_id for image_id in copies if not found.get(image_id)]
        if gone:
            removed = await self._keeper.drop_these(gone)
            self._tell(removed, "copy of a deleted image", "copies of deleted images")

    async def prune(self) -> bool:
        """Remove what is beyond the limit, the copies that nobody asked for longest first.

        :returns: whether it was our turn; if not, another process does it.
        """
        async with self._turn(PRUNE) as ours:
            if ours:
                self._tell(await self._keeper.prune(), "file", beyond=True)
        return ours

    def _tell(self, removed: Removed, what: str, several: str = "", beyond: bool = False) -> None:
        if removed.files:
            why = " to keep within image_cache_max_size" if beyond else ""
            amount = counted(removed.files, what, several)
            self._say(f"Removed {amount} ({human_size(removed.size)}){why}.")

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[bool]:
        lock = await self._keeper.hold(name)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)
