"""The images of another service, over HTTP: the Image API, version 2.

Documents are handed on as the service wrote them, but for what a program would trip over: a page
is a list of objects with ids, and members are projects with a status.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from glance.identity.http import Answer, CallFailed
from glance.remote.digests import content_digest, states_digests
from glance.remote.errors import Answered, Failed, TooLarge
from glance.remote.service import ImageService
from glance.remote.streaming import DataStream
from glance.remote.streams import IByteStream

#: Images asked for at once; services give no more than that.
PAGE = 1000

PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
OCTETS = "application/octet-stream"

_IMAGES = "/v2/images"
_PREFER = "include=members"

Filters = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """Some images of a list.

    :param images: as the Image API has them.
    :param with_members: whether the service put members into all images whose members the caller
        may see (:func:`members_of`).
    """

    images: list[dict[str, Any]]
    with_members: bool = False


class RemoteImages:
    """The images of one service.

    Every method raises :exc:`~glance.remote.errors.RemoteError`.
    """

    def __init__(self, service: ImageService) -> None:
        self._service = service
        self._digests: bool | None = None

    @property
    def place(self) -> str:
        """Host and port of the service, for messages."""
        return self._service.endpoint.place

    # Metadata.

    async def pages(self, filters: Filters | None = None) -> AsyncIterator[Page]:
        """Yield all images that the caller may see, oldest first, those that are hidden last.

        No image comes twice. One that is hidden or shown meanwhile may not come at all.

        :param filters: more parameters of the list, several values of one in a sequence.
        """
        seen: set[str] = set()
        for hidden in ({}, {"os_hidden": "true"}):
            if hidden and filters and "os_hidden" in filters:
                return
            asked = {
                "visibility": "all",
                "member_status": "all",
                "sort_key": "created_at",
                "sort_dir": "asc",
                **hidden,
                **(filters or {}),
            }
            async for page in self._listed(asked):
                new = [image for image in page.images if image["id"] not in seen]
                seen.update(image["id"] for image in new)
                if new:
                    yield Page(new, page.with_members)

    async def show(self, image_id: str) -> dict[str, Any]:
        """Return an image.

        :raises Absent: there is none.
        """
        return self._image(await self._service.request("GET", f"{_IMAGES}/{image_id}"))

    async def create(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Make an image, of the id that the document has; return it.

        :raises Failed: 409: there is one of that id, or has been.
        """
        return self._image(await self._service.request("POST", _IMAGES, json=dict(document)))

    async def patch(
        self, image_id: str, operations: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Change an image; return it.

        :param operations: as a JSON patch has them.
        """
        answer = await self._service.request(
            "PATCH",
            f"{_IMAGES}/{image_id}",
            json=list(operations),
            headers={"Content-Type": PATCH_TYPE},
        )
        return self._image(answer)

    async def delete(self, image_id: str) -> None:
        """Delete an image. Nobody will be able to make one of that id again."""
        await self._service.request("DELETE", f"{_IMAGES}/{image_id}")

    # Members.

    async def members(self, image_id: str) -> dict[str, str]:
        """Return the status of each project that an image is shared with."""
        document = await self._service.request_json("GET", f"{_IMAGES}/{image_id}/members")
        found = members_of(document)
        if found is None:
            raise self._service.unintelligible()
        return found

    async def add_member(self, image_id: str, member: str) -> None:
        """Share an image with a project; the status is ``pending`` then."""
        path = f"{_IMAGES}/{image_id}/members"
        await self._service.request("POST", path, json={"member": member})

    async def set_member_status(self, image_id: str, member: str, status: str) -> None:
        """Say for a project whether it takes an image."""
        await self._service.request(
            "PUT", self._member(image_id, member), json={"status": status}
        )

    async def remove_member(self, image_id: str, member: str) -> None:
        """Share an image with a project no more."""
        await self._service.request("DELETE", self._member(image_id, member))

    # Data.

    async def open_data(self, image_id: str, offset: int = 0) -> DataStream:
        """Open an image's data; what comes has to be started, or stopped.

        :param offset: bytes to leave out. A service that does not know how starts at 0, which
            ``offset`` of the stream tells.
        :raises Absent: there is no such image.
        """
        raise NotImplementedError

    async def upload(
        self,
        image_id: str,
        stream: IByteStream,
        size: int | None = None,
        digest: tuple[str, str] | None = None,
    ) -> None:
        """Send an image's data.

        The stream is started when the service wants the data, and stopped in any case. What goes
        wrong with the stream itself is raised as it comes; the upload is broken off then, and the
        image has no data.

        :param size: how many bytes will come, where the stream does not know.
        :param digest: an algorithm of hashlib and the hexadecimal digits, which the service is to
            compare; left out where the algorithm cannot be stated. Only for one that
            :meth:`takes_digests`.
        """
        raise NotImplementedError

    async def takes_digests(self) -> bool:
        """Tell whether the service compares digests that uploads state; asked once."""
        raise NotImplementedError


def members_of(document: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the status of each member, from an image of a :class:`Page` or a list of members.

    :returns: ``None`` where the document does not say.
    """
    found = document.get("members")
    try:
        return {one["member_id"]: one["status"] for one in found or () if found is not None}
    except (TypeError, KeyError):
        return None
