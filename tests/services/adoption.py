"""A catalogue with something of everything, and all that people see of it.

Both services, the OpenStack project's and ours, are asked in the same way, so that what they answer
can be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from tests.functional.identity import IdentityServer
from tests.functional.server import OCTETS, Answer, Server, eventually
from tests.services.original import CALLERS, Original

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
#: Large enough to go in several pieces.
DATA = b"".join(hashlib.sha512(str(n).encode()).digest() for n in range(50_000))


class Service(Protocol):
    """Either of the two services."""

    def request(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a request as one of the callers."""


class Ours:
    """Our own service, configured by the file that the other left behind.

    :param configuration: the file.
    :param more_flavor: of ``[paste_deploy]``, beside Keystone.
    :param settings: options of ``[DEFAULT]`` that differ from that.
    """

    def __init__(self, configuration: Path, *, more_flavor: str = "", **settings: object) -> None:
        self._flavor = "+".join(filter(None, ("keystone", more_flavor)))
        self._identity = IdentityServer()
        # The file has a log file of the other's, and what trouble there is is looked for in ours.
        ours = {"bind_host": "127.0.0.1", "workers": 0, "use_stderr": True}
        self._settings = {**ours, **settings}
        self._arguments = ("--config-file", str(configuration))

    def __enter__(self) -> Ours:
        self._identity.up()
        self.server = Server(
            settings=self._settings,
            options=self._identity.options() | {"paste_deploy": {"flavor": self._flavor}},
            arguments=self._arguments,
        )
        try:
            self.server.start()
        except BaseException:
            self.server.close()
            self._identity.down()
            raise
        self._tokens = {
            name: self._identity.token(*roles, project=name, user=name)
            for name, roles in CALLERS.items()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                assert self.server.trouble() == []
        finally:
            self.server.close()
            self._identity.down()

    def request(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a request as one of the callers."""
        named = {**(headers or {}), "X-Auth-Token": self._tokens[who]}
        return self.server.request(method, path, body, named)


def ask(service: Service, status: int, who: str, *request: Any) -> Answer:
    """Make a request whose answer has a certain status."""
    answer = service.request(who, *request)
    # Not the data, which is long.
    assert answer.status == status, (who, request[:2], answer.status, answer.body[:500])
    return answer


def create(service: Service, who: str = "alice", **fields: Any) -> str:
    """Create an image; return its id."""
    fields = {"disk_format": "raw", "container_format": "bare", **fields}
    return str(ask(service, 201, who, "POST", "/v2/images", fields).json["id"])


def upload(service: Service, image_id: str, data: bytes = b"data", who: str = "alice") -> None:
    ask(service, 204, who, "PUT", f"/v2/images/{image_id}/file", data, OCTETS)


def image(service: Service, who: str = "alice", *, data: bytes = b"data", **fields: Any) -> str:
    """Create an image with data; return its id."""
    image_id = create(service, who, **fields)
    upload(service, image_id, data, who)
    return image_id


def patch(service: Service, who: str, image_id: str, *operations: dict[str, Any]) -> Any:
    """Change an image; return what it is then."""
    path = f"/v2/images/{image_id}"
    return ask(service, 200, who, "PATCH", path, list(operations), PATCH).json


def fill(service: Original) -> dict[str, str]:
    """Make a catalogue with something of everything; return the images' ids by their names."""
    made = {
        "plain": image(
            service,
            name="plain",
            data=DATA,
            tags=["one", "zwei", "três"],
            min_disk=1,
            min_ram=512,
            os_distro="debian",
            nothing="",
            unusual="Grüße, 世界",
        ),
        "shared": image(service, name="shared", visibility="shared", data=b"shared" * 1000),
        "private": image(service, name="private", visibility="private"),
        "community": image(service, name="community", visibility="community"),
        "public": image(service, "admin", name="public", visibility="public"),
        "protected": image(service, name="protected", protected=True),
        "hidden": image(service, name="hidden", os_hidden=True),
        "queued": create(service, name="queued", disk_format="raw"),
        "bare": str(ask(service, 201, "alice", "POST", "/v2/images", {}).json["id"]),
        "deactivated": image(service, name="deactivated"),
        "changed": image(service, name="before", tags=["kept", "dropped"], kept="1", dropped="2"),
        "deleted": image(service, name="deleted", tags=["t"], p="v"),
        "empty": image(service, name="empty", data=b""),
    }
    for project, status in (("bob", "accepted"), ("carol", None)):
        members = f"/v2/images/{made['shared']}/members"
        ask(service, 200, "alice", "POST", members, {"member": project})
        if status:
            ask(service, 200, project, "PUT", f"{members}/{project}", {"status": status})
    ask(service, 204, "admin", "POST", f"/v2/images/{made['deactivated']}/actions/deactivate")
    patch(
        service,
        "alice",
        made["changed"],
        {"op": "replace", "path": "/name", "value": "changed"},
        {"op": "replace", "path": "/kept", "value": "3"},
        {"op": "add", "path": "/added", "value": "4"},
        {"op": "remove", "path": "/dropped"},
        {"op": "replace", "path": "/tags", "value": ["kept", "new"]},
    )
    ask(service, 204, "alice", "DELETE", f"/v2/images/{made['deleted']}")
    made["imported"] = create(service, name="imported")
    path = f"/v2/images/{made['imported']}"
    ask(service, 204, "alice", "PUT", f"{path}/stage", b"staged" * 1000, OCTETS)
    order = {"method": {"name": "glance-direct"}, "stores": ["slow", "fast"]}
    ask(service, 202, "alice", "POST", f"{path}/import", order)
    # Its log tells: who asked again and again would get in the way of its SQLite.
    log = service.data / "glance.log"
    eventually(lambda: "api_image_import completed" in log.read_text(), "the import is done")
    (task,) = ask(service, 200, "alice", "GET", f"{path}/tasks").json["tasks"]
    assert task["status"] == "success"
    return made


def seen(service: Service) -> dict[str, Any]:
    """Return all that the callers see of the catalogue, data and all."""
    found: dict[str, Any] = {}
    for who in CALLERS:
        listed, page = [], "/v2/images?limit=4&os_hidden=false"
        while page:
            answer = ask(service, 200, who, "GET", page).json
            listed += answer["images"]
            page = answer.get("next")
        hidden = ask(service, 200, who, "GET", "/v2/images?os_hidden=true").json["images"]
        accepted = ask(service, 200, who, "GET", "/v2/images?member_status=all&visibility=shared")
        shared = accepted.json["images"]
        # What bob sees of others' is of two kinds only.
        opened = [*listed, *hidden] if who != "bob" else shared
        found[who] = {
            "list": listed,
            "hidden": hidden,
            "shared": shared,
            "images": {one["id"]: _one(service, who, one["id"]) for one in opened},
        }
    return _in_order(found)


def _in_order(found: Any) -> Any:
    """Sort what has no order: tags, and stores, which the other lists as the database likes."""
    if isinstance(found, dict):
        ordered = {name: _in_order(value) for name, value in found.items()}
        if "tags" in ordered:
            ordered["tags"].sort()
        if isinstance(ordered.get("stores"), str):
            ordered["stores"] = ",".join(sorted(ordered["stores"].split(",")))
        return ordered
    return [_in_order(value) for value in found] if isinstance(found, list) else found


def _one(service: Service, who: str, image_id: str) -> dict[str, Any]:
    path = f"/v2/images/{image_id}"
    members = service.request(who, "GET", f"{path}/members")
    data = service.request(who, "GET", f"{path}/file")
    return {
        "image": ask(service, 200, who, "GET", path).json,
        "members": (members.status, members.json if members.status == 200 else None),
        "data": (data.status, data.body if data.status == 200 else None),
        "md5": data.headers.get("Content-MD5"),
        "tasks": ask(service, 200, who, "GET", f"{path}/tasks").json,
    }


def check_same(now: Any, before: Any) -> None:
    """Check that two descriptions say the same."""
    found = differences(now, before)
    assert not found, "\n".join(found)


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Return where two descriptions differ, one line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for name in sorted({*one, *other}, key=str):
            found += differences(
                one.get(name, "(absent)"), other.get(name, "(absent)"), f"{place}/{name}"
            )
        return found
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            line
            for number, (left, right) in enumerate(zip(one, other, strict=True))
            for line in differences(left, right, f"{place}/{number}")
        ]
    return [] if one == other else [f"{place}: {str(one)[:200]!r} and {str(other)[:200]!r}"]
