"""A run over all images: the commands of the replicator, without what people type and see."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from glance.domain.errors import GlanceError
from glance.replicate.crew import Breath, side_by_side
from glance.replicate.difference import NOTHING, compare_records
from glance.replicate.errors import NoData
from glance.replicate.extras import Confirm, Extras, extras_of
from glance.replicate.interfaces import Source, Target
from glance.replicate.listening import Listener
from glance.replicate.listing import in_order, read_all, read_both
from glance.replicate.outcome import (
    ACTIVE,
    Comparison,
    Deed,
    Outcome,
    SideLost,
    Size,
    Summary,
    Unlike,
    Vanished,
)
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord
from glance.replicate.retrying import Losses, persevere

__all__ = ["Confirm", "compare", "measure", "replicate"]

#: What there is nothing to do about.
_SETTLED = frozenset({Deed.SAME, Deed.SKIPPED, Deed.CONFLICT, Deed.FAILED})

_log = Logger()


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done about an image.

    :param there: what the target was seen to have.
    :param size: bytes that are going to be copied.
    """

    record: ImageRecord
    there: ImageRecord | None
    size: int


async def replicate(
    source: Source,
    target: Target,
    plan: Plan,
    reactor: Any,
    listener: Listener,
    confirm: Confirm | None = None,
) -> Summary:
    """Make the target's images what the source's are.

    Cancelling it stops all transfers at once; once images are being worked on, its result is the
    summary of what was done by then.

    :param reactor: the reactor; only its clock is used here.
    :param confirm: asked before extra images are deleted; without it they are.
    :raises SideLost: a side cannot be listed.
    """
    return await _Run(source, target, plan, reactor, listener).make(confirm)


async def compare(
    source: Source, target: Target, plan: Plan, reactor: Any, listener: Listener
) -> Comparison:
    """Tell in what the target's images differ from the source's; nothing is changed.

    :raises SideLost: a side cannot be listed.
    """
    here, there = await read_both(source, target, plan, reactor, whole=True)
    found = Comparison(source.place, target.place, extra_counts=plan.delete_extra)
    wanted = [one for one in in_order(here) if plan.selection.matches(one)]
    listener.run_started(len(wanted), 0)
    breath = Breath(reactor)
    for record in wanted:
        await breath.take()
        other = there.get(record.image_id)
        if record.status != ACTIVE and not record.trouble:
            found.skipped += 1
        elif other is None:
            found.missing.append(record)
        elif unlike := _differences(record, other, plan):
            found.unlike.append(Unlike(record.image_id, record.fields.get("name"), unlike))
        else:
            found.same += 1
    found.extra = extras_of(here, there, plan)
    return found


def _differences(
    record: ImageRecord, there: ImageRecord, plan: Plan
) -> tuple[tuple[str, object, object], ...]:
    if record.trouble or there.trouble:
        return (("metadata", record.trouble or None, there.trouble or None),)
    changes = compare_records(record, there, plan.ignored).all_changes
    return tuple((change.name, _known(change.source), _known(change.target)) for change in changes)


def _known(value: object) -> object:
    return None if value is NOTHING else value


async def measure(source: Source, plan: Plan, reactor: Any) -> Size:
    """Tell how much data the images have.

    :raises SideLost: the side cannot be listed.
    """
    fits = plan.selection.matches
    found = await read_all(source, "source", reactor, plan.retries, plan.selection.to_query(), fits)
    size = Size(source.place)
    for record in found.values():
        if record.status == ACTIVE:
            size.images += 1
            size.size += record.size or 0
        else:
            size.skipped += 1
    return size


class _Run:
    def __init__(
        self, source: Source, target: Target, plan: Plan, reactor: Any, listener: Listener
    ) -> None:
        self._source = source
        self._target = target
        self._plan = plan
        self._reactor = reactor
        self._listener = listener
        self._summary = Summary(source.place, target.place, plan.dry_run)
        self._losses = Losses(plan.parallel)
        self._left: deque[_Job] = deque()
        self._under_way: set[str] = set()

    async def make(self, confirm: Confirm | None) -> Summary:
        began = self._reactor.seconds()
        plan, summary = self._plan, self._summary
        extras = Extras(self._source, self._target, plan, self._reactor, self._losses, self._done)
        settled = await self._prepare(extras, confirm)
        for record, outcome in settled:
            self._done(record, outcome)
        if plan.dry_run:
            extras.foresee()
        else:
            del settled
            summary.interrupted = await side_by_side([self._work_all(extras)])
            summary.lost = self._losses.lost
            summary.untried = len(self._left) + len(self._under_way)
        summary.seconds = self._reactor.seconds() - began
        return summary

    async def _prepare(
        self, extras: Extras, confirm: Confirm | None
    ) -> list[tuple[ImageRecord, Outcome]]:
        """Look at both sides and plan; return what is known of already."""
        plan = self._plan
        here, there = await read_both(
            self._source, self._target, plan, self._reactor, whole=plan.delete_extra
        )
        self._summary.notes.extend(await extras.agree(here, there, confirm))
        settled, size = [], 0
        breath = Breath(self._reactor)
        for record in in_order(here):
            if not plan.selection.matches(record):
                continue
            await breath.take()
            other = there.get(record.image_id)
            outcome = self._foresee(record, other)
            size += outcome.size
            if plan.dry_run or outcome.deed in _SETTLED:
                settled.append((record, outcome))
            else:
                self._left.append(_Job(record, other, outcome.size))
        images = len(settled) + len(self._left) + len(extras.found)
        self._listener.run_started(images, size)
        return settled

    def _foresee(self, record: ImageRecord, there: ImageRecord | None) -> Outcome:
        if record.trouble:
            return Outcome(record.image_id, Deed.FAILED, record.trouble)
        if record.status != ACTIVE:
            reason = f"it is {record.status} on the source"
            return Outcome(record.image_id, Deed.SKIPPED, reason)
        return self._target.foresee(record, there)

    async def _work_all(self, extras: Extras) -> None:
        count = min(self._plan.parallel, len(self._left))
        interrupted = await side_by_side(self._work() for _ in range(count))
        if interrupted or self._losses.lost or not extras.found:
            return
        try:
            await extras.delete()
        except SideLost as error:
            self._losses.lost = error.message

    async def _work(self) -> None:
        while self._left and not self._losses.lost:
            job = self._left.popleft()
            self._under_way.add(job.record.image_id)
            outcome = await self._see_to(job)
            self._under_way.discard(job.record.image_id)
            self._done(job.record, outcome)

    async def _see_to(self, job: _Job) -> Outcome:
        """Do what is to be done about an image, however often it takes."""
        record = job.record
        self._listener.image_started(record, job.size)

        def moved(count: int) -> None:
            self._listener.moved(record, count)

        def retrying(reason: str, seconds: float) -> None:
            self._listener.retrying(record, reason, seconds)

        try:
            outcome = await persevere(
                lambda: self._target.put(record, job.there, self._source, moved),
                self._plan.retries,
                self._reactor,
                retrying,
                lambda: not self._losses.lost,
            )
        except (Vanished, NoData) as error:
            return Outcome(record.image_id, Deed.SKIPPED, error.message)
        except GlanceError as error:
            self._losses.note(error)
            return Outcome(record.image_id, Deed.FAILED, error.message)
        except CancelledError:
            raise
        except Exception:
            # A mistake of ours with one image is no reason to leave out the others.
            _log.failure("Image {image_id}", image_id=record.image_id)
            return Outcome(record.image_id, Deed.FAILED, "unexpected; the log has more")
        self._losses.none()
        return outcome

    def _done(self, record: ImageRecord, outcome: Outcome) -> None:
        outcome = replace(outcome, name=record.fields.get("name"))
        self._summary.add(outcome)
        self._listener.image_done(outcome)
