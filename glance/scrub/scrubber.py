"""Delete the data of images in ``pending_delete``: one pass over all that is old enough.

Images are claimed in batches, so that any number of scrubbers share the work, and as many at a time
as about half a second's work, so that none of them hoards what another could be doing. A pass ends
by itself when nothing is left that it could do. An image that failed stays in ``pending_delete``,
and the next pass tries it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from glance.db.columns import utcnow
from glance.db.due import Due, thd_due
from glance.db.pending import Claim, thd_claim
from glance.db.sharing import thd_borrowings
from glance.db.txdbapi import Database
from glance.scrub.deletions import Deletions
from glance.scrub.lanes import Job
from glance.scrub.mounts import blind_stores
from glance.scrub.reaper import Reaper
from glance.scrub.recorder import BATCH, Recorder
from glance.scrub.summary import Summary
from glance.stores.registry import Stores
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.worker import WorkerIdentity

#: Images listed at a time.
PAGE = 5000

#: Seconds of work that are claimed at a time.
AHEAD = 0.5

#: Images that are held at most while a store is left alone for a while.
MOST_HELD = 2000

#: Seconds between two reports of progress.
REPORT_INTERVAL = 2.0


class Scrubber:
    """Makes passes, one after the other.

    :param reaper: frees what dead scrubbers hold, before each pass.
    :param identity: this process.
    :param stale_time: ``[DEFAULT] transfer_stale_time``, seconds.
    :param scrub_time: ``[DEFAULT] scrub_time``, seconds.
    :param pool_size: ``[DEFAULT] scrub_pool_size``.
    :param report: told of progress.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        stores: Stores,
        heartbeat: Heartbeat,
        reaper: Reaper,
        identity: WorkerIdentity,
        reactor: Any,
        *,
        stale_time: float,
        scrub_time: int,
        pool_size: int,
        report: Callable[[Summary], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._stores = stores
        self._heartbeat = heartbeat
        self._reaper = reaper
        self._identity = identity
        self._reactor = reactor
        self._scrub_time = timedelta(seconds=scrub_time)
        self._pool_size = pool_size
        self._report = report
        self._recorder = Recorder(database, self._recorded)
        self._deletions = Deletions(
            stores, reactor, pool_size, self._is_ours, self._ended, self._changed
        )
        # What is begun must end before others take it for dead, restore the image, and lose it.
        self._trusted = (heartbeat.interval + stale_time) / 2
        self._stopping = False
        self._waiters: list[Deferred[None]] = []
        self._borrowings: dict[str, list[int]] = {}
        # Jobs over so far; and when images were last claimed, with what it was then.
        self._over = 0
        self._claimed: tuple[float, int] | None = None
        self._reported = 0.0

    async def run(self, patience: float = 0.0) -> Summary:
        """Make one pass.

        :param patience: seconds to wait at the end for stores that seem to hang.
        :raises Unavailable: the database cannot be reached.
        """
        summary = Summary()
        self._recorder.fault = self._claimed = None
        self._reported = self._reactor.seconds()
        self._deletions.begin_pass(summary)
        fault: BaseException | None = None
        try:
            await self._reaper.look()
            await self._claim_all()
        except Exception as error:
            fault = error
            self._deletions.close()
        await self._until(lambda: self._deletions.is_at_rest)
        await self._await_overdue(patience)
        await self._until(lambda: self._recorder.is_idle)
        fault = fault or self._recorder.fault
        if fault is not None:
            raise fault
        if not self._stopping:
            self._deletions.count_overdue()
        return summary

    def stop(self) -> None:
        """Begin no more images; :meth:`run` returns when those in hand are done."""
        self._stopping = True
        self._deletions.close()

    @property
    def _is_over(self) -> bool:
        return self._stopping or self._recorder.fault is not None

    async def _claim_all(self) -> None:
        until = utcnow() - self._scrub_time
        after: Due | None = None
        while not self._is_over:
            page = await self._database.runReading(thd_due, until, after, PAGE)
            if not page:
                return
            if after is None:
                self._deletions.barred = await blind_stores(
                    self._database, self._stores, self._reactor
                )
                await self._seek_borrowings()
            after = page[-1]
            ids = deque(due.id for due in page)
            while ids and not self._is_over:
                size = min(self._batch_size(), len(ids))
                await self._claim([ids.popleft() for _ in range(size)])
                await self._await_room(size // 2)

    async def _seek_borrowings(self) -> None:
        self._borrowings, last = {}, 0
        while found := await self._database.runReading(thd_borrowings, last, PAGE):
            last = found[-1][0]
            for key, place in found:
                if place:
                    self._borrowings.setdefault(place, []).append(key)

    async def _claim(self, image_ids: list[str]) -> None:
        who, now = self._identity, self._reactor.seconds()
        claims = await self._database.runInteraction(
            thd_claim, image_ids, who.node, who.worker, self._borrowings
        )
        self._deletions.summary.skipped += claims.held
        for claim in claims.mine:
            job = self._make_job(claim, now)
            job.release = self._heartbeat.hold(claim.lease, job)
            self._deletions.add(job)
        self._deletions.pump()

    def _make_job(self, claim: Claim, now: float) -> Job:
        left = deque(place for place in claim.locations if place.id not in claim.shared)
        job = Job(claim, left, now)
        if claim.shared:
            # Done with, as far as this image is concerned.
            job.gone.extend(sorted(claim.shared))
            self._deletions.summary.shared += len(claim.shared)
            self._log.warn("Image {id}: data that another image has too stays", id=claim.image_id)
        return job

    def _batch_size(self) -> int:
        """Return how many images are about half a second's work."""
        now = self._reactor.seconds()
        before, self._claimed = self._claimed, (now, self._over)
        if before is None:
            return 2 * self._pool_size
        rate = (self._over - before[1]) / max(now - before[0], 0.001)
        return max(self._pool_size, min(BATCH, int(rate * AHEAD)))

    async def _await_room(self, most: int) -> None:
        deletions = self._deletions
        await self._until(
            lambda: self._is_over or (deletions.held < MOST_HELD and deletions.backlog <= most)
        )

    async def _await_overdue(self, patience: float) -> None:
        if not (patience and self._deletions.overdue):
            return
        deadline = self._reactor.callLater(patience, self._wake)
        await self._until(
            lambda: self._is_over or not self._deletions.overdue or not deadline.active()
        )
        if deadline.active():
            deadline.cancel()

    def _is_ours(self, job: Job) -> bool:
        """Tell whether nobody can have taken a job over: its lease was renewed not long ago.

        We may have stood still, or have been cut off from the database and not from the store.
        """
        renewed_at = max(job.claimed_at, self._heartbeat.renewed_at)
        return bool(self._reactor.seconds() - renewed_at < self._trusted)

    def _ended(self, job: Job, whole: bool) -> None:
        self._over += 1
        self._recorder.add(job, whole=whole)

    def _changed(self) -> None:
        self._recorder.flush()
        self._wake()

    def _recorded(self, count: int) -> None:
        summary = self._deletions.summary
        summary.images += count
        if self._recorder.fault is not None:
            self._deletions.close()
        now = self._reactor.seconds()
        if now - self._reported >= REPORT_INTERVAL:
            self._reported = now
            self._report(summary)
        self._wake()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
