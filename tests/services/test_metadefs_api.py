"""Metadata definitions of one database, seen through both services: the project's and ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.adoption import Ours, Service, ask, check_same
from tests.services.managing import child
from tests.services.original import CALLERS, Original

pytestmark = pytest.mark.service

ALL = "/v2/metadefs/namespaces"
COUNTED = {
    "type": "integer", "title": "n", "description": "d", "default": 3, "minimum": 1, "maximum": 5,
    "readonly": False, "enum": ["1", "3"], "operators": ["<or>"],
}  # fmt: skip
LISTED = {
    "type": "array", "title": "l", "items": {"type": "string", "enum": ["a"]}, "minItems": 0,
    "maxItems": 2, "uniqueItems": True, "additionalItems": False, "pattern": "^a", "minLength": 1,
    "maxLength": 9, "default": "a",
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Original]:
    """The project's service, with an empty catalogue and running."""
    made = Original(tmp_path / "original", request.getfixturevalue(f"{request.param}_url"))
    made.binaries()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def ours(original: Original, tmp_path: Path) -> Iterator[Ours]:
    """Our service over its database."""
    assert child(tmp_path, original.configuration)("db", "sync").code == 0
    with Ours(original.configuration) as ours:
        yield ours


def fill(service: Service, name: str) -> None:
    """Make two namespaces, the first with everything at once, the second bit by bit."""
    whole = {
        "namespace": name,
        "display_name": "d",
        "description": "Grüße, 世界",
        "visibility": "public",
        "protected": True,
        "resource_type_associations": [
            {"name": "OS::A", "prefix": "a_", "properties_target": "image"},
            {"name": f"OS::{name}"},
        ],
        "properties": {
            "count": COUNTED,
            "list": LISTED,
            "hidden": {**LISTED, "confidential": True},
        },
        "objects": [
            {"name": "o", "description": "", "required": ["x", "y"], "properties": {"x": COUNTED}},
            {"name": "empty"},
        ],
        "tags": [{"name": "b"}, {"name": "a"}],
    }
    ask(service, 201, "admin", "POST", ALL, whole)
    path = f"{ALL}/{name}::more"
    ask(service, 201, "admin", "POST", ALL, {"namespace": f"{name}::more", "owner": "alice"})
    association = {"name": "OS::A", "prefix": "m:"}
    ask(service, 201, "admin", "POST", f"{path}/resource_types", association)
    ask(service, 201, "admin", "POST", f"{path}/properties", {"name": "count", **COUNTED})
    ask(service, 201, "admin", "POST", f"{path}/properties", {"name": "gone", **COUNTED})
    ask(service, 200, "admin", "PUT", f"{path}/properties/gone", {"name": "list", **LISTED})
    properties = {"x": COUNTED}
    ask(service, 201, "admin", "POST", f"{path}/objects", {"name": "o"})
    ask(service, 200, "admin", "PUT", f"{path}/objects/o", {"name": "p", "properties": properties})
    ask(service, 201, "admin", "POST", f"{path}/tags", {"tags": [{"name": "b"}, {"name": "a"}]})
    ask(service, 201, "admin", "POST", f"{path}/tags/c")
    ask(service, 200, "admin", "PUT", f"{path}/tags/a", {"name": "d"})


def seen(service: Service, who: str) -> dict[str, Any]:
    """Return all that a caller sees, by path."""
    page = ask(service, 200, who, "GET", f"{ALL}?limit=100&sort_key=namespace").json
    found: dict[str, Any] = {ALL: page, "types": None}
    paths = ["/v2/metadefs/resource_types"]
    for entry in page["namespaces"]:
        path = f"{ALL}/{entry['namespace']}"
        paths += [path, f"{path}?resource_type=OS::A"]
        paths += [f"{path}/{part}" for part in ("properties", "objects", "tags", "resource_types")]
        whole = ask(service, 200, who, "GET", path).json
        paths += [f"{path}/properties/{name}" for name in whole["properties"]]
        for part in ("objects", "tags"):
            paths += [f"{path}/{part}/{item['name']}" for item in whole[part]]
    for path in paths:
        found[path] = ask(service, 200, who, "GET", path).json
    return {path: _plain(answer) for path, answer in found.items()}


def _plain(value: Any) -> Any:
    """Return an answer without what the two services are known to differ in."""
    if isinstance(value, list):
        # Theirs come in the order in which the database has them.
        named = all(isinstance(item, dict) and "name" in item for item in value)
        plain = [_plain(item) for item in value]
        return sorted(plain, key=lambda item: item["name"]) if named and value else plain
    if not isinstance(value, dict):
        return value
    plain = {key: _plain(inner) for key, inner in value.items()}
    for name, schema in value.items():
        # Of what was made by itself theirs tells the name twice, once without the prefix.
        if isinstance(schema, dict) and "name" in schema and name.endswith(schema["name"]):
            plain[name].pop("name")
    if plain.get("schema") == "v2/schemas/metadefs/objects":
        plain["schema"] = "/v2/schemas/metadefs/objects"
    return plain


def test_both_show_the_same(original: Original, ours: Ours) -> None:
    fill(original, "Theirs")
    fill(ours, "Ours")
    for who, count in (("admin", 4), ("alice", 4), ("bob", 2)):
        assert who in CALLERS
        we_show, they_show = seen(ours, who), seen(original, who)
        assert len(we_show[ALL]["namespaces"]) == count
        check_same(we_show, they_show)


def test_either_changes_what_the_other_made(original: Original, ours: Ours) -> None:
    fill(original, "Theirs")
    fill(ours, "Ours")
    for service, name in ((ours, "Theirs"), (original, "Ours")):
        path = f"{ALL}/{name}"
        ask(service, 403, "admin", "DELETE", path)
        ask(service, 409, "admin", "POST", ALL, {"namespace": name})
        ask(service, 409, "admin", "POST", f"{path}/tags/a")
        ask(service, 200, "admin", "PUT", path, {"namespace": name})
        ask(service, 204, "admin", "DELETE", f"{path}/tags/a")
        ask(service, 204, "admin", "DELETE", f"{path}/objects/o")
        ask(service, 200, "admin", "PUT", f"{path}/properties/count", {"name": "n", **COUNTED})
        ask(service, 204, "admin", "DELETE", f"{path}/resource_types/OS::A")
    check_same(seen(ours, "admin"), seen(original, "admin"))
    for service, name in ((ours, "Theirs"), (original, "Ours")):
        ask(service, 204, "admin", "DELETE", f"{ALL}/{name}")
        ask(service, 204, "admin", "DELETE", f"{ALL}/{name}::more")
    assert ask(ours, 200, "admin", "GET", ALL).json["namespaces"] == []
    assert ask(original, 200, "admin", "GET", ALL).json["namespaces"] == []
