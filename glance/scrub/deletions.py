"""Delete the data of claimed images from their stores, so many at a time, and put up with stores
that refuse, fail or hang (``glance.scrub.lanes``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.domain.errors import GlanceError
from glance.domain.image import Location
from glance.scrub.lanes import PAUSES, SILENT, TRIES, Job, Lane
from glance.scrub.summary import Summary
from glance.stores.errors import (
    BadLocation,
    DataNotFound,
    DeleteForbidden,
    DeleteNotSupported,
    InUse,
    StoreError,
)
from glance.stores.registry import Stores

#: Seconds after which a deletion does not count any more against what may be done at once.
OVERDUE = 60.0

#: How many failures of one kind are logged one by one in a pass.
TOLD = 10

#: What a store says that trying again will not change.
FINAL = (BadLocation, DeleteForbidden, InUse)


class _Step:
    """The deletion of one location, under way."""

    __slots__ = ("is_overdue", "job", "lane", "timer")

    def __init__(self, job: Job, lane: Lane) -> None:
        self.job = job
        self.lane = lane
        self.is_overdue = False
        self.timer: Any = None


class Deletions:
    """Takes jobs to their end.

    :param pool_size: images worked on at the same time.
    :param is_ours: tells whether a job's lease certainly is ours still.
    :param ended: called with each job that is over, and whether nothing is left of its image's
        data.
    :param changed: called when something has moved on.
    """

    _log = Logger()

    def __init__(
        self,
        stores: Stores,
        reactor: Any,
        pool_size: int,
        is_ours: Callable[[Job], bool],
        ended: Callable[[Job, bool], None],
        changed: Callable[[], None],
    ) -> None:
        self.summary = Summary()
        #: By the ids of stores that are not even asked in this pass: why.
        self.barred: dict[str, str] = {}
        self._stores = stores
        self._reactor = reactor
        self._pool_size = pool_size
        self._is_ours = is_ours
        self._ended = ended
        self._changed = changed
        self._lanes: dict[str, Lane] = {}
        # Under way and not overdue.
        self._running = 0
        # Waiting for their next try.
        self._resting: dict[Job, Any] = {}
        self._pumping = False
        self._closing = False

    def begin_pass(self, summary: Summary) -> None:
        """Count into another summary from now on, and give stores that failed another chance."""
        self.summary = summary
        self._closing = False
        self.barred = {}
        for lane in self._lanes.values():
            lane.begin_pass(self._reactor.seconds())

    @property
    def is_at_rest(self) -> bool:
        """Tell whether nothing is left to do but to wait for stores that hang."""
        waiting = any(lane.waiting for lane in self._lanes.values())
        return not (self._running or self._resting or waiting)

    @property
    def overdue(self) -> int:
        """How many deletions have not come back for long."""
        return sum(lane.overdue for lane in self._lanes.values())

    @property
    def held(self) -> int:
        """How many jobs have not been begun."""
        return sum(len(lane.waiting) for lane in self._lanes.values()) + len(self._resting)

    @property
    def backlog(self) -> int:
        """How many jobs wait for nothing but their turn."""
        now = self._reactor.seconds()
        return sum(lane.backlog(now) for lane in self._lanes.values())

    def add(self, job: Job) -> None:
        """Take on a job; :meth:`pump` begins it."""
        if self._closing:
            self._ended(job, False)
        else:
            self._go_on(job)

    def close(self) -> None:
        """Take on no more in this pass, and end those jobs of which nothing has been begun."""
        self._closing = True
        for job, rest in list(self._resting.items()):
            rest.cancel()
            del self._resting[job]
            self._ended(job, False)
        for lane in self._lanes.values():
            waiting, lane.waiting = lane.waiting, deque()
            for job in waiting:
                if job.gone:
                    lane.waiting.append(job)
                else:
                    self._ended(job, False)
        self.pump()

    def count_overdue(self) -> None:
        """Count what has not come back as failed."""
        for lane in self._lanes.values():
            if lane.overdue:
                self.summary.failed += lane.overdue
                self.summary.failures[lane.name, SILENT] += lane.overdue

    def pump(self) -> None:
        """Begin as many jobs as may be under way, of one lane after the other."""
        if self._pumping:
            return
        self._pumping = True
        moved = True
        while moved:
            moved = False
            for lane in tuple(self._lanes.values()):
                if self._running < self._pool_size and lane.is_ready(self._reactor.seconds()):
                    moved = True
                    self._begin(lane, lane.waiting.popleft())
        self._pumping = False
        self._changed()

    def _go_on(self, job: Job) -> None:
        """Put a job into the lane of its next location."""
        while job.left:
            location = job.left[0]
            try:
                name = self._stores.for_url(location.url, location.store_id).store_id
            except StoreError as error:
                self._give_up(job, location.store_id or "unknown", error.message)
                continue
            if name in self.barred:
                self._give_up(job, name, self.barred[name])
                continue
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane(name, self._pool_size)
            lane.waiting.append(job)
            return
        self._ended(job, not job.failed)

    def _begin(self, lane: Lane, job: Job) -> None:
        if job.lost or not self._is_ours(job):
            self.summary.skipped += 1
            self._ended(job, False)
        elif lane.passes_over():
            self._give_up(job, lane.name, lane.reason)
            self._go_on(job)
        else:
            step = _Step(job, lane)
            self._running += 1
            lane.running += 1
            step.timer = self._reactor.callLater(OVERDUE, self._note_overdue, step)
            store = self._stores.get(lane.name)
            maybeDeferred(store.delete, job.left[0].url).addBoth(self._done, step)

    def _note_overdue(self, step: _Step) -> None:
        step.is_overdue = True
        self._running -= 1
        if step.lane.hangs(self._reactor.seconds()):
            self._log.error(
                "Store {store} does not answer; going on without it", store=step.lane.name
            )
        self.pump()

    def _done(self, result: Any, step: _Step) -> None:
        job, lane = step.job, step.lane
        lane.running -= 1
        if step.is_overdue:
            lane.overdue -= 1
        else:
            step.timer.cancel()
            self._running -= 1
        if not isinstance(result, Failure):
            self.summary.size += job.claim.size
            self._is_gone(job, lane)
        elif result.check(DataNotFound):
            self.summary.missing += 1
            self._is_gone(job, lane)
        elif result.check(DeleteNotSupported):
            self.summary.foreign += 1
            self._is_gone(job, lane)
        elif result.check(*FINAL):
            self._give_up(job, lane.name, self._reason(job, result))
            self._go_on(job)
        else:
            self._try_again(job, lane, self._reason(job, result))
        self.pump()

    def _is_gone(self, job: Job, lane: Lane) -> None:
        lane.succeeded()
        location: Location = job.left.popleft()
        assert location.id is not None
        job.gone.append(location.id)
        job.tries = 0
        self._go_on(job)

    def _reason(self, job: Job, failure: Failure) -> str:
        if isinstance(failure.value, GlanceError):
            return failure.value.message
        self._log.failure("Image {id}: deleting its data", failure, id=job.claim.image_id)
        return f"{type(failure.value).__name__}; see the log."

    def _try_again(self, job: Job, lane: Lane, reason: str) -> None:
        job.tries += 1
        pause = lane.failed(reason, self._reactor.seconds())
        if pause:
            self._log.warn(
                "Store {store} fails; leaving it alone for {pause} s: {reason}",
                store=lane.name,
                pause=pause,
                reason=reason,
            )
            self._reactor.callLater(pause, self.pump)
        if job.tries == TRIES or lane.reason or self._closing:
            self._give_up(job, lane.name, reason)
            self._go_on(job)
        else:
            rest = PAUSES[job.tries - 1]
            self._resting[job] = self._reactor.callLater(rest, self._rested, job)

    def _rested(self, job: Job) -> None:
        del self._resting[job]
        self._go_on(job)
        self.pump()

    def _give_up(self, job: Job, store: str, reason: str) -> None:
        """Give up the next location of a job for this pass."""
        job.left.popleft()
        job.tries = 0
        if not job.failed:
            job.failed = True
            self.summary.failed += 1
        failures = self.summary.failures
        failures[store, reason] += 1
        if failures[store, reason] <= TOLD:
            self._log.warn(
                "Image {id}: its data in store {store} was not deleted: {reason}",
                id=job.claim.image_id,
                store=store,
                reason=reason,
            )
