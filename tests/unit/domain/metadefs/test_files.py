"""Files of metadata definitions: what is read of them, and where what is wrong with them is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glance.domain.metadefs.definition import Association, Kind, Object
from glance.domain.metadefs.files import BadFile, read, render

WHOLE: dict[str, Any] = {
    "namespace": "A::B",
    "display_name": "A B",
    "description": "d",
    "visibility": "public",
    "protected": True,
    "owner": "me",
    "resource_type_associations": [
        {"name": "OS::X", "prefix": "p_", "properties_target": "image"},
        {"name": "OS::Y"},
    ],
    "properties": {"p": {"title": "P", "type": "integer", "minimum": 1.5, "x-own": [None]}},
    "objects": [
        {
            "name": "o",
            "description": "",
            "required": ["a"],
            "properties": {"a": {"title": "A", "type": "string"}},
        },
        {"name": "bare"},
    ],
    "tags": [{"name": "t"}, {"name": "T"}],
}
#: What is told of it.
OWN = "/properties/p/x-own: means nothing here: it is kept, but not shown"


def with_(place: str, value: Any) -> dict[str, Any]:
    """Return the whole file with one value in it replaced; the place is a JSON pointer."""
    document = json.loads(json.dumps(WHOLE))
    *steps, last = [part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:]]
    holder = document
    for step in steps:
        holder = holder[int(step) if isinstance(holder, list) else step]
    holder[int(last) if isinstance(holder, list) else last] = value
    return document


def problems(document: Any) -> list[str]:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(BadFile) as caught:
        read(content)
    assert caught.value.message == "; ".join(map(str, caught.value.problems))
    return [str(problem) for problem in caught.value.problems]


def test_all_of_it_is_read() -> None:
    definition, ignored = read(json.dumps(WHOLE).encode())
    assert list(map(str, ignored)) == [OWN]
    assert definition.name == "A::B"
    assert definition.own == {
        name: WHOLE[name]
        for name in ("display_name", "description", "visibility", "protected", "owner")
    }
    assert definition.parts == {
        Kind.RESOURCE_TYPE: {"OS::X": Association("p_", "image"), "OS::Y": Association()},
        Kind.PROPERTY: WHOLE["properties"],
        Kind.OBJECT: {
            "o": Object("", ("a",), WHOLE["objects"][0]["properties"]),
            "bare": Object(),
        },
        Kind.TAG: {"t": None, "T": None},
    }


def test_what_is_written_is_what_was_read() -> None:
    definition, ignored = read(json.dumps(WHOLE).encode())
    written = render(definition)
    assert json.loads(written) == WHOLE
    assert read(written) == (definition, ignored)
    assert written.endswith(b"}\n")


def test_the_least() -> None:
    definition, _ = read(b'\xef\xbb\xbf{"namespace": "n"}')
    assert (definition.name, definition.own) == ("n", {})
    assert definition.parts == {kind: {} for kind in Kind}
    assert json.loads(render(definition)) == {"namespace": "n"}


def test_null_is_not_said() -> None:
    nulls = {name: None for name in WHOLE if name != "namespace"}
    assert (
        read(json.dumps({**nulls, "namespace": "n"}).encode())[0] == read(b'{"namespace": "n"}')[0]
    )
    schema = {"title": None, "type": "string", "description": None, "default": None, "enum": None}
    definition, _ = read(json.dumps({"namespace": "n", "properties": {"p": schema}}).encode())
    assert definition.parts[Kind.PROPERTY] == {
        "p": {"title": "p", "type": "string", "default": None}
    }


def test_a_property_without_a_title_gets_its_name() -> None:
    bare = {"type": "string"}
    document = {
        "namespace": "n",
        "properties": {"p": bare},
        "objects": [{"name": "o", "properties": {"q": bare}}],
    }
    parts = read(json.dumps(document).encode())[0].parts
    assert parts[Kind.PROPERTY]["p"]["title"] == "p"
    assert parts[Kind.OBJECT]["o"].properties["q"]["title"] == "q"


def test_what_the_api_shows_can_be_loaded() -> None:
    shown = {"self": "/v2/…", "schema": "/v2/…", "created_at": "2026", "updated_at": "2026"}
    document = with_("/tags/0", {"name": "t", "created_at": "2026"}) | shown
    document["objects"][0] |= shown
    definition, ignored = read(json.dumps(document).encode())
    assert list(map(str, ignored)) == [OWN]
    assert json.loads(render(definition)) == WHOLE


def test_what_means_nothing_is_told_of() -> None:
    document = with_("/objects/0/a~b", 1) | {"propertys": {}, "display_nam": ""}
    document["objects"][0]["properties"]["a"]["titel"] = "A"
    _, ignored = read(json.dumps(document).encode())
    assert list(map(str, ignored)) == [
        "/propertys: means nothing here and was left out",
        "/display_nam: means nothing here and was left out",
        OWN,
        "/objects/0/a~0b: means nothing here and was left out",
        "/objects/0/properties/a/titel: means nothing here: it is kept, but not shown",
    ]


def test_names_that_no_path_can_have_are_told_of() -> None:
    bare = {"type": "string"}
    document = {
        "namespace": "n",
        "resource_type_associations": [{"name": "OS/X"}],
        "properties": {"a/b": bare},
        # Nobody asks for what is in an object by itself.
        "objects": [{"name": "Disk I/O", "properties": {"a/b": bare}}],
        "tags": [{"name": ".."}, {"name": "..."}],
    }
    definition, ignored = read(json.dumps(document).encode())
    assert [list(parts) for parts in definition.parts.values()] == [
        ["OS/X"], ["a/b"], ["Disk I/O"], ["..", "..."],
    ]  # fmt: skip
    assert list(map(str, ignored)) == [
        f"{place}: is a name that no path can have, so clients cannot ask for it alone"
        for place in (
            "/resource_type_associations/0/name",
            "/properties/a~1b",
            "/objects/0/name",
            "/tags/0/name",
        )
    ]


def test_members_that_are_there_twice() -> None:
    """They are told of along with whatever else is wrong."""
    content = b"""{"namespace": "n", "tags": [], "properties": {
        "a/b": {"type": "string", "type": "integer"}, "a/b": {"type": "string"},
        "c": {"type": "string", "items": {"enum": [{"x": 1, "x": 1, "x": 2}]}}
    }, "tags": [{"name": 1}]}"""
    assert problems(content) == [
        "/tags: stands there a second time",
        "/properties/a~1b: stands there a second time",
        "/properties/c/items/enum/0/x: stands there a second time",
        "/tags/0/name: must be a string, not the number 1",
    ]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "is not JSON: line 1, column 1: Expecting value"),
        (b'{"namespace": "n",\n "x" 1}', "is not JSON: line 2, column 6: Expecting ':' delimiter"),
        (b'{"namespace": "\xff"}', "is not UTF-8: the byte at offset 15 cannot be read"),
        (b'{"namespace": "n", "x": NaN}', "is not JSON that can be kept: NaN is no JSON"),
        (b'{"x": 1e999}', "/x: is too large a number"),
        (b'{"x": 9223372036854775808}', "/x: is too large a number"),
        (b'{"x": ' + b"9" * 5000 + b"}", "is not JSON that can be kept: a number in it has far"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}", "/x" + "/0" * 31 + ": is nested too deeply"),
        (b"[]", "must be an object, not a list of length 0"),
        (b"{}", "has no member 'namespace'"),
        (b'{"x": ["\\u0000"]}', "/x/0: The text contains the character U+0000, which cannot be"),
        (b'{"\\ud800": 1}', "The name of a member contains the character U+D800"),
    ],
)
def test_what_is_no_file(content: bytes, wanted: str) -> None:
    (problem,) = problems(content)
    assert problem.startswith(wanted)


LONG = "x" * 81
BIG = "x" * 65536


@pytest.mark.parametrize(
    ("place", "value", "wanted"),
    [
        ("/namespace", 1, "/namespace: must be a string, not the number 1"),
        ("/namespace", None, "/namespace: must be a string, not null"),
        ("/namespace", "", "/namespace: must not be empty"),
        ("/namespace", LONG, "/namespace: has 81 characters, but 80 is the most"),
        ("/namespace", "a/b", "/namespace: cannot be 'a/b', which no path could have as a part"),
        ("/namespace", "..", "/namespace: cannot be '..', which no path could have as a part"),
        ("/display_name", LONG, "/display_name: has 81 characters, but 80 is the most"),
        ("/description", BIG, "/description: is longer than 65535 bytes"),
        ("/visibility", "shared", "/visibility: must be one of public, private, not 'shared'"),
        ("/visibility", [], "/visibility: must be one of public, private, not a list of length 0"),
        ("/protected", "true", "/protected: must be true or false, not a string of length 4"),
        ("/owner", "", "/owner: must not be empty"),
        ("/owner", "x" * 256, "/owner: has 256 characters, but 255 is the most"),
        ("/tags", {}, "/tags: must be a list, not an object"),
        ("/tags/1", "t", "/tags/1: must be an object, not a string of length 1"),
        ("/tags/1", {}, "/tags/1: has no member 'name'"),
        ("/tags/1", {"name": "t"}, "/tags/1/name: 't' stands there a second time"),
        ("/tags/1/name", LONG, "/tags/1/name: has 81 characters, but 80 is the most"),
        (
            "/resource_type_associations/0/prefix",
            LONG,
            "/resource_type_associations/0/prefix: has 81 characters, but 80 is the most",
        ),
        (
            "/resource_type_associations/1/properties_target",
            1,
            "/resource_type_associations/1/properties_target: must be a string, not the number 1",
        ),
        ("/properties", [], "/properties: must be an object, not a list of length 0"),
        ("/properties/a~1b", 1, "/properties/a~1b: must be an object, not the number 1"),
        ("/properties/p", {"title": "P"}, "/properties/p: has no member 'type'"),
        (
            "/properties/p/type",
            "text",
            "/properties/p/type: must be one of array, boolean, integer, number, object, string, "
            "not 'text'",
        ),
        (f"/properties/{LONG}", {"type": "string"}, f"/properties/{LONG}: has 81 characters, but"),
        ("/properties/p/title", 1, "/properties/p/title: must be a string, not the number 1"),
        ("/properties/p/minimum", True, "/properties/p/minimum: must be a number, not true"),
        ("/properties/p/maximum", "1", "/properties/p/maximum: must be a number, not a string of"),
        ("/properties/p/minLength", -1, "/properties/p/minLength: must be an integer of 0 or more"),
        ("/properties/p/maxItems", 1.0, "/properties/p/maxItems: must be an integer of 0 or more"),
        ("/properties/p/readonly", 0, "/properties/p/readonly: must be true or false, not the num"),
        ("/properties/p/enum", {}, "/properties/p/enum: must be a list, not an object"),
        ("/properties/p/operators", ["a", 1], "/properties/p/operators/1: must be a string, not"),
        ("/properties/p/items", [], "/properties/p/items: must be an object, not a list of"),
        ("/properties/p/items", {"type": 1}, "/properties/p/items/type: must be one of array,"),
        ("/properties/p/items", {"enum": 1}, "/properties/p/items/enum: must be a list, not the"),
        ("/properties/p/description", BIG, "/properties/p/description: is longer than 65535 bytes"),
        ("/properties/p/enum", ["x" * 40000] * 2, "/properties/p: takes more than 65535 bytes"),
        ("/objects/0/description", 1, "/objects/0/description: must be a string, not the number"),
        ("/objects/0/required", "a", "/objects/0/required: must be a list, not a string of"),
        ("/objects/0/required", ["a", ""], "/objects/0/required/1: must not be empty"),
        ("/objects/0/required", ["a,b"], "/objects/0/required/0: must not have a comma in it"),
        ("/objects/0/required", ["a", "a"], "/objects/0/required: has a name twice"),
        ("/objects/0/properties/a", 1, "/objects/0/properties/a: must be an object, not the"),
        ("/objects/1/name", "o", "/objects/1/name: 'o' stands there a second time"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(place: str, value: Any, wanted: str) -> None:
    found = problems(with_(place, value))
    assert any(problem.startswith(wanted) for problem in found), found
    # What is wrong in the whole is told once more only where it is too long in all.
    assert len(found) <= 2


def test_everything_wrong_is_told_at_once() -> None:
    document = with_("/tags/0/name", 1) | {"visibility": "no", "protected": 2}
    document["properties"]["p"]["type"] = "no"
    assert [problem.split(":")[0] for problem in problems(document)] == [
        "/visibility",
        "/protected",
        "/properties/p/type",
        "/tags/0/name",
    ]


def test_what_cannot_be_loaded_can_be_looked_at() -> None:
    definition, _ = read(json.dumps(WHOLE).encode())
    definition.parts[Kind.PROPERTY]["p"]["default"] = 2**70  # type: ignore[index]
    assert json.loads(render(definition))["properties"]["p"]["default"] == 2**70
