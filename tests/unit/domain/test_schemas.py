from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glance.domain.errors import ConfigError, Forbidden, GlanceError, Invalid, LimitExceeded
from glance.domain.image import INT_MAX, Image
from glance.domain.quotas import Quotas
from glance.domain.schemas import BASE_FIELDS, READ_ONLY, ImageValidator, assign, parse_create

VALIDATOR = ImageValidator(["raw", "qcow2"], ["bare", "ovf"])
CUSTOM = ImageValidator(
    ["raw"],
    ["bare"],
    {
        "properties": {
            "kernel_id": {"type": ["null", "string"], "pattern": "^k"},
            "cores": {"type": "integer"},
            "arch": {"type": "string", "default": "x86_64", "minLength": 2},
        },
        "required": ["kernel_id"],
    },
)
PREFIX = "Provided object does not match schema 'image': "
UUID = "3F2B9C1E-1111-4222-8333-44445555666A"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
storable = st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]))


def create(body: object, **kwargs: Any) -> Image:
    kwargs = {"default_owner": "me", "validator": VALIDATOR} | kwargs
    return parse_create(body, **kwargs)


def test_an_empty_description_gives_the_defaults() -> None:
    assert create({}, new_id=lambda: "new") == Image("new", owner="me")


def test_a_full_description() -> None:
    body = {
        "id": UUID, "name": "Web", "disk_format": "qcow2", "container_format": "bare",
        "visibility": "private", "protected": True, "os_hidden": True, "min_ram": 512,
        "min_disk": 10.0, "owner": "me", "tags": ["b", "a", "b"], "hw_x": "1", "ID": "2",
    }  # fmt: skip
    image = create(body, new_id=lambda: pytest.fail("an id was given"))
    assert image == Image(
        UUID.lower(), name="Web", disk_format="qcow2", container_format="bare",
        visibility="private", protected=True, os_hidden=True, min_ram=512, min_disk=10,
        owner="me", tags=["b", "a"], properties={"hw_x": "1", "ID": "2"},
    )  # fmt: skip
    assert isinstance(image.min_disk, int)


def test_identifiers_are_made_anew() -> None:
    assert create({}).id != create({}).id


@pytest.mark.parametrize("name", ["name", "disk_format", "container_format"])
def test_some_fields_may_be_null(name: str) -> None:
    assert getattr(create({name: None}), name) is None


@pytest.mark.parametrize("body", [None, [], [{}], "{}", 1, 1.5, True])
def test_a_body_that_is_no_object(body: object) -> None:
    with pytest.raises(Invalid) as caught:
        create(body)
    assert caught.value.message.startswith(PREFIX + "it must be a JSON object")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "7"), ("id", None), ("id", UUID + "\n"), ("name", 5), ("name", "x" * 256),
        ("disk_format", "floppy"), ("disk_format", 1), ("container_format", ""),
        ("visibility", "secret"), ("visibility", None), ("protected", "true"), ("protected", None),
        ("os_hidden", 1), ("owner", "x" * 256), ("owner", []), ("tags", "a"), ("tags", None),
        ("tags", ["x" * 256]), ("tags", ["a", 1]), ("min_ram", -1), ("min_ram", INT_MAX + 1),
        ("min_ram", True), ("min_ram", "1"), ("min_ram", None),
        pytest.param("min_ram", 10**5000, id="min_ram-huge"),
        ("min_disk", -1), ("min_disk", 1.5), ("min_disk", float("inf")),
        ("min_disk", float("nan")), ("size", "big"), ("checksum", "x" * 33),
        ("custom", None), ("custom", 1), ("custom", True), ("custom", ["x"]), ("custom", {}),
        ("a.b[0]{data}", 1), ("a\"b'c\\", 1),
    ],
)  # fmt: skip
def test_schema_violations_name_the_field(field: str, value: object) -> None:
    with pytest.raises(Invalid) as caught:
        create({"hw_fine": "1", field: value})
    message = caught.value.message
    assert message.startswith(PREFIX)
    assert field.split('"')[0] in message
    assert len(message) < 300


@pytest.mark.parametrize("bad", ["\x00", "\ud800", "\U00010000", "\U0010ffff", "ok\U0001f600"])
@pytest.mark.parametrize(
    "body",
    [
        lambda bad: {"name": bad},
        lambda bad: {"owner": bad},
        lambda bad: {"tags": ["fine", bad]},
        lambda bad: {bad: "value"},
        lambda bad: {"property": bad},
    ],
)
def test_what_no_database_holds_is_refused_everywhere(bad: str, body: Any) -> None:
    with pytest.raises(Invalid, match=r"U\+[0-9A-F]{4,6}"):
        create(body(bad))


@given(
    name=storable.filter(
        lambda name: (
            0 < len(name) <= 255
            and name not in BASE_FIELDS | {"location", "deleted", "deleted_at"}
            and not name.startswith("os_glance")
        )
    ),
    value=storable,
    tags=st.lists(storable, max_size=5),
)
def test_every_storable_text_comes_through(name: str, value: str, tags: list[str]) -> None:
    image = create({name: value, "name": value, "tags": tags})
    assert image.properties == {name: value}
    assert image.name == value
    assert image.tags == list(dict.fromkeys(tags))


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_names_have_a_length(name: str) -> None:
    with pytest.raises(Invalid, match="name") as caught:
        create({name: "1"})
    assert len(caught.value.message) < 200
    assert create({"x" * 255: "1"}).properties == {"x" * 255: "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("checksum", None), ("created_at", "now"), ("updated_at", "now"), ("size", 1),
        ("virtual_size", 1), ("status", "active"), ("self", "/"), ("file", "/"), ("schema", "/"),
        ("direct_url", "x"), ("stores", "a"), ("os_hash_algo", "md5"), ("os_hash_value", "ff"),
        ("location", "x"), ("deleted", "no"), ("deleted_at", "x"), ("locations", []),
        ("os_glance", "x"), ("os_glance_import_task", "x"),
    ],
)  # fmt: skip
def test_names_of_the_service(name: str, value: object) -> None:
    with pytest.raises(Forbidden, match=name):
        create({name: value})


@pytest.mark.parametrize("owner", ["other", None, ""])
def test_an_owner_is_taken_as_it_is_given(owner: str | None) -> None:
    """Whether it may be is the policy's business."""
    assert create({"owner": owner}).owner == owner


def test_quotas_count_when_an_image_is_made() -> None:
    tight = Quotas(image_property_quota=1, image_tag_quota=1)
    assert create({"tags": ["a", "a"], "p": "1"}, quotas=tight).tags == ["a"]
    with pytest.raises(LimitExceeded):
        create({"p": "1", "q": "2"}, quotas=tight)
    with pytest.raises(LimitExceeded):
        create({"tags": ["a", "b"]}, quotas=tight)


def test_custom_properties_of_the_operator() -> None:
    assert create({"kernel_id": None}, validator=CUSTOM).properties == {"kernel_id": None}
    assert create({"kernel_id": "k1"}, validator=CUSTOM).properties == {"kernel_id": "k1"}
    for body, field in (
        ({"kernel_id": "x"}, "kernel_id"),
        ({"kernel_id": "k", "arch": "x"}, "arch"),
        ({"kernel_id": "k", "cores": 4}, "cores"),
        ({"kernel_id": "k", "cores": "4"}, "cores"),
        ({"kernel_id": "k", "other": None}, "other"),
        ({}, "kernel_id"),
    ):
        with pytest.raises(Invalid, match=field):
            create(body, validator=CUSTOM)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": "x"}, "'id' must be a UUID."),
        ({"kernel_id": "x"}, "'kernel_id' must match ^k."),
        ({"arch": "x"}, "'arch' breaks the rule minLength: a string of length 1 was given."),
        ({"name": 1}, "'name' must be of type null or string, not the number 1."),
        (
            {"name": "x" * 256},
            "'name' must be a string of length 255 at most, not a string of length 256.",
        ),
        ({"disk_format": "iso"}, "'disk_format' must be one of null, raw, not 'iso'."),
        (
            {"disk_format": ["iso"]},
            "'disk_format' must be of type null or string, not a list of length 1.",
        ),
        ({"min_ram": -1}, "'min_ram' must be from 0 to 2147483647, not the number -1."),
    ],
)
def test_what_a_refusal_says(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        CUSTOM.validate_fields(fields)
    assert caught.value.message == PREFIX + words


def test_required_properties_are_not_asked_of_a_change() -> None:
    CUSTOM.validate_fields({"name": "x"})
    with pytest.raises(Invalid, match="kernel_id"):
        CUSTOM.validate_fields({"kernel_id": "x"})


@pytest.mark.parametrize("schema", [{"type": "word"}, {"type": "string", "pattern": "("}])
def test_a_useless_custom_schema_is_a_configuration_error(schema: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"schema-image\.json"):
        ImageValidator(["raw"], ["bare"], {"arch": schema})


def test_the_service_may_change_what_clients_may_not() -> None:
    assert READ_ONLY < BASE_FIELDS
    image = Image("x")
    assign(image, "os_glance_import_task", "task")
    assert image.properties == {"os_glance_import_task": "task"}


@given(json_values | st.dictionaries(st.sampled_from(sorted(BASE_FIELDS)), json_values))
@example({"visibility": float("nan")})
@example({"owner": None})
def test_any_body_makes_an_image_or_a_plain_refusal(body: object) -> None:
    try:
        image = create(body)
    except GlanceError as error:
        assert error.message
    else:
        assert isinstance(body, dict)
        assert image.owner == body.get("owner", "me")
        assert image.status == "queued"
        assert all(isinstance(value, str) for value in image.properties.values())


@given(st.dictionaries(st.text(), json_values))
def test_descriptions_are_not_changed(body: dict[str, Any]) -> None:
    before = repr(body)
    with suppress(GlanceError):
        create(body, validator=CUSTOM)
    assert repr(body) == before
