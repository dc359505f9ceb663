"""Images that the target has and the source has not, where those are to be deleted."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from glance.domain.amounts import counted
from glance.domain.errors import GlanceError
from glance.remote.errors import Absent
from glance.replicate.crew import side_by_side
from glance.replicate.interfaces import Source, Target
from glance.replicate.listing import Records, in_order, read_all
from glance.replicate.outcome import Deed, Outcome, SideLost
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord
from glance.replicate.retrying import Losses, persevere

#: Asked whether images that only the target has are to be deleted.
Confirm = Callable[[Sequence[ImageRecord]], Awaitable[bool]]

_PROTECTED = "it is protected on the target"
_UNREADABLE = "nobody can tell whether it is to go: {}"


class Extras:
    """Plans their end, asks for it, and brings it about.

    :param reactor: the reactor; only its clock is used here.
    :param losses: told what failed.
    :param done: told what became of each.
    :ivar found: those that are to go.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        plan: Plan,
        reactor: Any,
        losses: Losses,
        done: Callable[[ImageRecord, Outcome], None],
    ) -> None:
        self.found: list[ImageRecord] = []
        self._source = source
        self._target = target
        self._plan = plan
        self._reactor = reactor
        self._losses = losses
        self._done = done

    async def agree(self, here: Records, there: Records, confirm: Confirm | None) -> list[str]:
        """Find those that are to go, and ask.

        :param here: all images of the source.
        :param there: all images of the target.
        :param confirm: asked about those that may go.
        :returns: what is worth a line.
        """
        if not self._plan.delete_extra:
            return []
        found = extras_of(here, there, self._plan)
        if found and not here:
            # Rather the wrong project, or a service that has just been set up.
            return [f"{self._source.place} shows no image at all, so none are deleted"]
        may_go = [record for record in found if not _stays(record)]
        asks = may_go and confirm is not None and not self._plan.dry_run
        if asks and confirm is not None and not await confirm(may_go):
            return [f"left on the target: {counted(len(found), 'image')} that the source has not"]
        self.found = found
        return []

    def foresee(self) -> None:
        """Tell what would become of them."""
        for record in self.found:
            if reason := _stays(record):
                self._done(record, Outcome(record.image_id, Deed.SKIPPED, reason))
            else:
                self._done(record, Outcome(record.image_id, Deed.DELETED))

    async def delete(self) -> None:
        """Delete them, but for those that the source has got meanwhile.

        :raises SideLost: the source cannot be listed again.
        """
        again = await read_all(self._source, "source", self._reactor, self._plan.retries)
        if not again:
            raise SideLost(f"{self._source.place} shows no image any more; none were deleted.")
        left = deque(self.found)
        known = _ids(again)

        async def work() -> None:
            while left and not self._losses.lost:
                record = left.popleft()
                self._done(record, await self._remove(record, known))

        await side_by_side(work() for _ in range(min(self._plan.parallel, len(left))))

    async def _remove(self, record: ImageRecord, known: set[str]) -> Outcome:
        image_id = record.image_id
        if image_id.lower() in known:
            return Outcome(image_id, Deed.SKIPPED, "the source has got it meanwhile")
        if reason := _stays(record):
            return Outcome(image_id, Deed.SKIPPED, reason)
        try:
            await persevere(
                lambda: self._target.remove(record),
                self._plan.retries,
                self._reactor,
                wanted=lambda: not self._losses.lost,
            )
        except Absent:
            return Outcome(image_id, Deed.DELETED, "somebody else did")
        except GlanceError as error:
            self._losses.note(error)
            return Outcome(image_id, Deed.FAILED, error.message)
        self._losses.none()
        return Outcome(image_id, Deed.DELETED)


def extras_of(here: Records, there: Records, plan: Plan) -> list[ImageRecord]:
    """Return images that only the target has, of those that the plan selects, the oldest first."""
    fits, known = plan.selection.matches, _ids(here)
    return in_order({i: r for i, r in there.items() if i.lower() not in known and fits(r)})


def _ids(records: Records) -> set[str]:
    # The same UUID may be written in two ways, and what is deleted is gone for ever.
    return {image_id.lower() for image_id in records}


def _stays(record: ImageRecord) -> str:
    """Say why an image must not be deleted; empty if it may be."""
    if record.trouble:
        # Neither whether it is protected is known, nor whether it is one of those selected.
        return _UNREADABLE.format(record.trouble)
    return _PROTECTED if record.fields.get("protected") else ""
