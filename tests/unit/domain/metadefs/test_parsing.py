"""What clients may say of metadata definitions, and what becomes of it."""

from typing import Any

import orjson
import pytest

from glance.domain.errors import Duplicate, Forbidden, Invalid
from glance.domain.metadefs.model import Association, Namespace, Object, Property, Tag
from glance.domain.metadefs.parsing import (
    parse_association,
    parse_namespace,
    parse_namespace_change,
    parse_object,
    parse_property,
    parse_tag,
    parse_tag_name,
    parse_tags,
)

SMALL = {"type": "string", "title": "t"}
LONG = "x" * 81
WIDE = "\U0001f600"
#: More together than MariaDB keeps in one text.
MANY = [f"{number:070}" for number in range(1000)]
WORDY = {**SMALL, "description": "x" * 30000}


def of(namespace: object = None, **fields: Any) -> Namespace:
    return parse_namespace({"namespace": namespace or "Acme", **fields}, "p1")


def test_a_new_namespace_gets_defaults() -> None:
    assert of() == Namespace("Acme", "p1", "private", False)
    assert parse_namespace({"namespace": "Acme"}, None).owner == "admin"
    assert of(owner="").owner == "p1"


def test_a_whole_namespace() -> None:
    made = of(
        display_name="d", description="", visibility="public", protected=True, owner="p2",
        resource_type_associations=[{"name": "OS::A", "prefix": "a_"}, {"name": "OS::B"}],
        properties={"p": SMALL},
        objects=[{"name": "o", "description": "d", "required": ["q"], "properties": {"q": SMALL}}],
        tags=[{"name": "b"}, {"name": "a"}],
    )  # fmt: skip
    assert made == Namespace(
        "Acme", "p2", "public", True, "d", "",
        associations=[Association("OS::A", "a_"), Association("OS::B")],
        properties=[Property("p", SMALL)],
        objects=[Object("o", "d", ["q"], {"q": SMALL})],
        tags=[Tag("b"), Tag("a")],
    )  # fmt: skip


def test_what_an_answer_holds_can_be_sent_again() -> None:
    """But for what is said of the namespace itself: there it would be taken for a wish."""
    times = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    made = of(
        resource_type_associations=[{"name": "OS::A", **times}],
        objects=[{"name": "o", **times, "self": "/v2/…", "schema": "/v2/…", "required": []}],
        tags=[{"name": "a", **times}],
        properties={"p": {**SMALL, "name": "p"}},
    )
    assert (made.associations, made.objects) == ([Association("OS::A")], [Object("o")])
    assert (made.tags, made.properties) == ([Tag("a")], [Property("p", SMALL)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"namespace": LONG}, "string of length 80 at most"),
        ({"namespace": WIDE}, "U\\+1F600"),
        ({"namespace": "a/b"}, "'a/b' cannot be the name of a namespace"),
        ({"namespace": ".."}, "'..' cannot be the name"),
        ({"namespace": ""}, "must be given, and not be empty"),
        ({"namespace": 1}, "'namespace' must be of type string, not the number 1"),
        ({"display_name": LONG}, "'display_name' must be a string of length 80"),
        ({"display_name": None}, "'display_name' must be of type string, not null"),
        ({"display_name": WIDE}, "display_name contains the character"),
        ({"description": "x" * 501}, "length 500"),
        ({"owner": "x" * 256}, "length 255"),
        ({"owner": "\0"}, "owner contains"),
        ({"visibility": "shared"}, "one of public, private, not 'shared'"),
        ({"protected": "yes"}, "boolean"),
        ({"colour": "red"}, "'colour' is not one of namespace, display_name"),
        ({"tags": {}}, "'tags' must be of type array"),
        ({"tags": [{}]}, "name of a tag must be given"),
        ({"tags": [{"name": "a", "weight": 1}]}, "A tag has 'weight', which is not one of name"),
        ({"objects": [{"description": "a"}]}, "name of an object must be given"),
        ({"objects": [{"name": "o", "weight": 1}]}, "Object 'o' has 'weight'"),
        ({"objects": [{"name": LONG}]}, "name of an object must be a string of length 80"),
        ({"objects": [{"name": "o", "description": WIDE}]}, "Object 'o': description"),
        ({"objects": [{"name": "o", "required": ["a,b"]}]}, "must not contain a comma"),
        ({"objects": [{"name": "o", "required": [""]}]}, "must not be empty"),
        ({"objects": [{"name": "o", "required": [LONG]}]}, "in required must be a string of"),
        ({"objects": [{"name": "o", "required": ["\0"]}]}, "in required contains"),
        ({"objects": [{"name": "o", "required": MANY}]}, "required takes 70999 bytes, but 65535"),
        ({"objects": [{"name": "o", "description": "é" * 32768}]}, "takes 65536 bytes"),
        (
            {"objects": [{"name": "o", "properties": dict.fromkeys(("a", "b", "c"), WORDY)}]},
            "Object 'o': properties takes",
        ),
        ({"properties": {"p": {**SMALL, "enum": MANY}}}, "Property 'p' takes"),
        ({"properties": {"p": {**SMALL, "title": "\0"}}}, "'p' contains the character U\\+0000"),
        ({"properties": {"p": {**SMALL, "enum": ["a", "\0"]}}}, "U\\+0000"),
        ({"properties": {"p": {**SMALL, "default": "\0"}}}, "U\\+0000"),
        (
            {"properties": {"p": {**SMALL, "items": {"type": "string", "enum": ["\0"]}}}},
            "U\\+0000",
        ),
        ({"objects": [{"name": "o", "required": ["a", "a"]}]}, "uniqueItems"),
        ({"objects": [{"name": "o", "properties": {"": SMALL}}]}, "name of a property"),
        ({"properties": {"p": {"type": "string"}}}, "title must be given for 'properties.p'"),
        ({"properties": {"p": {**SMALL, "type": "text"}}}, "must be one of array"),
        ({"properties": {"p": {**SMALL, "colour": 1}}}, "Property 'p' has 'colour'"),
        ({"properties": {"a/b": SMALL}}, "cannot be the name of a property"),
        ({"resource_type_associations": [{"prefix": "a"}]}, "name of a resource type must be"),
        ({"resource_type_associations": [{"name": "a", "prefix": LONG}]}, "prefix must be"),
        ({"resource_type_associations": [{"name": "a", "x": 1}]}, "association has 'x'"),
    ],
)
def test_what_a_namespace_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        parse_namespace({"namespace": "Acme", **fields}, "p1")


@pytest.mark.parametrize("body", [[], 3, None, "x", {}, {"display_name": "d"}])
def test_what_is_no_namespace(body: object) -> None:
    for parse in (parse_namespace, parse_namespace_change):
        with pytest.raises(Invalid, match="does not match schema 'namespace'"):
            parse(body, "p1")


def test_twice_the_same() -> None:
    for part in ("tags", "objects", "resource_type_associations"):
        with pytest.raises(Duplicate, match="'a' is there twice"):
            of(**{part: [{"name": "a"}, {"name": "b"}, {"name": "a"}]})
    with pytest.raises(Duplicate):
        parse_tags({"tags": [{"name": "a"}, {"name": "a"}]})


@pytest.mark.parametrize("field", ["self", "schema", "created_at", "updated_at"])
def test_what_only_the_service_sets(field: str) -> None:
    for parse in (parse_namespace, parse_namespace_change):
        with pytest.raises(Forbidden, match=f"Attribute {field} is read-only"):
            parse({"namespace": "Acme", field: "x"}, "p1")
    with pytest.raises(Forbidden):
        parse_object({"name": "o", field: "x"})
    if field in ("created_at", "updated_at"):
        for parse_one in (parse_association, parse_tag):
            with pytest.raises(Forbidden):
                parse_one({"name": "o", field: "x"})


def test_a_change_leaves_what_it_defines() -> None:
    change = parse_namespace_change(
        {"namespace": "New", "tags": [{"name": "a"}], "visibility": "public"}, "p1"
    )
    assert change == Namespace("New", "p1", "public")
    assert parse_namespace_change({"namespace": "New"}, None).owner == ""


def test_a_property() -> None:
    whole = {
        "type": "array", "title": "t", "description": "d", "operators": ["<or>"], "default": "x",
        "required": ["a"], "readonly": True, "minimum": 1.5, "maximum": 3, "enum": ["a", "a"],
        "pattern": "[", "minLength": 0, "maxLength": 2, "items": {"type": "string", "enum": ["a"]},
        "uniqueItems": False, "minItems": 1, "maxItems": 2, "additionalItems": False,
    }  # fmt: skip
    made = parse_property({"name": "p", **dict(reversed(whole.items()))})
    assert made == Property("p", whole)
    assert list(made.schema) == list(whole)


@pytest.mark.parametrize(
    ("default", "kept"),
    [(3, "3"), (1.5, "1.5"), (True, "True"), (False, "False"), ("", ""), ("x", "x"), (None, None)],
)
def test_defaults_are_text(default: object, kept: str | None) -> None:
    assert parse_property({"name": "p", **SMALL, "default": default}).schema.get("default") == kept


def test_counts_are_whole_numbers() -> None:
    made = parse_property({"name": "p", **SMALL, "minLength": 1.0}).schema["minLength"]
    assert (made, type(made)) == (1, int)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"default": ["a"]}, "default must be a string, a number or a boolean, not a list"),
        ({"default": {}}, "default must be"),
        ({"enum": [1]}, "enum must be a list of strings; it has the number 1"),
        ({"items": {}}, "items must have a type"),
        ({"items": {"type": "string", "enum": [None]}}, "enum of items must be a list of strings"),
        ({"items": {"type": "string", "minimum": 1}}, "items has 'minimum'"),
        ({"minLength": -1}, "minimum"),
        ({"maxLength": 2**31}, "maxLength must be at most 2147483647"),
        ({"maxItems": 1e30}, "maxItems must be at most"),
        ({"minimum": 2**63}, "minimum is too large a number"),
        ({"maximum": -(2**63) - 1}, "maximum is too large a number"),
        ({"description": WIDE}, "Property 'p' contains the character U\\+1F600"),
        ({"confidential": True}, "'confidential' is not one of"),
        ({"name": LONG}, "length 80"),
        ({"type": None}, "of type string"),
    ],
)
def test_what_a_property_cannot_have(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        parse_property({"name": "p", **SMALL, **fields})


def test_what_is_confidential_can_be_said_of_a_whole_namespace() -> None:
    assert (
        of(properties={"p": {**SMALL, "confidential": True}}).properties[0].schema["confidential"]
    )


def test_the_largest_that_a_property_may_have() -> None:
    bounds = {"minimum": -(2**63), "maximum": 2**63 - 1}
    assert parse_property({"name": "p", **SMALL, **bounds}).schema == SMALL | bounds
    assert parse_property({"name": "p", **SMALL, "maximum": 1e300}).schema["maximum"] == 1e300
    description = "é" * 32767
    assert parse_object({"name": "o", "description": description}).description == description


@pytest.mark.parametrize("levels", [10, 200, 1000])
def test_what_is_nested_deeply(levels: int) -> None:
    deep = orjson.loads("[" * levels + "]" * levels)
    of_names: list[dict[str, Any]] = [
        {"required": [deep, "a"]}, {"properties": {"p": {**SMALL, "required": [deep, "a"]}}},
    ]  # fmt: skip
    for fields in of_names:
        with pytest.raises(Invalid, match="does not match schema 'object'"):
            parse_object({"name": "o", **fields})
    for fields in ({"enum": deep}, {"default": deep}, {"operators": deep}, {"items": deep}):
        with pytest.raises(Invalid):
            parse_property({"name": "p", **SMALL, **fields})


def test_tags() -> None:
    assert parse_tag({"name": "a"}) == parse_tag_name("a") == Tag("a")
    assert parse_tags({"tags": [{"name": "b"}, {"name": "a"}]}) == [Tag("b"), Tag("a")]
    assert parse_tags({"tags": []}) == []
    for body in (
        {},
        [],
        {"tags": None},
        {"tags": [], "first": "x"},
        {"tags": ["a"]},
        {"tags": [{}]},
        {"tags": [[]]},
        {"tags": [["name"]]},
        {"tags": [None]},
        {"tags": [3]},
        {"tags": [{"name": LONG}]},
    ):
        with pytest.raises(Invalid):
            parse_tags(body)
    for name in (LONG, WIDE, "."):
        with pytest.raises(Invalid):
            parse_tag_name(name)


def test_an_association() -> None:
    body = {"name": "OS::A", "prefix": "", "properties_target": "image"}
    assert parse_association(body) == Association("OS::A", "", "image")
    for wrong in ({}, {"name": "a", "prefix": None}, {"name": "a", "prefix": LONG}):
        with pytest.raises(Invalid, match="'resource_type_association'"):
            parse_association(wrong)
