"""Cache what was wished for: work through the queue, the oldest wish first.

One process of a node does that at a time. A wish is over when there is a copy, or when there is no
such image any more; whatever else keeps an image from being cached leaves the wish where it is, for
the next pass. What a pass that broke off has of an image is gone on with.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.cache.keeper import CacheKeeper
from glance.cache.prefetched import Prefetched, Standing
from glance.db import images
from glance.db.presence import BATCH, thd_sizes
from glance.db.txdbapi import Database
from glance.domain.amounts import human_size
from glance.domain.errors import GlanceError, NotFound, Unavailable
from glance.domain.image import ACTIVE, Image
from glance.domain.viewer import Viewer
from glance.stores.interfaces import IStoreReader
from glance.stores.registry import Stores
from glance.transfers.opening import open_data

#: What is locked during a pass.
LOCK = "prefetch"

#: Seconds after which a pass with something in hand looks whether there are new wishes.
LOOK_AGAIN = 2.0

#: Seconds between two reports of progress.
REPORT_INTERVAL = 0.5

_EVERYTHING = Viewer(is_admin=True)

Opener = Callable[..., Awaitable[tuple[IStoreReader, int] | None]]


class IFills(Protocol):
    """What the cache does for a prefetcher."""

    async def fetch(self, image: Image, open_store: Opener) -> bool:
        """Cache an image.

        :returns: whether it is cached now.
        :raises GlanceError: it could not be read, is not what the catalogue says, or too large.
        """


@dataclass(slots=True)
class _Pass:
    """What a pass has in hand.

    :ivar waiting: wishes that are still to be dealt with, as the queue was read last.
    :ivar tried: those that have been begun with, unless they are over: then it is a new wish.
    :ivar sizes: bytes of what was wished for, where progress is told.
    :ivar fault: why no more can be begun with.
    """

    summary: Prefetched = field(default_factory=Prefetched)
    waiting: deque[str] = field(default_factory=deque)
    tried: set[str] = field(default_factory=set)
    in_hand: dict[str, Deferred[None]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    fault: Unavailable | None = None


class Prefetcher:
    """Makes passes over the queue, one at a time.

    :param cache: writes copies.
    :param pool_size: ``[DEFAULT] cache_prefetcher_pool_size``, images at a time.
    :param report: told how far a pass is, again and again.
    :param complain: told which image stays in the queue, and why; instead of the log.
    """

    _log = Logger()

    def __init__(
        self,
        keeper: CacheKeeper,
        cache: IFills,
        database: Database,
        stores: Stores,
        reactor: Any,
        *,
        pool_size: int,
        report: Callable[[Standing], None] | None = None,
        complain: Callable[[str, str], None] | None = None,
    ) -> None:
        self._keeper = keeper
        self._cache = cache
        self._database = database
        self._stores = stores
        self._reactor = reactor
        self._pool_size = pool_size
        self._report = report
        self._complain = complain or self._warn
        self._stopping = False
        self._passing: Deferred[Any] | None = None
        self._again = False
        #: Why images are left in the queue, as it was last said.
        self._said: dict[str, str] = {}
        self._waker: Deferred[None] | None = None

    # For others.

    def kick(self) -> None:
        """See to it that the queue is looked at now."""
        if not self._stopping:
            self._again = True
            if self._passing is None:
                self._begin().addErrback(self._broke_off)
            self._wake()

    async def run(self) -> Prefetched:
        """Work through the queue until it holds nothing new.

        :raises Unavailable: the catalogue cannot be reached.
        """
        if self._stopping or self._passing is not None:
            return Prefetched(elsewhere=True)
        return await self._begin()

    async def stop(self) -> None:
        """Break off what is in hand; what there is of it stays for the next pass."""
        self._stopping = True
        self._wake()
        if self._passing is not None:
            over: Deferred[None] = Deferred()

            def pass_on(result: Any) -> Any:
                over.callback(None)
                return result

            self._passing.addBoth(pass_on)
            await over

    # A pass.

    def _begin(self) -> Deferred[Prefetched]:
        passing: Deferred[Prefetched] = Deferred.fromCoroutine(self._pass())
        if not passing.called:
            self._passing = passing
            passing.addBoth(self._over)
        return passing

    def _over(self, result: Any) -> Any:
        self._passing = None
        return result

    def _broke_off(self, failure: Failure) -> None:
        if failure.check(GlanceError, OSError):
            self._log.error("Images wait to be cached, but {error}", error=failure.value)
        else:
            self._log.failure("Caching what is queued broke off", failure)

    async def _pass(self) -> Prefetched:
        work = _Pass()
        while not self._stopping:
            self._again = False
            if await self._look(work):
                lock = await self._keeper.hold(LOCK)
                if lock is None:
                    # Whoever has it looks at the queue once more after letting go, as is done
                    # here; so it sees all that is there by now.
                    work.summary.elsewhere = True
                    break
                try:
                    await self._work(work)
                finally:
                    os.close(lock)
            elif not self._again:
                break
        return work.summary

    async def _look(self, work: _Pass) -> bool:
        """Read the queue; tell whether there is anything in it that has not been tried."""
        queued = await self._keeper.queued()
        self._said = {name: self._said[name] for name in queued if name in self._said}
        work.waiting = deque(name for name in queued if name not in work.tried)
        if self._report is not None:
            await self._learn_sizes(work, [n for n in work.waiting if n not in work.sizes])
        return bool(work.waiting)

    async def _learn_sizes(self, work: _Pass, names: list[str]) -> None:
        for at in range(0, len(names), BATCH):
            batch = names[at : at + BATCH]
            known = await self._database.runReading(thd_sizes, batch)
            work.sizes |= {name: known.get(name, 0) for name in batch}

    async def _work(self, work: _Pass) -> None:
        reports = LoopingCall(self._tell, work)
        reports.clock = self._reactor
        if self._report is not None:
            told = reports.start(REPORT_INTERVAL)
            told.addErrback(lambda failure: self._log.failure("Telling of progress", failure))
        try:
            await self._work_through(work)
        finally:
            # There are none unless it is broken off.
            tasks = list(work.in_hand.values())
            for task in tasks:
                task.cancel()
            await DeferredList(tasks)
            if reports.running:
                reports.stop()
        if work.fault is not None:
            raise work.fault

    async def _work_through(self, work: _Pass) -> None:
        while not self._stopping:
            self._again = False
            if work.fault is None and not work.waiting:
                await self._look(work)
            while work.fault is None and work.waiting and len(work.in_hand) < self._pool_size:
                self._take(work, work.waiting.popleft())
            if not work.in_hand:
                return
            await self._change(look=len(work.in_hand) < self._pool_size)

    def _take(self, work: _Pass, image_id: str) -> None:
        work.tried.add(image_id)
        task: Deferred[None] = Deferred.fromCoroutine(self._try(work, image_id))
        work.in_hand[image_id] = task

        def over(result: object) -> None:
            if isinstance(result, Failure):
                # Whoever is told of images failed; the pass must not wait for ever for that.
                self._log.failure("Telling of image {id}", result, id=image_id)
            del work.in_hand[image_id]
            self._wake()

        task.addBoth(over)

    async def _change(self, *, look: bool) -> None:
        """Wait until something is done.

        :param look: wait no longer than until it is time to look for new wishes.
        """
        if self._again or self._stopping:
            return
        self._waker = Deferred()
        timer = self._reactor.callLater(LOOK_AGAIN, self._wake) if look else None
        await self._waker
        self._waker = None
        if timer is not None and timer.active():
            timer.cancel()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.called:
            self._waker.callback(None)

    async def _tell(self, work: _Pass) -> None:
        assert self._report is not None
        written = await self._keeper.written(list(work.in_hand))
        summary = work.summary
        total = summary.seen + len(work.in_hand) + len(work.waiting)
        written += summary.size + summary.present_size
        self._report(Standing(summary.seen, total, written, sum(work.sizes.values())))

    # One image.

    async def _try(self, work: _Pass, image_id: str) -> None:
        summary = work.summary
        try:
            reason = await self._attempt(work, image_id)
        except CancelledError:
            return
        except Unavailable as error:
            # Not of this image alone: the catalogue cannot be read.
            work.fault = work.fault or error
            return
        except (GlanceError, OSError) as error:
            reason = str(error)
        except Exception:
            self._log.failure("Image {id} could not be cached", id=image_id)
            reason = "the service has a fault, see its log"
        if reason:
            summary.left[image_id] = reason
            if self._said.get(image_id) != reason:
                self._said[image_id] = reason
                self._complain(image_id, reason)

    def _warn(self, image_id: str, reason: str) -> None:
        self._log.warn(
            "Image {id} stays queued for the cache: {reason}", id=image_id, reason=reason
        )

    async def _attempt(self, work: _Pass, image_id: str) -> str:
        """Cache an image; return why it has to stay in the queue, if it has to."""
        summary, keeper = work.summary, self._keeper
        if not await keeper.is_queued(image_id):
            work.tried.discard(image_id)
            return ""
        try:
            image = await self._database.runReading(images.thd_get, image_id, _EVERYTHING)
        except NotFound:
            summary.gone += await self._fulfil(work, image_id)
            self._log.info("Image {id} was deleted, and is no longer queued", id=image_id)
            return ""
        present = await keeper.has(image_id)
        if not present:
            if image.status != ACTIVE:
                return f"its status is {image.status}, not {ACTIVE}"
            if image.size == 0:
                # Nothing is as good as a copy of that.
                summary.present += await self._fulfil(work, image_id)
                return ""
            if image.size is None:
                return "nobody knows its size"
            try:
                cached = await self._cache.fetch(image, partial(open_data, self._stores, image))
            except Unavailable as error:
                return error.message
            if not cached:
                return await self._refused(summary, image)
        if present:
            summary.present += 1
            summary.present_size += image.size or 0
        else:
            summary.images += 1
            summary.size += image.size or 0
            self._log.info("Image {id} is cached", id=image_id)
        await self._fulfil(work, image_id)
        return ""

    async def _fulfil(self, work: _Pass, image_id: str) -> bool:
        was_queued = await self._keeper.unqueue(image_id)
        # Not before: it would be begun with twice.
        work.tried.discard(image_id)
        return was_queued

    async def _refused(self, summary: Prefetched, image: Image) -> str:
        if await self._keeper.is_being_written(image.id):
            summary.busy += 1
            return ""
        return (
            f"there is no room for its {human_size(image.size or 0)}: what is being sent or "
            "written stays, or the disk is full, or the cache cannot be written to (see the log)"
        )
