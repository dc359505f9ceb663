"""One image on its way into a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glance.domain.errors import GlanceError
from glance.remote.errors import Absent, Answered, NotAllowed, WrongLength
from glance.remote.images import RemoteImages
from glance.replicate.difference import Difference, compare_records, to_patch
from glance.replicate.documents import creation_body
from glance.replicate.errors import NoData, WrongData
from glance.replicate.interfaces import Moved, Source
from glance.replicate.outcome import ACTIVE, Deed, Outcome, Vanished
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord
from glance.replicate.retrying import Passing
from glance.replicate.sending import Sender
from glance.replicate.service_records import is_shared, look

_QUEUED, _DEACTIVATED = "queued", "deactivated"
#: Somebody gives the image its data right now; perhaps a run of ours that was cut off.
_BUSY = frozenset({"saving", "importing", "uploading"})

#: States of an image that is going to have its data, and of one that has.
UNFINISHED = _BUSY | {_QUEUED}
WITH_DATA = frozenset({ACTIVE, _DEACTIVATED})

_CONFLICT = 409
_STUCK = (
    "somebody is giving it its data on the target, where it is {}",
    "the target took its data, but has lost it: it is {} there",
)
#: Set when the data is there: an image that is not complete must be removable.
_LAST = frozenset({"protected"})
#: Most characters of a value in a reason.
_SHOWN = 40


class _Taken(Exception):
    """The image's id is, or was, another one's there."""


class ServiceCopy:
    """One image on its way into a service, with all attempts.

    :param sender: sends its data.
    :param refused: owners that the service did not take; those found here are added.
    :param record: as the source has it.
    """

    def __init__(
        self,
        images: RemoteImages,
        sender: Sender,
        plan: Plan,
        refused: set[str | None],
        record: ImageRecord,
    ) -> None:
        self.record = record
        self._images = images
        self._sender = sender
        self._plan = plan
        self._refused = refused
        self._notes: list[str] = []
        self._attempts = 0
        self._was_wrong = False
        #: What was done in any attempt, as far as we know: answers get lost.
        self._created = self._sent = self._changed = False

    async def make(self, there: ImageRecord | None, source: Source, moved: Moved) -> Outcome:
        """Look at what there is, and do what is missing.

        :param there: as the target was listed.
        :raises GlanceError: it could not be done; it may be tried again.
        """
        self._attempts += 1
        if there is not None or self._attempts > 1:
            there = await look(self._images, self.record.image_id)
        if self._plan.metaonly:
            if there is None:
                return self._outcome(Deed.SKIPPED, "the target has not got it")
            return await self._mend(there)
        try:
            if there is None or there.status == _QUEUED:
                there = await self._fill(there, source, moved)
        except _Taken:
            return self._outcome(Deed.CONFLICT, "its id is, or was, another image's on the target")
        if there.status in UNFINISHED:
            raise Passing(_STUCK[there.status == _QUEUED].format(there.status))
        if there.status not in WITH_DATA:
            return self._outcome(Deed.CONFLICT, f"it is {there.status} on the target")
        return await self._mend(there)

    # Data.

    async def _fill(self, there: ImageRecord | None, source: Source, moved: Moved) -> ImageRecord:
        """See to it that the image has its data; return what there is then."""
        try:
            # Before anything is begun there, since there may be nothing to begin with any more.
            stream = await source.open(self.record)
        except (Vanished, NoData) as error:
            left = "" if there is None else "; the target has it without its data"
            raise Vanished(error.message + left) from None
        made = False
        try:
            if there is None and not (made := await self._create()):
                there = await look(self._images, self.record.image_id)
                if there is None:
                    raise _Taken()
            if there is not None:
                if there.status != _QUEUED:
                    return there
                await self._patch(compare_records(self.record, there, self._plan.ignored), _LAST)
            await self._send(stream, moved)
        finally:
            stream.stop()
        # Nobody has given members to what we have made just now.
        return await self._look_again({} if made else None)

    async def _create(self) -> bool:
        """Make the image; tell whether its id was free."""
        body = creation_body(self.record, self._plan.dontreplicate)
        if body.get("owner", "") in self._refused:
            self._note_owner(body.pop("owner"))
        before, self._created = self._created, True
        try:
            try:
                await self._images.create(body)
            except NotAllowed:
                if "owner" not in body:
                    raise
                owner = body.pop("owner")
                await self._images.create(body)
                self._note_owner(owner)
        except Answered as error:
            self._created = before
            if error.status != _CONFLICT:
                raise
            return False
        return True

    async def _send(self, stream: Any, moved: Moved) -> None:
        before, self._sent = self._sent, True
        try:
            await self._sender.send(self.record, stream, moved)
        except (WrongData, WrongLength) as error:
            # Where nobody says how much is coming, a break looks like the end.
            self._sent = before
            if self._was_wrong:
                raise
            # It may have become so on its way. What is wrong at the source will be so again.
            self._was_wrong = True
            raise Passing(error.message) from None
        except Answered as error:
            if error.status != _CONFLICT:
                raise
            self._sent = before
            # The next look will tell what has come in between.
            raise Passing(error.message) from None

    async def _look_again(self, members: Mapping[str, str] | None = None) -> ImageRecord:
        there = await look(self._images, self.record.image_id, members)
        if there is None:
            raise GlanceError("it was deleted on the target meanwhile")
        return there

    # All else.

    async def _mend(self, there: ImageRecord) -> Outcome:
        """Make the rest of the image what it should be."""
        difference = compare_records(self.record, there, self._plan.ignored)
        if difference.conflicts:
            return self._outcome(Deed.CONFLICT, reason_of(difference))
        await self._patch(difference)
        if is_shared(self.record) and not is_shared(there):
            # Only now it may have members.
            there = await self._look_again()
            difference = compare_records(self.record, there, self._plan.ignored)
        await self._share(difference)
        self._notes += notes_about(there)
        if self._sent and there.status in WITH_DATA:
            deed = Deed.COPIED if self._created else Deed.COMPLETED
            return self._outcome(deed, size=self.record.size or there.size or 0)
        return self._outcome(Deed.UPDATED if self._changed else Deed.SAME)

    async def _patch(self, difference: Difference, leave: frozenset[str] = frozenset()) -> None:
        owner = next((c.source for c in difference.changes if c.name == "owner"), "")
        if owner in self._refused:
            self._note_owner(owner)
            leave |= {"owner"}
        operations = to_patch(difference, leave)
        if not operations:
            return
        try:
            await self._images.patch(self.record.image_id, operations)
        except NotAllowed:
            if owner == "" or "owner" in leave:
                raise
            operations = to_patch(difference, leave | {"owner"})
            if operations:
                await self._images.patch(self.record.image_id, operations)
            self._note_owner(owner)
            if not operations:
                return
        self._changed = True

    async def _share(self, difference: Difference) -> None:
        """Give the image its members, as far as it has others."""
        image_id = self.record.image_id
        for project in difference.members_removed:
            try:
                await self._images.remove_member(image_id, project)
            except Absent:
                continue
            self._changed = True
        for project in difference.members_added:
            try:
                await self._images.add_member(image_id, project)
            except Answered as error:
                # Somebody was faster.
                if error.status != _CONFLICT:
                    raise
            self._changed = True
        wanted = {p: s for p, s in difference.members_added.items() if s != "pending"}
        for project, status in {**wanted, **difference.members_changed}.items():
            try:
                await self._images.set_member_status(image_id, project, status)
            except (NotAllowed, Absent):
                note = f"only member {project} itself may say on the target that it is {status}"
                self._notes.append(note)
            else:
                self._changed = True

    def _note_owner(self, owner: str | None) -> None:
        self._refused.add(owner)
        self._notes.append(f"the target does not take {owner or 'nobody'} for its owner")

    def _outcome(self, deed: Deed, reason: str = "", size: int = 0) -> Outcome:
        notes = tuple(dict.fromkeys(self._notes))
        return Outcome(self.record.image_id, deed, reason, notes, size)


def reason_of(difference: Difference) -> str:
    """Say what nobody can mend."""
    return "; ".join(
        f"{change.name} is {_brief(change.source)} on the source"
        f" and {_brief(change.target)} on the target"
        for change in difference.conflicts
    )


def notes_about(there: ImageRecord) -> tuple[str, ...]:
    """Say what is worth knowing of an image that is all right otherwise."""
    return ("it is deactivated on the target",) if there.status == _DEACTIVATED else ()


def _brief(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
