"""What there is on both sides, listed at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import CancelledError

from glance.domain.errors import GlanceError
from glance.remote.errors import Answered, BrokenOff, Unreachable
from glance.replicate.crew import Breath, side_by_side
from glance.replicate.outcome import SideLost
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord
from glance.replicate.retrying import persevere

Records = dict[str, ImageRecord]


class Listed(Protocol):
    """A side, of which no more is asked here."""

    def records(self, wanted: Mapping[str, str] | None = None) -> AsyncIterator[ImageRecord]:
        """Yield its images."""


async def read_all(
    side: Listed,
    what: str,
    reactor: Any,
    retries: int,
    wanted: Mapping[str, str] | None = None,
    keep: Callable[[ImageRecord], bool] | None = None,
) -> Records:
    """Return a side's images by their ids.

    A side that was there and fails is asked again from the beginning; one that cannot be reached
    in the first place is not waited for.

    :param what: to call the side in messages: source or target.
    :param wanted: filters for the side.
    :param keep: tells which images are wanted; all, if it is not given.
    :raises SideLost: they cannot be listed.
    """
    reached = False

    async def read() -> Records:
        nonlocal reached
        found: Records = {}
        breath = Breath(reactor)
        try:
            async for record in side.records(wanted):
                reached = True
                # One that moves while the list is read may come twice; what is known last counts.
                found[record.image_id] = record
                await breath.take()
        except (Answered, BrokenOff):
            reached = True
            raise
        except Unreachable as error:
            if reached:
                raise
            raise _lost(what, error) from error
        if keep is None:
            return found
        return {image_id: record for image_id, record in found.items() if keep(record)}

    try:
        return await persevere(read, retries, reactor)
    except SideLost:
        raise
    except GlanceError as error:
        raise _lost(what, error) from error


async def read_both(
    source: Listed, target: Listed, plan: Plan, reactor: Any, *, whole: bool
) -> tuple[Records, Records]:
    """Return the images of both sides by their ids, read at once.

    The target's are all of them: one that an image is compared with may well differ in what the
    plan selects by.

    :param whole: whether the source's are all of them too; else those that the plan selects.
    :raises SideLost: a side cannot be listed.
    """
    here: Records = {}
    there: Records = {}
    selection = plan.selection

    async def read_source() -> None:
        narrow = (None, None) if whole else (selection.to_query(), selection.matches)
        here.update(await read_all(source, "source", reactor, plan.retries, *narrow))

    async def read_target() -> None:
        there.update(await read_all(target, "target", reactor, plan.retries))

    if await side_by_side([read_source(), read_target()]):
        raise CancelledError()
    return here, there


def in_order(records: Records) -> list[ImageRecord]:
    """Return images in the order in which they are dealt with, the oldest first."""
    return sorted(records.values(), key=lambda one: (one.created_at or "", one.image_id))


def _lost(what: str, error: GlanceError) -> SideLost:
    return SideLost(f"The {what} cannot be listed: {error.message}")
