"""What works on a node's image cache, put together from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glance.cache.chores import Chores
from glance.cache.indexes import make_index
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import CacheDirectory
from glance.cache.room import Room
from glance.services.catalogue import make_database
from glance.stores.threads import Threads

if TYPE_CHECKING:
    from glance.db.txdbapi import Database

#: Threads for looking at the cache's directory.
THREADS = 2


class CacheWork:
    """A node's cache, for a process that does not serve it.

    :param catalogue: whether to work on the catalogue.
    :param say: told what was removed.
    """

    def __init__(
        self, conf: Any, reactor: Any, say: Callable[[str], None], *, catalogue: bool
    ) -> None:
        self.database = make_database(conf, reactor) if catalogue else None
        self.keeper = make_keeper(conf, self.database, reactor)
        self.chores = make_chores(conf, self.keeper, self.database, say)

    async def start(self) -> None:
        """Get ready.

        :raises ConfigError: directory or index cannot be used.
        """
        if self.database is not None:
            self.database.start()
        await self.keeper.start()

    async def stop(self) -> None:
        """Break off what is under way, and let go of everything."""
        await self.keeper.stop()
        if self.database is not None:
            await self.database.stop()


def make_keeper(conf: Any, database: Database | None, reactor: Any) -> CacheKeeper:
    """Make the keeper of the copies in ``image_cache_dir``."""
    directory = CacheDirectory(conf.image_cache_dir)
    room = Room(directory, conf.image_cache_max_size)
    threads = Threads(reactor, "image cache", THREADS)
    return CacheKeeper(directory, room, make_index(conf, database, reactor), threads)


def make_chores(
    conf: Any, keeper: CacheKeeper, database: Database | None, say: Callable[[str], None]
) -> Chores:
    """Make what cleans and prunes."""
    return Chores(keeper, database, stall_time=conf.image_cache_stall_time, say=say)
