"""An image service that images come from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from glance.remote.errors import Answered
from glance.remote.images import RemoteImages
from glance.replicate.outcome import ACTIVE, Vanished
from glance.replicate.record import ImageRecord
from glance.replicate.service_records import list_records

#: What a service answers with that has no data to give, or not any more.
_GONE = frozenset({403, 404, 409, 410})


class ServiceSource:
    """The images of a service, and their data."""

    def __init__(self, images: RemoteImages) -> None:
        self._images = images

    @property
    def place(self) -> str:
        """Host and port of the service."""
        return self._images.place

    def records(self, wanted: Mapping[str, str] | None = None) -> AsyncIterator[ImageRecord]:
        """Yield all images that can be seen.

        :param wanted: filters of the service's list.
        """
        return list_records(self._images, wanted)

    async def open(self, record: ImageRecord, offset: int = 0) -> Any:
        """Open an image's data.

        :param offset: bytes to leave out at the beginning, where the service knows how.
        :raises Vanished: the image is not there any more, or not active.
        """
        try:
            return await self._images.open_data(record.image_id, offset)
        except Answered as error:
            if error.status in _GONE:
                await self._check(record)
            raise

    async def _check(self, record: ImageRecord) -> None:
        """Find out whether it is the image that has changed since it was listed."""
        try:
            document = await self._images.show(record.image_id)
        except Answered as error:
            if error.status in (404, 410):
                raise Vanished("it was deleted on the source meanwhile") from None
            raise
        if (status := document.get("status")) != ACTIVE:
            raise Vanished(f"it has become {status} on the source")
