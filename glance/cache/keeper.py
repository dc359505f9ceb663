"""What is done with a node's copies as a whole: list, queue, remove, keep book.

Every method is for the reactor's thread and answers when it is done. What the directory says
counts; the index is told afterwards, and if it cannot be reached then the next
:meth:`CacheKeeper.reconcile` puts it right.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from glance.cache.claims import Claim
from glance.cache.interfaces import ICacheIndex, ISharedIndex
from glance.cache.layout import CacheDirectory, CacheFile, thd_close
from glance.cache.room import Refusal, Removed, Room
from glance.domain.caching import CachedImage, by_age, can_be_named
from glance.domain.errors import ConfigError, Conflict, GlanceError, Unavailable
from glance.stores.errors import StoreTimeout
from glance.stores.threads import Threads

#: Seconds that a stop waits for a directory that hangs.
STOP_TIME: Final = 5.0

#: Seconds for which an index that does not answer is not asked which copies are old.
_INDEX_OFF_TIME = 30.0

#: Copies that are removed before others have their turn.
_DROPPED_AT_ONCE = 100

_log = Logger()


class CacheKeeper:
    """Keeps a node's copies and the index of them.

    :param directory: where they are.
    :param index: what is known of them.
    :param threads: what runs all that blocks.
    """

    def __init__(
        self, directory: CacheDirectory, room: Room, index: ICacheIndex, threads: Threads
    ) -> None:
        self._directory = directory
        self._room = room
        self._index = index
        self._threads = threads
        #: Who needs to know which copies are old waits here for who asks the index already.
        self._asking = DeferredLock()
        self._not_asked_until = 0.0

    async def start(self) -> None:
        """Get ready.

        :raises ConfigError: directory or index cannot be used.
        """
        self._threads.start()
        try:
            await self._threads.run(self._directory.thd_prepare)
        except StoreTimeout:
            raise ConfigError(
                f"[DEFAULT]image_cache_dir = {self._directory.root} does not answer."
            ) from None
        try:
            await self._index.start()
        except Unavailable as error:
            # It is put right by the cleaner then.
            _log.warn("The index of the image cache: {error}", error=error.message)
        else:
            await self.reconcile()

    async def stop(self) -> None:
        """Let go of threads and connections."""
        await self._index.stop()
        await self._threads.stop(STOP_TIME)

    # What there is.

    @property
    def is_shared(self) -> bool:
        """Whether the index is one of all nodes."""
        return bool(ISharedIndex.providedBy(self._index))

    async def entries(self) -> list[CachedImage]:
        """Return what is known of all copies, the one that was asked for last first.

        :raises Unavailable: the index cannot be read.
        """
        files = await self._run(self._directory.thd_copies)
        found = _entries_of(files, await self._index.entries())
        return sorted(found, key=lambda entry: (-entry.last_accessed, entry.image_id))

    async def has(self, image_id: str) -> bool:
        """Tell whether there is a complete copy of an image."""
        return can_be_named(image_id) and await self._run(
            os.path.lexists, self._directory.copy(image_id)
        )

    async def nodes_with(self, image_id: str) -> list[str]:
        """Return the URLs of the nodes that have a copy of an image.

        :raises Conflict: the index knows of this node alone.
        """
        if not ISharedIndex.providedBy(self._index):
            raise Conflict(
                "Only the driver centralized_db ([DEFAULT]image_cache_driver) knows what other "
                "nodes have cached."
            )
        nodes: list[str] = await self._index.nodes_with(image_id)
        return nodes

    async def cached(self) -> list[str]:
        """Return the images that there are complete copies of, in any order."""
        return [file.image_id for file in await self._run(self._directory.thd_copies)]

    # Turns.

    async def hold(self, name: str) -> int | None:
        """Become the only one on this node that does something, for as long as that takes.

        :param name: what is done.
        :returns: a descriptor, which is closed at the end; ``None`` if another one does it.
        """
        return await self._threads.run(self._directory.thd_hold, name, late=thd_close)

    # Wishes.

    async def queued(self) -> list[str]:
        """Return the images that are to be cached, the oldest wish first."""
        return await self._run(self._directory.thd_queued)

    async def is_queued(self, image_id: str) -> bool:
        """Tell whether somebody wishes that an image be cached."""
        return await self._run(os.path.lexists, self._directory.wish(image_id))

    async def queue(self, image_id: str) -> bool:
        """Wish that an image be cached; tell whether that is new and not fulfilled already."""
        return can_be_named(image_id) and await self._run(self._directory.thd_enqueue, image_id)

    async def unqueue(self, image_id: str) -> bool:
        """Take a wish back; tell whether there was one."""
        return can_be_named(image_id) and await self._run(self._directory.thd_dequeue, image_id)

    async def unqueue_all(self) -> int:
        """Take all wishes back; return how many there were."""
        return await self._run(self._directory.thd_dequeue_all)

    # Copies.

    async def claim(self, image_id: str, size: int, *, resume: bool = True) -> Claim | Refusal:
        """Make room for the copy of an image, and get the right to write it.

        Not to be cancelled: what it gets would be lost.

        :param resume: whether what another process left unfinished is gone on with.
        """
        outcome = await self._claim(image_id, size, None, resume)
        if outcome is Refusal.NO_ORDER:
            # Only now: to read the whole index takes long where there are many copies.
            outcome = await self._claim(image_id, size, await self._order(), resume)
        return outcome

    async def _claim(
        self, image_id: str, size: int, order: Sequence[str] | None, resume: bool
    ) -> Claim | Refusal:
        outcome, removed = await self._threads.run(
            partial(self._room.thd_claim, image_id, size, order, resume=resume), late=_thd_let_go
        )
        # Nobody waits for the index: what was claimed would be lost if it fails.
        telling = Deferred.fromCoroutine(self._removed(removed))
        telling.addErrback(lambda failure: _log.failure("Forgetting copies that made way", failure))
        return outcome

    async def is_being_written(self, image_id: str) -> bool:
        """Tell whether some process of the node writes the copy of an image."""
        return await self._run(self._room.thd_is_claimed, image_id)

    async def written(self, image_ids: Sequence[str]) -> int:
        """Return how many bytes there are of the unfinished copies of some images."""
        partials = await self._run(self._directory.thd_partials)
        return sum(file.size for file in partials if file.image_id in image_ids)

    async def record(self, image_id: str, size: int) -> None:
        """Note that an image has been cached just now."""
        now = time.time()
        try:
            await self._index.add([CachedImage(image_id, size, 0, now, now)])
        except Unavailable as error:
            _log.warn("Image {id} is cached, but {error}", id=image_id, error=error.message)

    async def drop(self, image_id: str) -> bool:
        """Remove the copy of an image; tell whether there was one."""
        if not can_be_named(image_id):
            return False
        removed = await self._run(self._room.thd_drop, [image_id])
        await self._forget([image_id])
        return bool(removed.copies)

    async def drop_all(self) -> int:
        """Remove all copies; return how many there were."""
        removed = await self.drop_these(await self.cached())
        return len(removed.copies)

    async def drop_these(self, image_ids: Sequence[str]) -> Removed:
        """Remove the copies of some images."""
        removed = Removed()
        # A few at a time: removing large files takes long, and nobody else has a turn meanwhile.
        for at in range(0, len(image_ids), _DROPPED_AT_ONCE):
            batch = image_ids[at : at + _DROPPED_AT_ONCE]
            removed.include(await self._run(self._room.thd_drop, batch))
            await self._forget(batch)
        return removed

    async def image_is_gone(self, image_id: str) -> None:
        """Remove all that there is of an image that was deleted."""
        if can_be_named(image_id):
            await self._run(self._directory.thd_dequeue, image_id)
            await self._run(lambda: self._room.thd_drop([image_id], unfinished=True))
            await self._forget([image_id])

    async def prune(self) -> Removed:
        """Remove what is beyond the limit, as far as nobody uses it."""
        removed = await self._run(self._room.thd_prune, await self._order())
        await self._removed(removed)
        return removed

    async def clean(self, stall_time: float) -> Removed:
        """Remove invalid copies, and those that nobody has written at for some time."""
        return await self._run(self._room.thd_clean, stall_time)

    async def reconcile(self) -> None:
        """Have the index know what the directory has: no more and no less."""
        with suppress(Unavailable, StoreTimeout):
            known = {entry.image_id for entry in await self._index.entries()}
            # In this order: what is recorded between the two is in the directory already.
            files = await self._run(self._directory.thd_copies)
            await self._index.add([_entry_of(f) for f in files if f.image_id not in known])
            gone = known - {file.image_id for file in files}
            await self._index.remove(sorted(gone))

    async def _order(self) -> Sequence[str]:
        """Return the images in the order in which they are to go.

        Those that the index does not know yet have just been made, so they count by their files.
        """
        files = await self._run(self._directory.thd_copies)
        await self._asking.acquire()
        try:
            known = await self._known()
        finally:
            self._asking.release()
        return by_age(_entries_of(files, known))

    async def _known(self) -> list[CachedImage]:
        """Return what the index knows; nothing for a while where it does not answer.

        Downloads wait for this, and none may wait because another one did.
        """
        if time.monotonic() < self._not_asked_until:
            return []
        try:
            return await self._index.entries()
        except Unavailable as error:
            self._not_asked_until = time.monotonic() + _INDEX_OFF_TIME
            _log.warn(
                "Copies make way by the age of their files for {seconds:.0f} s, since nobody knows "
                "when they were asked for last: {error}",
                seconds=_INDEX_OFF_TIME,
                error=error.message,
            )
            return []

    async def _removed(self, removed: Removed) -> None:
        if removed.copies:
            await self._forget(removed.copies)

    async def _forget(self, image_ids: Sequence[str]) -> None:
        with suppress(GlanceError):
            await self._index.remove(image_ids)

    async def _run(self, function: Any, *args: Any) -> Any:
        # It is done even if whoever asked has gone: half of it would help nobody.
        try:
            return await self._threads.run(function, *args, must_run=True)
        except OSError as error:
            raise Unavailable(
                f"The image cache's directory cannot be used: {error.strerror}."
            ) from error


def _entries_of(files: Iterable[CacheFile], known: Iterable[CachedImage]) -> list[CachedImage]:
    """Return an entry for each file, with what is known of it."""
    entries = {entry.image_id: entry for entry in known}
    found = []
    for file in files:
        entry = entries.get(file.image_id)
        if entry is None:
            entry = _entry_of(file)
        elif entry.size != file.size:
            entry = replace(entry, size=file.size)
        found.append(entry)
    return found


def _entry_of(file: CacheFile) -> CachedImage:
    return CachedImage(file.image_id, file.size, 0, file.modified, file.modified)


def _thd_let_go(outcome: tuple[Claim | Refusal, Removed]) -> None:
    claim, _ = outcome
    if isinstance(claim, Claim):
        try:
            claim.thd_release()
        finally:
            claim.abandon()
            os.close(claim.fd)
