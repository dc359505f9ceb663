"""What tests of the replicator share: images of every kind, and both sides compared."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol

from tests.functional.server import OCTETS, Answer
from tests.functional.wire import MIB, data_of

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
#: What is a side's own affair.
_OWN = {
    "created_at", "direct_url", "file", "locations", "schema", "self", "stores", "updated_at",
    "virtual_size",
}  # fmt: skip
BIG = data_of(5 * MIB + 17)
QCOW2 = struct.pack(
    ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 2**30, 0, 2, 3 << 16, 1 << 16, 1, 0, 0
).ljust(1 << 18, b"\0")


class Side(Protocol):
    """An image service that tests look into."""

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a request as the administrator."""


# Images.


def ask(side: Side, status: int, method: str, path: str, *more: Any) -> Answer:
    """Make a request whose answer has a certain status."""
    answer = side.request(method, path, *more)
    assert answer.status == status, (method, path, answer.status, answer.body[:500])
    return answer


def create(side: Side, **fields: Any) -> str:
    """Create an image; return its id."""
    fields = {"disk_format": "raw", "container_format": "bare", **fields}
    return str(ask(side, 201, "POST", "/v2/images", fields).json["id"])


def image(side: Side, data: bytes, **fields: Any) -> str:
    """Create an image with data; return its id."""
    image_id = create(side, **fields)
    ask(side, 204, "PUT", f"/v2/images/{image_id}/file", data, OCTETS)
    return image_id


def patch(side: Side, image_id: str, *operations: Mapping[str, Any]) -> None:
    """Change an image."""
    ask(side, 200, "PATCH", f"/v2/images/{image_id}", list(operations), PATCH)


def replace(side: Side, image_id: str, name: str, value: Any) -> None:
    """Set a field of an image."""
    patch(side, image_id, {"op": "replace", "path": f"/{name}", "value": value})


def share(side: Side, image_id: str, **members: str) -> None:
    """Share an image with projects, each with a status."""
    path = f"/v2/images/{image_id}/members"
    for member, status in members.items():
        ask(side, 200, "POST", path, {"member": member})
        if status != "pending":
            ask(side, 200, "PUT", f"{path}/{member}", {"status": status})


def deactivate(side: Side, image_id: str) -> None:
    """Keep an image's data from being downloaded."""
    ask(side, 204, "POST", f"/v2/images/{image_id}/actions/deactivate")


def populate(side: Side, owner: str = "p1") -> dict[str, str]:
    """Make images of every kind there is; return their ids by names.

    :param owner: of most of them.
    """

    def active(name: str, data: bytes = b"data", **fields: Any) -> str:
        return image(side, name.encode() + data, name=name, owner=owner, **fields)

    made = {
        "private": active("private", visibility="private", min_disk=7, min_ram=512),
        "public": active(
            "public", visibility="public", tags=["one", "zwei drei", "três/世界", "a,b"]
        ),
        "community": active("community", visibility="community", os_distro="debian"),
        "hidden": active("hidden", os_hidden=True),
        "protected": active("protected", protected=True, tags=["kept"]),
        "shared": active("shared", visibility="shared"),
        "unshared": active("unshared", visibility="shared"),
        "odd": image(
            side,
            b"odd",
            name="odd " + "ñ" * 200,
            owner=owner,
            **{
                "a/b~c": "slash and tilde",
                "~1": "~01",
                "Upper Case": "spaces",
                "Grüße": "世界",
                "empty": "",
                "null?": "null",
                "long": "x" * 4000,
                "x-image-meta-name": "no header",
                "is_public": "True",
                "quo\"te'": "\\back\nline\ttab",
            },
        ),
        "other": image(side, b"other", name="other", owner=f"{owner}-2"),
        "nameless": image(side, b"nameless", owner=owner),
        "twice": active("twice", tags=["same name"]),
        "twice, too": image(side, b"2", name="twice", owner=owner),
        "zero": image(side, b"", name="zero", owner=owner),
        "big": image(side, BIG, name="big", owner=owner),
        "qcow2": image(side, QCOW2, name="disk.qcow2", owner=owner, disk_format="qcow2"),
        "3 MiB": image(side, data_of(3 * MIB), name="3 MiB", owner=owner),
        "backup.img.gz": image(
            side,
            gzip.compress(b"compressed" * 10_000, mtime=0),
            name="backup.img.gz",
            owner=owner,
            container_format="compressed",
        ),
        "tar": active("disk.tar.xz", container_format="docker", min_disk=1),
        "queued": create(side, name="queued", owner=owner, tags=["later"]),
        "bare": str(ask(side, 201, "POST", "/v2/images", {"owner": owner}).json["id"]),
        "deactivated": active("deactivated"),
    }
    share(side, made["shared"], bob="accepted", carol="pending", dave="rejected")
    deactivate(side, made["deactivated"])
    return made


#: Which of them are active, and so are copied.
INACTIVE = {"queued", "bare", "deactivated"}


def active(made: Mapping[str, str]) -> set[str]:
    """Return the ids of those images of a population that are copied."""
    return {image_id for name, image_id in made.items() if name not in INACTIVE}


# Both sides.


def listed(side: Side, tag: str = "") -> dict[str, dict[str, Any]]:
    """Return all images, hidden ones too, by id.

    :param tag: that they have to have, if any.
    """
    only = f"&tag={tag}" if tag else ""
    found: dict[str, dict[str, Any]] = {}
    for hidden in ("false", "true"):
        path = f"/v2/images?limit=1000&os_hidden={hidden}&visibility=all{only}"
        while path:
            page = ask(side, 200, "GET", path).json
            found |= {one["id"]: one for one in page["images"]}
            path = page.get("next")
    return found


def _like(one: Mapping[str, Any], members: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    kept = {name: value for name, value in one.items() if name not in _OWN}
    kept = {name: value for name, value in kept.items() if not name.startswith("os_glance_")}
    kept["tags"] = sorted(one["tags"])
    kept["members"] = sorted((member["member_id"], member["status"]) for member in members)
    return kept


def description(side: Side, image_id: str) -> dict[str, Any]:
    """Return what a copy of an image has to have too: its metadata, members, and a hash of data."""
    one = ask(side, 200, "GET", f"/v2/images/{image_id}").json
    members: list[dict[str, Any]] = []
    if one["visibility"] == "shared":
        members = ask(side, 200, "GET", f"/v2/images/{image_id}/members").json["members"]
    found = _like(one, members)
    if one["status"] == "active":
        # A service answers 204 where there are no bytes.
        data = side.request("GET", f"/v2/images/{image_id}/file")
        assert data.status in (200, 204), (image_id, data.status, data.body[:500])
        found["data"] = (len(data.body), hashlib.sha512(data.body).hexdigest())
    return found


def differences(
    source: Side, target: Side, image_ids: Iterable[str], ignore: Iterable[str] = ()
) -> list[str]:
    """Return what differs between the sides, by their APIs and bytes; a line each.

    :param ignore: names of fields and properties.
    """
    found = []
    for image_id in image_ids:
        here = description(source, image_id)
        if target.request("GET", f"/v2/images/{image_id}").status == 404:
            found.append(f"{image_id} ({here.get('name')}): missing")
            continue
        there = description(target, image_id)
        for name in sorted({*here, *there} - set(ignore)):
            one, other = here.get(name, "(absent)"), there.get(name, "(absent)")
            if one != other:
                found.append(
                    f"{image_id} ({here.get('name')}): {name}: {one!r:.200} {other!r:.200}"
                )
    return found


class NeverWrong:
    """Looks all the while whether an image of the target is active with other data than it has.

    :param source: asked once, at the beginning.
    :param target: asked again and again, and at the end.
    :param tag: of the images that it is about; all, if there is none.
    """

    def __init__(self, source: Side, target: Side, tag: str = "") -> None:
        self._target = target
        self._tag = tag
        self._right = {
            image_id: (one["size"], one["os_hash_value"])
            for image_id, one in listed(source, tag).items()
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.looked = 0
        self.wrong: set[str] = set()

    def __enter__(self) -> NeverWrong:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            self.look()
            assert self.wrong == set()

    def look(self) -> None:
        """Look once."""
        for image_id, one in listed(self._target, self._tag).items():
            has = (one["size"], one["os_hash_value"])
            if one["status"] == "active" and has != self._right.get(image_id, has):
                self.wrong.add(f"{image_id}: {has}")
        self.looked += 1

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self.look()
            except (AssertionError, OSError):
                # The target may be down; if it stays so, the last look says it.
                continue
