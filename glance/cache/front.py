"""The cache as downloads and prefetchers see it: give an image, get something to read it from.

Whatever is wrong with the cache itself costs its help and never a download: then there is no
reader, and the image is read from its store as if there were no cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from glance.cache.copying import Copying, Means
from glance.cache.filling import OpenStore
from glance.cache.growing import CopyReader
from glance.cache.interfaces import ICachedReader
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import thd_close
from glance.cache.room import Room
from glance.domain.amounts import human_size
from glance.domain.caching import can_be_named
from glance.domain.errors import GlanceError, LimitExceeded
from glance.domain.image import ACTIVE, Image
from glance.stores.errors import StoreTimeout
from glance.stores.threads import Threads, Words

T = TypeVar("T")

#: Threads for what is done to the directory, and the seconds that it may take.
DIRECTORY_THREADS: Final = 8
DIRECTORY_TIME: Final = 15.0

#: Threads for the copies' bytes, and the seconds that a piece may take.
DATA_THREADS: Final = 16
DATA_TIME: Final = 120.0

#: Seconds for which a directory that does not answer is left alone, and nothing is written to one
#: that fails.
OFF_TIME: Final = 30.0

#: Images remembered as having had wrong data.
_MOST_BAD: Final = 1000

#: Seconds that a stop waits for fills to let go, and as many for the disk.
_STOP_TIME: Final = 5.0

_WORDS: Final = Words(
    subject="The image cache",
    label="Image cache",
    limits="{overdue} of them past their deadline",
)

_log = Logger()


def make_threads(reactor: Any) -> tuple[Threads, Threads]:
    """Make the threads of a cache: for its directory, which its keeper uses too; for its data."""
    # Busy threads are what many readers of a slow disk look like, and no news.
    return (
        Threads(reactor, "cache", DIRECTORY_THREADS, DIRECTORY_TIME, 100_000, words=_WORDS),
        Threads(reactor, "cache-data", DATA_THREADS, DATA_TIME, 100_000, words=_WORDS),
    )


class ImageCache:
    """Reads images from the node's copies, and makes those that are missing.

    :param keeper: keeps the copies; it is started and stopped with this.
    :param threads: for the directory, those of the keeper.
    :param data: for the bytes.
    :param hashing: the pool that hashes.
    :param delivered: called with the id of an image whose complete copy was sent to its end.
    """

    def __init__(
        self,
        keeper: CacheKeeper,
        room: Room,
        threads: Threads,
        data: Threads,
        hashing: Any,
        reactor: Any,
        delivered: Callable[[str], None] = lambda image_id: None,
    ) -> None:
        self.keeper = keeper
        self._room = room
        self._threads = threads
        self._data = data
        self._reactor = reactor
        self._delivered = delivered
        self._running = False
        self._off_until = 0.0
        self._filling_off_until = 0.0
        #: What may be joined, by image.
        self._copying: dict[str, Copying] = {}
        #: What has not ended.
        self._at_work: set[Copying] = set()
        self._means = Means(keeper, room, threads, data, hashing, reactor, self._trouble)

    async def start(self) -> None:
        """Get ready.

        :raises ConfigError: directory or index cannot be used.
        """
        self._data.start()
        await self.keeper.start()
        self._running = True

    async def let_go(self) -> None:
        """Take part no more, and let go of what is being written: others can go on with it."""
        self._running = False
        work = list(self._at_work)
        for copying in work:
            copying.stop()
        ends = [Deferred.fromCoroutine(copying.over()) for copying in work]
        over = DeferredList(ends, consumeErrors=True).addTimeout(_STOP_TIME, self._reactor)
        await over.addErrback(lambda _: None)

    async def stop(self) -> None:
        """Let go of everything, threads and index among it."""
        await self.let_go()
        await self._data.stop(_STOP_TIME)
        await self.keeper.stop()

    async def open(self, image: Image, open_store: OpenStore) -> ICachedReader | None:
        """Open the copy of an image, complete or not; have it made if there is none.

        :param open_store: opens the image's data in a store.
        :returns: ``None`` if the image is to be read from its store without the cache.
        :raises GlanceError: the image's data cannot be read, or is not the image's.
        """
        # What is complete when we look may be removed, what is removed be made anew, by others.
        for _ in range(3):
            if image.id not in self._copying:
                found = await self.open_copy(image)
                if found is not None:
                    return found
            copying = self._join(image, open_store)
            if copying is None:
                return None
            reader = await copying.reader()
            if reader is not None:
                return reader
            if not copying.cached:
                break
        return None

    async def open_copy(self, image: Image) -> ICachedReader | None:
        """Open the complete copy of an image, if there is one."""
        if not self._may_have(image):
            return None
        size = image.size or 0
        opening = self._threads.run(self._room.thd_open, image.id, size, late=thd_close)
        fd = await self._unless_trouble(opening)
        if fd is None:
            return None
        return CopyReader(self._data, fd, size, partial(self._delivered, image.id))

    async def fetch(self, image: Image, open_store: OpenStore) -> bool:
        """See to it that there is a copy of an image.

        Cancelling it gives that up, unless others want it too; what there is of it by then stays.

        :returns: whether there is one now: not if there is no room, or the cache is in trouble.
        :raises LimitExceeded: it is larger than the cache may be.
        :raises GlanceError: the image's data cannot be read, or is not the image's.
        """
        if image.id not in self._copying:
            found = await self.open_copy(image)
            if found is not None:
                found.close()
                return True
        if not self._room.could_hold(size := image.size or 0):
            raise LimitExceeded(
                f"its {human_size(size)} are more than [DEFAULT]image_cache_max_size allows"
            )
        copying = self._join(image, open_store)
        return copying is not None and await copying.end()

    async def image_is_gone(self, image_id: str) -> None:
        """Remove what there is of an image that was deleted; that it fails is only logged."""
        try:
            await self.keeper.image_is_gone(image_id)
        except (GlanceError, OSError) as error:
            _log.warn(
                "The cached copy of image {id}, which was deleted, stays for now: {error}",
                id=image_id,
                error=error,
            )

    def _may_have(self, image: Image) -> bool:
        return (
            self._running
            and image.status == ACTIVE
            and bool(image.size)
            and can_be_named(image.id)
            and self._reactor.seconds() >= self._off_until
        )

    def _join(self, image: Image, open_store: OpenStore) -> Copying | None:
        """Return what makes the copy of an image; ``None`` if it is not to have one."""
        if not self._may_have(image) or not self._room.could_hold(image.size or 0):
            return None
        copying = self._copying.get(image.id)
        if copying is None or copying.size != image.size:
            if self._reactor.seconds() < self._filling_off_until:
                return None
            copying = Copying(image, open_store, self._means, self._left)
            self._copying[image.id] = copying
            self._at_work.add(copying)
        return copying

    def _left(self, copying: Copying) -> None:
        if self._copying.get(copying.image.id) is copying:
            del self._copying[copying.image.id]
        if copying.is_over:
            self._at_work.discard(copying)
            while len(self._means.bad) > _MOST_BAD:
                del self._means.bad[next(iter(self._means.bad))]

    async def _unless_trouble(self, answer: Awaitable[T]) -> T | None:
        try:
            return await answer
        except (GlanceError, OSError) as error:
            self._trouble(error)
            return None

    def _trouble(self, error: Exception) -> None:
        """Go without the cache for a while, so that not every download has to wait for it."""
        if not self._running:
            return
        until = self._reactor.seconds() + OFF_TIME
        self._filling_off_until = until
        if isinstance(error, StoreTimeout):
            self._off_until = until
        _log.error(
            "The image cache cannot be written to for now, and is left alone for {seconds:.0f} s: "
            "{error}",
            seconds=OFF_TIME,
            error=error,
        )
