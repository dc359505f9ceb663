"""The image cache of a process: its parts, made from the configuration and put together."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.cache.front import ImageCache, make_threads
from glance.cache.hits import Hits
from glance.cache.indexes import make_index
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import CacheDirectory
from glance.cache.room import Room
from glance.domain.errors import ConfigError

#: Seconds after which a cache that could not be started is tried again.
AGAIN: Final = 30.0


class CacheParts:
    """What a process has of the node's cache.

    :param database: the catalogue's, which an index may be in.
    :param hashing: the pool that hashes.
    :ivar keeper: lists, queues, removes copies.
    :ivar images: gives copies to read, and makes them.
    :raises ConfigError: options are missing or wrong.
    """

    _log = Logger()

    def __init__(self, conf: Any, database: Any, reactor: Any, hashing: Any) -> None:
        self._reactor = reactor
        self._timer: IDelayedCall | None = None
        self._trying: Deferred[None] | None = None
        self._told = ""
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

    async def start_if_possible(self) -> None:
        """Get ready, now or later: who can serve without a cache does so until there is one."""
        try:
            await self.start()
        except ConfigError as error:
            if error.message != self._told:
                self._told = error.message
                self._log.critical(
                    "Images are sent from their stores without the cache, which is tried again "
                    "every {seconds:.0f} s: {error}",
                    seconds=AGAIN,
                    error=error.message,
                )
            self._timer = self._reactor.callLater(AGAIN, self._try_again)
        else:
            if self._told:
                self._told = ""
                self._log.warn("The image cache can be used again")

    def _try_again(self) -> None:
        self._timer = None
        self._trying = trying = Deferred.fromCoroutine(self.start_if_possible())
        trying.addErrback(self._gave_up)

    def _gave_up(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("Starting the image cache", failure)

    async def stop(self) -> None:
        """Let go of what is being written, note the last hits, end the threads."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._trying is not None:
            self._trying.cancel()
        await self.images.let_go()
        await self._hits.stop()
        await self.images.stop()


def make_cache(conf: Any, database: Any, reactor: Any, hashing: Any) -> CacheParts | None:
    """Make the cache that a configuration asks for, if it does.

    :raises ConfigError: its options are missing or wrong.
    """
    return CacheParts(conf, database, reactor, hashing) if conf.image_cache_dir else None
