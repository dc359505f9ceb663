"""The images of another service, over HTTP: the Image API, version 2.

Documents are handed on as the service wrote them, but for what a program would trip over: a page
is a list of objects with ids, and members are projects with a status.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from glance.domain.errors import Invalid
from glance.identity.http import Answer, CallFailed, Params
from glance.remote.digests import HEADER, content_digest, states_digests
from glance.remote.endpoint import Endpoint
from glance.remote.errors import Answered, TooLarge, Unintelligible
from glance.remote.service import ImageService
from glance.remote.streaming import DataStream
from glance.remote.streams import IByteStream
from glance.remote.transfers import Transfers
from glance.remote.trouble import may_pass

#: Images asked for at once; services give no more than that.
PAGE = 1000

#: Images to begin a page behind, should the last one have gone meanwhile.
MARKERS = 8

PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
OCTETS = "application/octet-stream"
_JSON = "application/json"

_IMAGES = "/v2/images"
_PREFER = "include=members"
#: How services say that they do not know the image to begin behind.
_NO_MARKER = (400, 404)
#: What is no name within a path (RFC 3986, section 5.2.4).
_NO_NAMES = ("", ".", "..")


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

    Every method raises :exc:`~glance.remote.errors.RemoteError`; whether it may help to try again
    tells :func:`~glance.remote.trouble.may_pass`.

    :param service: for requests that are short.
    :param transfers: for data.
    """

    def __init__(self, service: ImageService, transfers: Transfers) -> None:
        self._service = service
        self._transfers = transfers
        self._digests: bool | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the service is."""
        return self._service.endpoint

    @property
    def place(self) -> str:
        """Host and port of the service, for messages."""
        return self._service.endpoint.place

    # Metadata.

    async def pages(self, filters: Params | None = None) -> AsyncIterator[Page]:
        """Yield all images that the caller may see, oldest first, those that are hidden last.

        No image comes twice. One that is hidden or shown meanwhile may not come at all.

        :param filters: more parameters of the list, several values of one in a sequence.
        """
        seen: set[str] = set()
        for hidden in ({}, {"os_hidden": "true"}):
            if hidden and filters and "os_hidden" in filters:
                return
            asked: Params = {
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

    async def patch(self, image_id: str, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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
        await self._service.request("PUT", self._member(image_id, member), json={"status": status})

    async def remove_member(self, image_id: str, member: str) -> None:
        """Share an image with a project no more."""
        await self._service.request("DELETE", self._member(image_id, member))

    # Data.

    async def open_data(self, image_id: str, offset: int = 0) -> DataStream:
        """Open an image's data; what comes has to be started, or stopped.

        An image that has none gives a stream of nothing.

        :param offset: bytes to leave out. A service that does not know how to starts at 0, which
            ``offset`` of the stream tells.
        :raises Absent: there is no such image.
        """
        path = f"{_IMAGES}/{image_id}/file"
        return await self._transfers.open(path, {"Accept": f"{OCTETS}, {_JSON};q=0.5"}, offset)

    async def upload(
        self,
        image_id: str,
        stream: IByteStream,
        size: int | None = None,
        digest: tuple[str, str] | None = None,
    ) -> None:
        """Send an image's data.

        The stream is started when the service wants the data, and stopped in any case. What goes
        wrong with the stream itself is raised as it came; the upload is broken off then, and the
        image has no data.

        :param size: how many bytes will come, where the stream does not know.
        :param digest: an algorithm of hashlib and the hexadecimal digits, which the service is to
            compare; left out where it cannot be stated. Only of use if the service
            :meth:`takes_digests`.
        """
        size = stream.size if size is None else size
        # Whatever goes wrong is told in JSON then.
        headers = {"Content-Type": OCTETS, "Accept": _JSON}
        if size is not None:
            # Whatever is in between may send the body on in chunks.
            headers["X-OpenStack-Image-Size"] = str(size)
        if digest is not None and (stated := content_digest(*digest)) is not None:
            headers[HEADER] = stated
        await self._transfers.send(f"{_IMAGES}/{image_id}/file", headers, stream, size)

    async def takes_digests(self) -> bool:
        """Tell whether the service compares digests that uploads state; asked once."""
        if self._digests is None:
            try:
                self._digests = states_digests(
                    await self._service.request_json("GET", "/v2/openapi.json")
                )
            except (Answered, Unintelligible) as error:
                if may_pass(error):
                    raise
                self._digests = False
        return self._digests

    # What they have in common.

    async def _listed(self, asked: Params) -> AsyncIterator[Page]:
        """Yield the pages of one list."""
        limit = PAGE
        behind: list[str] = []
        markers: set[str] = set()
        while True:
            marker = {"marker": behind[-1]} if behind else {}
            params = {**asked, "limit": str(limit), **marker}
            try:
                answer = await self._service.request(
                    "GET", _IMAGES, params=params, headers={"Prefer": _PREFER}
                )
            except TooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                continue
            except Answered as error:
                # The image that the page begins behind may have been deleted meanwhile.
                if error.status not in _NO_MARKER or len(behind) < 2:
                    raise
                behind.pop()
                continue
            images, following = self._read(answer)
            applied = answer.header("Preference-Applied") or ""
            yield Page(images, _PREFER in applied.replace(" ", "").lower())
            if following is None:
                return
            if following in markers:
                # It goes round, perhaps by way of many pages.
                raise self._service.unintelligible()
            markers.add(following)
            ids = [image["id"] for image in images if image["id"] != following]
            behind = [*ids[-MARKERS:], following]

    def _read(self, answer: Answer) -> tuple[list[dict[str, Any]], str | None]:
        """Return the images of a page, and the marker of the next one."""
        try:
            document = answer.json()
            images = document["images"]
            for image in images:
                if not isinstance(image["id"], str):
                    raise TypeError
            if "next" not in document:
                return images, None
            return images, parse_qs(urlsplit(document["next"]).query)["marker"][0]
        except (CallFailed, TypeError, KeyError, ValueError, AttributeError):
            raise self._service.unintelligible() from None

    def _image(self, answer: Answer) -> dict[str, Any]:
        try:
            image = answer.json()
        except CallFailed:
            image = None
        if not isinstance(image, dict) or not isinstance(image.get("id"), str):
            raise self._service.unintelligible()
        return image

    def _member(self, image_id: str, member: str) -> str:
        if member in _NO_NAMES:
            # What is between us and the service would take it for another path: the image's.
            raise Invalid(f"{member!r} is no project's id.")
        return f"{_IMAGES}/{image_id}/members/{quote(member, safe='')}"


def members_of(document: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the status of each member, from an image of a :class:`Page` or a list of members.

    :returns: ``None`` where the document does not say.
    """
    found = document.get("members")
    # An image may have a custom property of that name, which is a text.
    if not isinstance(found, list):
        return None
    try:
        members = {one["member_id"]: one["status"] for one in found}
    except (TypeError, KeyError):
        return None
    return members if all(map(_is_text, (*members, *members.values()))) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str)
