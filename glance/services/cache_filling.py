"""What fills a node's image cache outside of the API, put together from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.threadpool import ThreadPool

from glance.cache.chores import Chores
from glance.cache.prefetched import Standing
from glance.cache.prefetching import Prefetcher
from glance.cache.upkeep import Duty, Upkeep
from glance.services.cache_work import make_chores
from glance.services.cached import CacheParts
from glance.services.catalogue import make_database
from glance.stores.registry import Stores, start_in_time

#: Threads for hashing.
HASH_THREADS = 4


class FillWork:
    """A node's cache, with what it is filled from.

    :param stores: the configured stores, not started.
    :param say: told what was removed.
    :param report: told how far a pass over the queue is.
    :param complain: told which image stays in the queue, and why.
    """

    def __init__(
        self,
        conf: Any,
        reactor: Any,
        stores: Stores,
        say: Callable[[str], None],
        *,
        report: Callable[[Standing], None] | None = None,
        complain: Callable[[str, str], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._stores = stores
        self._database = make_database(conf, reactor)
        self._hashing = ThreadPool(minthreads=0, maxthreads=HASH_THREADS, name="hashing")
        self._cache = CacheParts(conf, self._database, reactor, self._hashing)
        keeper = self._cache.keeper
        self.prefetcher = Prefetcher(
            keeper,
            self._cache.images,
            self._database,
            stores,
            reactor,
            pool_size=conf.cache_prefetcher_pool_size,
            report=report,
            complain=complain,
        )
        chores = make_chores(conf, keeper, self._database, say)
        self.upkeep = make_upkeep(conf, reactor, self.prefetcher, chores)

    async def start(self) -> None:
        """Get ready.

        :raises ConfigError: the cache cannot be used.
        """
        self._hashing.start()
        self._database.start()
        await start_in_time(self._stores, self._reactor)
        await self._cache.start()

    async def stop(self) -> None:
        """Break off what is under way, and let go of everything."""
        await self.prefetcher.stop()
        await self._cache.stop()
        await self._stores.stop()
        if self._hashing.started:
            self._hashing.stop()
        await self._database.stop()


def make_upkeep(
    conf: Any, reactor: Any, prefetcher: Prefetcher, chores: Chores, *, idle: bool = False
) -> Upkeep:
    """Make what looks after a node's cache.

    :param idle: leave that to others, and only end what the prefetcher was kicked to.
    """
    duties = [
        Duty("fill", conf.cache_prefetcher_interval, prefetcher.run),
        Duty("clean", conf.cache_cleaner_interval, chores.clean),
        Duty("prune", conf.cache_pruner_interval, chores.prune),
    ]
    return Upkeep(
        [] if idle else duties,
        reactor,
        jitter=conf.cache_interval_jitter,
        break_off=prefetcher.stop,
    )
