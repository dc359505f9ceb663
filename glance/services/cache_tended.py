"""The image cache in a process of the API: what manages it over HTTP and between requests."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from glance.api.cache import CacheResource, NodeCache
from glance.api.cached_images import CachedImagesResource
from glance.cache.prefetching import Prefetcher
from glance.db.txdbapi import Database
from glance.identity.flavors import has_old_cache_routes
from glance.identity.policy import IPolicy
from glance.services.cache_filling import make_upkeep
from glance.services.cache_work import make_chores
from glance.services.cached import CacheParts
from glance.stores.registry import Stores

_log = Logger()


class TendedCache:
    """What looks after a cache, beside what reads it.

    :param idle: whether another process of the service does what has to be done again and again.
    :ivar upkeep: a service to be run once all that it works with is started.
    """

    def __init__(
        self,
        conf: Any,
        parts: CacheParts,
        database: Database,
        stores: Stores,
        reactor: Any,
        *,
        idle: bool = False,
    ) -> None:
        self._has_old_routes = has_old_cache_routes(conf.paste_deploy.flavor)
        prefetcher = Prefetcher(
            parts.keeper,
            parts.images,
            database,
            stores,
            reactor,
            pool_size=conf.cache_prefetcher_pool_size,
        )
        chores = make_chores(conf, parts.keeper, database, _say)
        # What is queued here is fetched at once, also where others do the rest.
        self.upkeep = make_upkeep(
            conf, reactor, prefetcher, chores, idle=idle or not conf.cache_upkeep
        )
        self._managed = NodeCache(parts.keeper, prefetcher.kick, conf.image_cache_stall_time)

    def resources(self, database: Database, policy: IPolicy) -> list[object]:
        """Return what answers over HTTP."""
        found: list[object] = [CacheResource(database, policy, self._managed)]
        if self._has_old_routes:
            found.append(CachedImagesResource(policy, self._managed))
        return found


def _say(text: str) -> None:
    _log.info("{text}", text=text)
