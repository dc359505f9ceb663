"""The image cache of a process: its parts, made from the configuration and put together."""

from __future__ import annotations

from typing import Any

from glance.cache.front import ImageCache, make_threads
from glance.cache.hits import Hits
from glance.cache.indexes import make_index
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import CacheDirectory
from glance.cache.room import Room


class CacheParts:
    """What a process has of the node's cache.

    :param database: the catalogue's, which an index may be in.
    :param hashing: the pool that hashes.
    :ivar keeper: lists, queues, removes copies.
    :ivar images: gives copies to read, and makes them.
    :raises ConfigError: options are missing or wrong.
    """

    def __init__(self, conf: Any, database: Any, reactor: Any, hashing: Any) -> None:
        directory = CacheDirectory(conf.image_cache_dir)
        room = Room(directory, conf.image_cache_max_size)
        index = make_index(conf, database, reactor)
        threads, data = make_threads(reactor)
        self.keeper = CacheKeeper(directory, room, index, threads)
        self._hits = Hits(index, reactor)
        self.images = ImageCache(
            self.keeper, room, threads, data, hashing, reactor, self._hits.count
        )

    async def start(self) -> None:
        """Get ready.

        :raises ConfigError: the directory or the index cannot be used.
        """
        await self.images.start()

    async def stop(self) -> None:
        """Let go of what is being written, note the last hits, end the threads."""
        await self.images.let_go()
        await self._hits.stop()
        await self.images.stop()


def make_cache(conf: Any, database: Any, reactor: Any, hashing: Any) -> CacheParts | None:
    """Make the cache that a configuration asks for, if it does.

    :raises ConfigError: its options are missing or wrong.
    """
    return CacheParts(conf, database, reactor, hashing) if conf.image_cache_dir else None
