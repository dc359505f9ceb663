"""An image service in memory, as ``RemoteImages`` shows it, at which everything can go wrong.

Each request takes some of the clock's time, and can be cancelled while it does. ``trouble`` is
asked before each; what it returns is what goes wrong with that one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from glance.remote.errors import Absent, BrokenOff, Failed, NotAllowed, Unreachable
from glance.remote.images import Page
from glance.remote.streams import IByteReceiver, IByteStream

TIME = 0.01
PIECE = 4

#: What can go wrong with a request.
REFUSED, LOST, BUSY, CUT, CORRUPT = "refused", "answer lost", "busy", "cut", "corrupt"
KINDS = (REFUSED, LOST, BUSY, CUT, CORRUPT)


def nothing(what: str, image_id: str | None) -> str | None:
    """Let everything go well."""
    return None


def make_document(image_id: str, data: bytes | None, **more: Any) -> dict[str, Any]:
    """Make an image as the API shows it."""
    document = {
        "id": image_id,
        "name": f"image {image_id[:4]}",
        "status": "queued" if data is None else "active",
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "private",
        "owner": "p1",
        "protected": False,
        "os_hidden": False,
        "min_disk": 0,
        "min_ram": 0,
        "tags": [],
        "size": None,
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }
    document.update(proof(data))
    document.update(more)
    return document


def proof(data: bytes | None) -> dict[str, Any]:
    """Return what the service says of data."""
    if data is None:
        return {}
    return {
        "size": len(data),
        "checksum": hashlib.md5(data).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(data).hexdigest(),
    }


@dataclass
class FakeImages:
    """One service.

    :ivar on_active: called with the id and data of each image that becomes active.
    :ivar masks: whether requests that are cancelled fail like others, as some in Twisted do.
    :ivar deleted: ids that can never be used again.
    :ivar asked: method and id of all requests.
    """

    place: str
    clock: Clock
    digests: bool = True
    gives_members: bool = True
    trouble: Callable[[str, str | None], str | None] = nothing
    owners: frozenset[str | None] | None = None
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    members_: dict[str, dict[str, str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    on_active: Callable[[str, bytes], None] = lambda image_id, data: None
    masks: bool = False
    page: int = 2
    under_way: int = 0
    most_at_once: int = 0

    def add(self, document: dict[str, Any], data: bytes | None = None, **members: str) -> None:
        """Put an image there."""
        self.images[document["id"]] = document
        if data is not None:
            self.data[document["id"]] = data
        self.members_[document["id"]] = members

    async def _request(self, what: str, image_id: str | None = None) -> str | None:
        self.asked.append((what, image_id))
        kind = self.trouble(what, image_id)
        try:
            await deferLater(self.clock, TIME)
        except CancelledError:
            if not self.masks:
                raise
            raise Unreachable(f"{self.place} cannot be reached: no such host.") from None
        if kind == REFUSED:
            raise Unreachable(f"{self.place} cannot be reached: nothing listens there.")
        if kind == BUSY:
            raise Failed(f"{self.place} answered 503.", 503)
        return kind

    def _image(self, image_id: str) -> dict[str, Any]:
        try:
            return self.images[image_id]
        except KeyError:
            raise Absent(f"{self.place} answered 404.", 404) from None

    def _answer(self, kind: str | None) -> None:
        if kind in (LOST, CUT):
            raise BrokenOff(f"{self.place} broke off the connection.")

    def _shown(self, image_id: str) -> dict[str, Any]:
        return dict(self._image(image_id))

    async def pages(self, filters: Any = None) -> Any:
        ids = list(self.images)
        for start in range(0, max(len(ids), 1), self.page):
            kind = await self._request("list")
            self._answer(kind)
            found = [self._shown(i) for i in ids[start : start + self.page] if i in self.images]
            if self.gives_members:
                for one in found:
                    one["members"] = self._members(one["id"])
            if found:
                yield Page(found, self.gives_members)

    async def show(self, image_id: str) -> dict[str, Any]:
        kind = await self._request("show", image_id)
        shown = self._shown(image_id)
        self._answer(kind)
        return shown

    async def create(self, document: Any) -> dict[str, Any]:
        kind = await self._request("create", document["id"])
        image_id = document["id"]
        if image_id in self.images or image_id in self.deleted:
            raise Failed(f"{self.place} answered 409.", 409)
        self._check_owner(document.get("owner", "p1"))
        self.add(make_document(image_id, None, **document))
        self._answer(kind)
        return self._shown(image_id)

    def _check_owner(self, owner: str | None) -> None:
        if self.owners is not None and owner not in self.owners:
            raise NotAllowed(f"{self.place} answered 403.", 403)

    async def patch(self, image_id: str, operations: Any) -> dict[str, Any]:
        kind = await self._request("patch", image_id)
        image = self._image(image_id)
        for one in operations:
            name = one["path"][1:]
            if name == "owner":
                self._check_owner(one["value"])
            assert name not in ("id", "status", "size", "checksum"), one
            if name.endswith("_format") and image["status"] != "queued":
                raise NotAllowed(f"{self.place} answered 403.", 403)
        for one in operations:
            name = one["path"][1:]
            if one["op"] == "remove":
                del image[name]
            else:
                image[name] = one["value"]
        self._answer(kind)
        return self._shown(image_id)

    async def delete(self, image_id: str) -> None:
        kind = await self._request("delete", image_id)
        if self._image(image_id)["protected"]:
            raise NotAllowed(f"{self.place} answered 403.", 403)
        del self.images[image_id]
        self.data.pop(image_id, None)
        self.deleted.add(image_id)
        self._answer(kind)

    def _members(self, image_id: str) -> list[dict[str, str]]:
        if self._image(image_id)["visibility"] != "shared":
            return []
        found = self.members_[image_id].items()
        return [{"member_id": member, "status": status} for member, status in found]

    async def members(self, image_id: str) -> dict[str, str]:
        kind = await self._request("members", image_id)
        found = {one["member_id"]: one["status"] for one in self._members(image_id)}
        self._answer(kind)
        return found

    async def add_member(self, image_id: str, member: str) -> None:
        kind = await self._request("add_member", image_id)
        if self._image(image_id)["visibility"] != "shared":
            raise NotAllowed(f"{self.place} answered 403.", 403)
        if member in self.members_[image_id]:
            raise Failed(f"{self.place} answered 409.", 409)
        self.members_[image_id][member] = "pending"
        self._answer(kind)

    async def set_member_status(self, image_id: str, member: str, status: str) -> None:
        kind = await self._request("set_member_status", image_id)
        self._image(image_id)
        if member not in self.members_[image_id]:
            raise Absent(f"{self.place} answered 404.", 404)
        self.members_[image_id][member] = status
        self._answer(kind)

    async def remove_member(self, image_id: str, member: str) -> None:
        kind = await self._request("remove_member", image_id)
        self._image(image_id)
        if self.members_[image_id].pop(member, None) is None:
            raise Absent(f"{self.place} answered 404.", 404)
        self._answer(kind)

    async def open_data(self, image_id: str, offset: int = 0) -> Any:
        kind = await self._request("open_data", image_id)
        self._image(image_id)
        data = self.data[image_id]
        if kind == CORRUPT:
            data = bytes(255 - byte for byte in data)
        cut = len(data) // 2 if kind in (LOST, CUT) else None
        return FakeStream(self.clock, data, cut, self.place)

    async def takes_digests(self) -> bool:
        return self.digests

    async def upload(
        self, image_id: str, stream: Any, size: int | None = None, digest: Any = None
    ) -> None:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            kind = await self._request("upload", image_id)
            image = self._image(image_id)
            if image["status"] != "queued":
                raise Failed(f"{self.place} answered 409.", 409)
            image["status"] = "saving"
            received = Receiver()
            try:
                await stream.start(received)
                if kind == CUT:
                    self._answer(kind)
                data = bytes(received.data)
                if kind == CORRUPT and self.digests:
                    # Towards one that compares nothing we have to rely on TCP.
                    data = bytes(255 - byte for byte in data)
                if size is not None and len(data) != size:
                    raise Failed(f"{self.place} answered 400.", 400)
                if digest is not None:
                    assert self.digests
                    if hashlib.new(digest[0], data).hexdigest() != digest[1]:
                        said = "The data does not fit the header Content-Digest."
                        raise Failed(f"{self.place} answered 400: {said}", 400, said)
            except BaseException:
                image["status"] = "queued"
                raise
            image["status"] = "active"
            image.update(proof(data))
            self.data[image_id] = data
            self.on_active(image_id, data)
            self._answer(kind)
        finally:
            self.under_way -= 1
            stream.stop()


@implementer(IByteReceiver)
class Receiver:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data


@implementer(IByteStream)
class FakeStream:
    """Gives data a piece at a time.

    :param cut: bytes after which it breaks off, if it does.
    """

    opened = 0

    def __init__(self, clock: Clock, data: bytes, cut: int | None, place: str) -> None:
        self.size = len(data)
        self.offset = 0
        self._clock = clock
        self._data = data if cut is None else data[:cut]
        self._broken = cut is not None
        self._place = place
        self._position = 0
        self._stopped = self._paused = False
        self._receiver: Any = None
        self._next: Any = None
        self._done: Deferred[None] | None = None
        FakeStream.opened += 1

    def start(self, receiver: Any) -> Deferred[None]:
        self._receiver = receiver
        self._done = Deferred(lambda _: self.stop())
        self._next = self._clock.callLater(TIME, self._give)
        return self._done

    def _give(self) -> None:
        self._next = None
        if self._paused:
            return
        assert self._done is not None
        if self._position < len(self._data):
            piece = self._data[self._position : self._position + PIECE]
            self._position += PIECE
            self._receiver.write(piece)
            if not self._stopped:
                self._next = self._clock.callLater(TIME, self._give)
        elif self._broken:
            self._done.errback(Unreachable(f"{self._place} broke off the connection."))
        else:
            self._done.callback(None)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._receiver is not None and self._next is None and not self._stopped:
            self._next = self._clock.callLater(TIME, self._give)

    def stop(self) -> None:
        if not self._stopped:
            FakeStream.opened -= 1
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
