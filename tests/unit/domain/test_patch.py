from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import Conflict, Forbidden, GlanceError, Invalid, LimitExceeded
from glance.domain.image import (
    ACTIVE,
    DEACTIVATED,
    IMPORTING,
    INT_MAX,
    QUEUED,
    SAVING,
    Image,
    Location,
)
from glance.domain.patch import Operation, apply, parse_v20, parse_v21
from glance.domain.quotas import Quotas
from glance.domain.schemas import BASE_FIELDS, ImageValidator

VALIDATOR = ImageValidator(
    ["raw", "qcow2"], ["bare"], {"kernel_id": {"type": ["null", "string"], "pattern": "^k"}}
)
READ_ONLY = [
    "created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self",
    "file", "schema", "id", "os_hash_algo", "os_hash_value", "stores",
]  # fmt: skip
RESERVED = ["location", "deleted", "deleted_at", "os_glance", "os_glance_import_task"]
SETTABLE = [
    "name", "visibility", "protected", "os_hidden", "owner", "container_format", "disk_format",
    "min_ram", "min_disk", "tags",
]  # fmt: skip


def an_image(**fields: Any) -> Image:
    fields = {"properties": {"arch": "arm", "a/b~c": "odd"}, "tags": ["one", "two"]} | fields
    return Image("some-id", owner="me", created_at=datetime(2026, 1, 1), **fields)


def patched(
    *items: dict[str, Any],
    image: Image | None = None,
    is_admin: bool = False,
    quotas: Quotas = Quotas(),  # noqa: B008
    **kwargs: Any,
) -> Image:
    return apply(
        image or an_image(), parse_v21(list(items)), is_admin=is_admin, validator=VALIDATOR,
        quotas=quotas, **kwargs,
    )  # fmt: skip


def add(path: str, value: object) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def swap(path: str, value: object) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def drop(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def test_the_newer_form() -> None:
    body = [
        {"op": "add", "path": "/a", "value": None},
        {"op": "replace", "path": "/b~1c~0d~01", "value": [1]},
        {"op": "remove", "path": "/e", "value": "of no meaning", "more": 1},
        {"op": "add", "path": "/locations/-", "value": {}},
        {"op": "remove", "path": "/locations/12"},
        {"op": "replace", "path": "/locations", "value": []},
    ]
    assert parse_v21(body) == [
        Operation("add", ("a",), None),
        Operation("replace", ("b/c~d~1",), [1]),
        Operation("remove", ("e",)),
        Operation("add", ("locations", "-"), {}),
        Operation("remove", ("locations", "12")),
        Operation("replace", ("locations",), []),
    ]


def test_the_older_form() -> None:
    body = [{"add": "/a", "value": 1}, {"replace": "/b", "value": 2}, {"remove": "/c"}]
    assert parse_v20(body) == [
        Operation("add", ("a",), 1, exclusive=True),
        Operation("replace", ("b",), 2),
        Operation("remove", ("c",)),
    ]


@pytest.mark.parametrize("parse", [parse_v20, parse_v21])
def test_no_changes_are_fine(parse: Any) -> None:
    assert parse([]) == []
    image = an_image()
    changed = apply(image, [], is_admin=False, validator=VALIDATOR, quotas=Quotas())
    assert changed == image
    assert changed is not image


@pytest.mark.parametrize("parse", [parse_v20, parse_v21])
@pytest.mark.parametrize("body", [None, {}, "x", 1, True, [1], ["x"], [None], [[]], [{}]])
def test_bodies_of_another_shape(parse: Any, body: object) -> None:
    with pytest.raises(Invalid):
        parse(body)


@pytest.mark.parametrize(
    "item",
    [
        {"path": "/a", "value": 1},
        {"op": "put", "path": "/a", "value": 1},
        {"op": "Add", "path": "/a", "value": 1},
        {"op": ["add"], "path": "/a", "value": 1},
        {"op": {"add": 1}, "path": "/a", "value": 1},
        {"op": None, "path": "/a", "value": 1},
        {"op": "move", "path": "/a", "from": "/b"},
        {"op": "copy", "path": "/a", "from": "/b"},
        {"op": "test", "path": "/a", "value": 1},
        {"op": "add", "value": 1},
        {"op": "add", "path": None, "value": 1},
        {"op": "add", "path": ["a"], "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "replace", "path": "/a"},
        {"add": "/a", "value": 1},
    ],
)
def test_the_newer_form_refuses(item: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse_v21([add("/fine", "x"), item])


@pytest.mark.parametrize(
    ("op", "word"), [("move", "not supported"), ("put", "unknown"), (None, "missing")]
)
def test_an_operation_that_others_know_is_told_from_a_wrong_one(op: str | None, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        parse_v21([{"op": op, "path": "/a", "value": 1}])


@pytest.mark.parametrize(
    "item",
    [
        {"value": 1},
        {"add": "/a", "replace": "/a", "value": 1},
        {"add": "/a"},
        {"replace": "/a"},
        {"add": 1, "value": 1},
        {"test": "/a", "value": 1},
        {"move": "/a", "to": "/b"},
        {"op": "add", "path": "/a", "value": 1},
    ],
)
def test_the_older_form_refuses(item: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse_v20([item])


@pytest.mark.parametrize(
    "path",
    [
        "", "a", "name", "xname", "/", "//", "/a/", "//a", "/a//b", "/a~", "/a~2b", "/~", "/a/b",
        "/tags/-", "/tags/0", "/tags/one", "/locations/0/url", "/locations//0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("op", ["add", "replace", "remove"])
def test_paths_that_lead_nowhere(op: str, path: str) -> None:
    with pytest.raises(Invalid):
        parse_v21([{"op": op, "path": path, "value": 1}])
    with pytest.raises(Invalid):
        parse_v20([{op: path, "value": 1}])


@pytest.mark.parametrize(
    ("op", "path"),
    [
        ("add", "/locations"), ("remove", "/locations"), ("replace", "/locations/0"),
        ("add", "/locations/x"), ("remove", "/locations/-1"), ("add", "/locations/٣"),
    ],
)  # fmt: skip
def test_paths_to_locations_have_their_depth(op: str, path: str) -> None:
    with pytest.raises(Invalid):
        parse_v21([{"op": op, "path": path, "value": []}])


@given(st.text(min_size=1))
def test_any_name_can_be_written_as_a_pointer(name: str) -> None:
    if name == "locations":
        return
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert parse_v21([drop(pointer)])[0].path == (name,)


@pytest.mark.parametrize("write", [add, swap])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "new"), ("name", None), ("visibility", "private"), ("visibility", "public"),
        ("protected", True), ("os_hidden", True), ("container_format", "bare"),
        ("container_format", None), ("disk_format", "qcow2"), ("disk_format", None),
        ("min_ram", INT_MAX), ("min_disk", 0), ("tags", ["x"]), ("tags", []),
    ],
)  # fmt: skip
def test_fields_are_set(write: Any, field: str, value: object) -> None:
    changed = patched(write(f"/{field}", value))
    assert changed == an_image(**{field: value})


@pytest.mark.parametrize("write", [add, swap])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 1), ("name", "x" * 256), ("visibility", None), ("visibility", "secret"),
        ("protected", "true"), ("protected", None), ("os_hidden", 1), ("disk_format", "floppy"),
        ("container_format", 1), ("min_ram", -1), ("min_disk", INT_MAX + 1), ("min_ram", None),
        ("tags", "x"), ("tags", ["x" * 256]), ("tags", None), ("owner", 1), ("arch", None),
        ("arch", 1), ("arch", True), ("arch", ["x"]), ("arch", {}), ("x" * 256, "1"),
        ("kernel_id", "x"), ("arch", "\x00"), ("arch\U0001f600", "x"),
    ],
)  # fmt: skip
def test_values_meet_the_schema(write: Any, field: str, value: object) -> None:
    with pytest.raises(Invalid):
        patched(write(f"/{field}", value), is_admin=True)


def test_tags_lose_their_duplicates_and_numbers_become_integers() -> None:
    changed = patched(swap("/tags", ["b", "a", "b"]), swap("/min_ram", 512.0))
    assert changed.tags == ["b", "a"]
    assert isinstance(changed.min_ram, int)


def test_custom_properties() -> None:
    changed = patched(
        add("/arch", "x86"), add("/new", "1"), swap("/a~1b~0c", "even"), add("/gone", ""),
        drop("/gone"), add("/kernel_id", None),
    )  # fmt: skip
    assert changed.properties == {
        "arch": "x86", "a/b~c": "even", "new": "1", "kernel_id": None,
    }  # fmt: skip


@pytest.mark.parametrize("change", [swap("/absent", "1"), drop("/absent")])
def test_a_property_that_is_not_there(change: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match="absent"):
        patched(change)


def test_the_order_of_changes_counts() -> None:
    assert patched(add("/new", "1"), swap("/new", "2")).properties["new"] == "2"
    with pytest.raises(Conflict):
        patched(swap("/new", "2"), add("/new", "1"))
    with pytest.raises(Conflict):
        patched(drop("/arch"), drop("/arch"))


@pytest.mark.parametrize("name", SETTABLE)
def test_fields_are_not_removed(name: str) -> None:
    with pytest.raises(Forbidden, match=name):
        patched(drop(f"/{name}"), is_admin=True)


@pytest.mark.parametrize("name", READ_ONLY + RESERVED)
@pytest.mark.parametrize("is_admin", [False, True])
def test_names_of_the_service(name: str, is_admin: bool) -> None:
    image = an_image(properties={name: "left by another service"})
    for change in (add(f"/{name}", "x"), swap(f"/{name}", "x"), drop(f"/{name}")):
        with pytest.raises(Forbidden, match=name):
            patched(change, image=image, is_admin=is_admin)


def test_the_lists_above_are_complete() -> None:
    assert {*SETTABLE, *READ_ONLY, "locations"} == BASE_FIELDS


@pytest.mark.parametrize("name", ["name", "tags", "owner", "arch"])
def test_the_older_add_does_not_overwrite(name: str) -> None:
    value = ["x"] if name == "tags" else "x"
    operations = parse_v20([{"add": f"/{name}", "value": value}])
    with pytest.raises(Conflict, match=name):
        apply(an_image(), operations, is_admin=True, validator=VALIDATOR, quotas=Quotas())


def test_the_older_add_adds() -> None:
    operations = parse_v20([{"add": "/new", "value": "x"}])
    changed = apply(
        an_image(), operations, is_admin=False, validator=VALIDATOR, quotas=Quotas()
    )  # fmt: skip
    assert changed.properties["new"] == "x"


@pytest.mark.parametrize("field", ["disk_format", "container_format"])
@pytest.mark.parametrize("status", [QUEUED, IMPORTING, SAVING, ACTIVE, DEACTIVATED])
def test_formats_are_fixed_once_there_is_data(field: str, status: str) -> None:
    other = {"disk_format": "qcow2", "container_format": "bare"}[field]
    image = an_image(status=status, disk_format="raw", container_format="bare")
    for value, open_to in ((other, (QUEUED, IMPORTING)), (None, (QUEUED,))):
        if status in open_to:
            assert getattr(patched(swap(f"/{field}", value), image=image), field) == value
        else:
            with pytest.raises(Forbidden, match=field):
                patched(swap(f"/{field}", value), image=image)


@pytest.mark.parametrize("status", [SAVING, ACTIVE, DEACTIVATED])
def test_other_fields_change_in_any_state(status: str) -> None:
    changed = patched(swap("/name", "new"), add("/p", "1"), image=an_image(status=status))
    assert (changed.name, changed.properties["p"], changed.status) == ("new", "1", status)


@pytest.mark.parametrize("write", [add, swap])
def test_only_an_administrator_gives_an_image_away(write: Any) -> None:
    with pytest.raises(Forbidden, match="owner"):
        patched(write("/owner", "other"))
    assert patched(write("/owner", "other"), is_admin=True).owner == "other"
    assert patched(write("/owner", None), is_admin=True).owner is None


@pytest.mark.parametrize(
    "change", [add("/locations/-", {}), swap("/locations", []), drop("/locations/0")]
)
def test_locations_are_out_of_reach_where_they_are_hidden(change: dict[str, Any]) -> None:
    image = an_image(locations=[Location("file:///x")])
    with pytest.raises(Forbidden, match="show_multiple_locations"):
        patched(change, image=image, is_admin=True)


def test_the_property_quota_counts_when_names_are_added() -> None:
    full = an_image(properties={"a": "1", "b": "2", "os_glance_x": "3"})
    two = Quotas(image_property_quota=2)
    assert patched(swap("/a", "9"), image=full, quotas=two).properties["a"] == "9"
    assert "c" in patched(drop("/a"), add("/c", "1"), image=full, quotas=two).properties
    with pytest.raises(LimitExceeded):
        patched(add("/c", "1"), image=full, quotas=two)
    over = an_image(properties={"a": "1", "b": "2", "c": "3"})
    assert patched(add("/name", "x"), drop("/a"), image=over, quotas=Quotas(1)).name == "x"
    assert len(patched(add("/d", "1"), image=over, quotas=Quotas(-1)).properties) == 4


def test_the_tag_quota_counts_when_tags_are_added() -> None:
    two = Quotas(image_tag_quota=2)
    assert patched(swap("/tags", ["three", "four"]), quotas=two).tags == ["three", "four"]
    with pytest.raises(LimitExceeded):
        patched(swap("/tags", ["one", "two", "three"]), quotas=two)
    over = an_image(tags=["one", "two", "three", "four"])
    assert patched(swap("/tags", ["four", "one", "two"]), image=over, quotas=two).tags == [
        "four", "one", "two",
    ]  # fmt: skip
    assert len(patched(swap("/tags", list("abcd")), quotas=Quotas(image_tag_quota=-1)).tags) == 4


names = st.sampled_from([*SETTABLE, *READ_ONLY, *RESERVED, "arch", "new", "other"])
values = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    | st.sampled_from(["raw", "bare", "public", "x86"]) | st.lists(st.text(max_size=3), max_size=3)
)  # fmt: skip
changes = st.builds(
    lambda op, name, value: {"op": op, "path": f"/{name}", "value": value},
    st.sampled_from(["add", "replace", "remove"]),
    names,
    values,
)


@given(st.lists(changes, max_size=4), st.booleans(), st.sampled_from([QUEUED, ACTIVE]))
def test_any_changes_leave_the_image_and_what_is_not_theirs_alone(
    items: list[dict[str, Any]], is_admin: bool, status: str
) -> None:
    image = an_image(status=status, disk_format="qcow2", locations=[Location("file:///x")])
    before = deepcopy(image)
    try:
        changed = patched(*items, image=image, is_admin=is_admin)
    except GlanceError:
        assert image == before
        return
    assert image == before
    touched = {item["path"][1:] for item in items}
    for field in ("id", "status", "size", "checksum", "created_at", "locations"):
        assert getattr(changed, field) == getattr(before, field)
    for field in set(SETTABLE) - touched:
        assert getattr(changed, field) == getattr(before, field)
    for name in {"arch", "a/b~c", "new", "other"} - touched:
        assert changed.properties.get(name) == before.properties.get(name)
    changed.properties["p"] = "x"
    changed.tags.append("x")
    changed.locations.clear()
    assert image == before


@given(
    st.dictionaries(st.sampled_from("abcd"), st.text("xyz", max_size=2)),
    st.lists(
        st.tuples(
            st.sampled_from(["add", "replace", "remove"]),
            st.sampled_from("abcdef"),
            st.text("xyz", max_size=2),
        ),
        max_size=8,
    ),
)
def test_properties_behave_like_a_dictionary(
    start: dict[str, str], steps: list[tuple[str, str, str]]
) -> None:
    model = dict(start)
    conflict = False
    for op, name, value in steps:
        if op != "add" and name not in model:
            conflict = True
            break
        if op == "remove":
            del model[name]
        else:
            model[name] = value
    items = [{"op": op, "path": f"/{name}", "value": value} for op, name, value in steps]
    image = an_image(properties=dict(start))
    if conflict:
        with pytest.raises(Conflict):
            patched(*items, image=image)
    else:
        assert patched(*items, image=image).properties == model
    assert image.properties == start
