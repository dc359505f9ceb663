"""An image service that images go to.

An id that was deleted can never be used again, so nothing that is half done is ever deleted here:
an image without its data stays ``queued``, and whoever comes next goes on with it. Each step looks
at what there is and does what is missing, so it may be done again at any time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from glance.domain.errors import GlanceError
from glance.remote.images import RemoteImages
from glance.replicate.difference import compare_records
from glance.replicate.interfaces import Moved, Source
from glance.replicate.outcome import Deed, Outcome
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord
from glance.replicate.sending import Sender
from glance.replicate.service_copy import (
    UNFINISHED,
    WITH_DATA,
    ServiceCopy,
    notes_about,
    reason_of,
)
from glance.replicate.service_records import list_records

if TYPE_CHECKING:
    from glance.stores.threads import Threads


class ServiceTarget:
    """The images of a service, made what they are elsewhere.

    :param plan: what not to copy, and whether to leave data alone.
    :param threads: to hash in, for a service that does not compare hashes itself; threads of its
        own where none are given.
    """

    def __init__(
        self, images: RemoteImages, plan: Plan, reactor: Any, threads: Threads | None = None
    ) -> None:
        self._images = images
        self._sender = Sender(images, reactor, threads)
        self._plan = plan
        #: Those that were begun, and failed so far.
        self._begun: dict[str, ServiceCopy] = {}
        #: Owners that the service did not take from us.
        self._refused: set[str | None] = set()

    @property
    def place(self) -> str:
        """Host and port of the service."""
        return self._images.place

    def records(self, wanted: Mapping[str, str] | None = None) -> AsyncIterator[ImageRecord]:
        """Yield all images that can be seen.

        :param wanted: filters of the service's list.
        """
        return list_records(self._images, wanted)

    def close(self) -> Deferred[None]:
        """End the threads, if they are its own."""
        return self._sender.close()

    async def remove(self, record: ImageRecord) -> None:
        """Delete an image that the source has not."""
        await self._images.delete(record.image_id)

    def foresee(self, record: ImageRecord, there: ImageRecord | None) -> Outcome:
        """Tell what :meth:`put` would do, by what is known."""
        image_id, size = record.image_id, record.size or 0
        if there is None:
            if self._plan.metaonly:
                return Outcome(image_id, Deed.SKIPPED, "the target has not got it")
            return Outcome(image_id, Deed.COPIED, size=size)
        if there.trouble:
            return Outcome(image_id, Deed.FAILED, f"on the target: {there.trouble}")
        difference = compare_records(record, there, self._plan.ignored)
        if difference.conflicts:
            return Outcome(image_id, Deed.CONFLICT, reason_of(difference))
        if not self._plan.metaonly:
            if there.status in UNFINISHED:
                return Outcome(image_id, Deed.COMPLETED, size=size)
            if there.status not in WITH_DATA:
                return Outcome(image_id, Deed.CONFLICT, f"it is {there.status} on the target")
        if difference.changes or difference.members_differ:
            return Outcome(image_id, Deed.UPDATED)
        return Outcome(image_id, Deed.SAME, notes=notes_about(there))

    async def put(
        self, record: ImageRecord, there: ImageRecord | None, source: Source, moved: Moved
    ) -> Outcome:
        """Make an image there what it is here; to be called again after a failure.

        :param there: as the target was listed; it is looked at again before anything is done.
        """
        copy = self._begun.pop(record.image_id, None)
        if copy is None or copy.record is not record:
            copy = ServiceCopy(self._images, self._sender, self._plan, self._refused, record)
        try:
            return await copy.make(there, source, moved)
        except GlanceError:
            self._begun[record.image_id] = copy
            raise
