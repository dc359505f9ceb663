"""What loading a namespace changes, in each mode."""

from __future__ import annotations

from typing import Any

import pytest

from glance.domain.metadefs.changes import Changes, Mode, compare
from glance.domain.metadefs.definition import Association, Definition, Kind, Object

NOTHING: dict[Kind, dict[str, Any]] = {kind: {} for kind in Kind}


def definition(own: dict[str, Any], **parts: dict[str, Any]) -> Definition:
    named = {
        "types": Kind.RESOURCE_TYPE,
        "properties": Kind.PROPERTY,
        "objects": Kind.OBJECT,
        "tags": Kind.TAG,
    }
    return Definition("n", own, NOTHING | {named[name]: part for name, part in parts.items()})


THERE = definition(
    {"description": "old", "protected": True, "owner": "me"},
    types={"same": Association("p_"), "other": Association("p_"), "old": Association()},
    properties={"same": {"default": 1}, "other": {"default": 1}, "old": {}},
    objects={"same": Object("d", ("a",)), "other": Object("d", ("a",)), "old": Object()},
    tags={"same": None, "old": None},
)
WANTED = definition(
    {"description": "new"},
    types={"same": Association("p_"), "other": Association("q_"), "new": Association()},
    properties={"same": {"default": 1}, "other": {"default": True}, "new": {}},
    objects={"same": Object("d", ("a",)), "other": Object("d", ("b",)), "new": Object()},
    tags={"same": None, "new": None},
)
NEW = {kind: {"new": part["new"]} for kind, part in WANTED.parts.items()}
OTHER = {
    kind: {name: value for name, value in part.items() if name == "other"}
    for kind, part in WANTED.parts.items()
}
OLD = {kind: {"old": part["old"]} for kind, part in THERE.parts.items()}


@pytest.mark.parametrize("mode", Mode)
def test_a_new_namespace(mode: Mode) -> None:
    changes = compare(None, WANTED, mode)
    own = {"display_name": None, "description": "new", "visibility": None, "protected": None}
    assert changes == Changes(True, own | {"owner": "admin"}, WANTED.parts, NOTHING, NOTHING)
    assert not changes.nothing
    assert compare(None, definition({"owner": "me"}), mode).own["owner"] == "me"
    assert not compare(None, definition({}), mode).nothing


def test_merge_adds() -> None:
    assert compare(THERE, WANTED, Mode.MERGE) == Changes(False, {}, NEW, NOTHING, NOTHING)


def test_what_is_new_is_preferred() -> None:
    # What the file does not say stays, the owner too.
    wanted = Changes(False, {"description": "new"}, NEW, OTHER, NOTHING)
    assert compare(THERE, WANTED, Mode.PREFER_NEW) == wanted


def test_overwriting_leaves_nothing_else() -> None:
    own = {"description": "new", "protected": None, "owner": "admin"}
    wanted = Changes(False, own, NEW, OTHER, OLD)
    assert compare(THERE, WANTED, Mode.OVERWRITE) == wanted


@pytest.mark.parametrize("mode", [Mode.MERGE, Mode.PREFER_NEW, Mode.OVERWRITE])
def test_what_is_there_is_left_alone(mode: Mode) -> None:
    assert compare(THERE, THERE, mode).nothing
    partly = definition({"owner": "me"}, tags={"same": None})
    assert compare(THERE, partly, mode).nothing is (mode is not Mode.OVERWRITE)


def test_what_other_software_kept_is_replaced() -> None:
    there = definition({}, properties={"other": {"default": 2**70}})
    assert compare(there, WANTED, Mode.PREFER_NEW).changed[Kind.PROPERTY] == OTHER[Kind.PROPERTY]
