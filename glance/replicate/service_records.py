"""The images of a service as records, with their members."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError

from glance.remote.errors import Absent, NotAllowed
from glance.remote.images import RemoteImages
from glance.replicate.crew import side_by_side
from glance.replicate.documents import read_image
from glance.replicate.errors import BadDocument
from glance.replicate.record import ImageRecord

#: Lists of members asked for at once.
_AT_ONCE = 16

SHARED = "shared"


async def list_records(
    images: RemoteImages, wanted: Mapping[str, str] | None = None
) -> AsyncIterator[ImageRecord]:
    """Yield all images of a service that can be seen.

    :param wanted: filters of the service's list.
    :raises RemoteError: they cannot be listed.
    """
    async for page in images.pages(wanted):
        records = [_read(document, images.place) for document in page.images]
        if not page.with_members:
            await _add_members(images, records)
        for record in records:
            yield record


async def look(
    images: RemoteImages, image_id: str, members: Mapping[str, str] | None = None
) -> ImageRecord | None:
    """Return an image as it is now, or ``None`` if there is none.

    :param members: if they are known.
    :raises RemoteError: it cannot be asked for.
    :raises BadDocument: it cannot be read.
    """
    try:
        document = await images.show(image_id)
    except Absent:
        return None
    record = read_image(document, images.place, members)
    if is_shared(record) and record.members is None:
        return replace(record, members=await members_of(images, image_id))
    return record


async def members_of(images: RemoteImages, image_id: str) -> Mapping[str, str] | None:
    """Return the status by each member's project, or ``None`` if we may not know.

    :raises RemoteError: they cannot be asked for.
    """
    try:
        return await images.members(image_id)
    except (NotAllowed, Absent):
        # An image that has just been deleted has none either; whoever wants it will find out.
        return None


def is_shared(record: ImageRecord) -> bool:
    """Tell whether an image has members, if any."""
    return record.fields.get("visibility") == SHARED


def _read(document: Mapping[str, Any], place: str) -> ImageRecord:
    try:
        return read_image(document, place)
    except BadDocument as error:
        return ImageRecord(document["id"], "", trouble=error.message)


async def _add_members(images: RemoteImages, records: list[ImageRecord]) -> None:
    """Ask for the members of images that can have any, several at once."""
    left = deque(_without_members(records))

    async def work() -> None:
        while left:
            index, image_id = left.popleft()
            members = await members_of(images, image_id)
            records[index] = replace(records[index], members=members)

    if await side_by_side(work() for _ in range(min(_AT_ONCE, len(left)))):
        raise CancelledError()


def _without_members(records: Iterable[ImageRecord]) -> Iterable[tuple[int, str]]:
    for index, record in enumerate(records):
        if is_shared(record) and record.members is None:
            yield index, record.image_id
