from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.image import Image, Location
from glance.domain.rendering import render_image
from glance.domain.schemas import ImageValidator, parse_create
from glance.replicate.documents import (
    DONT_REPLICATE,
    creation_body,
    read_image,
    read_members,
    without,
)
from glance.replicate.errors import BadDocument
from glance.replicate.record import ImageRecord
from tests.unit.replicate.strategies import records

ID = "11111111-1111-4111-8111-111111111111"
MD5 = "9e107d9d372bb6826bd81d3542a419d6"

VALIDATOR = ImageValidator(["raw", "qcow2"], ["bare"])


def document(**members):
    return {"id": ID, "status": "active", **members}


def test_of_what_a_service_shows_what_is_copied_is_kept():
    image = Image(
        ID,
        status="active",
        name="n",
        disk_format="raw",
        container_format="bare",
        visibility="public",
        size=3,
        virtual_size=9,
        checksum=MD5.upper(),
        protected=True,
        min_ram=1,
        min_disk=2,
        owner="p",
        os_hidden=True,
        os_hash_algo="sha256",
        os_hash_value="AB",
        created_at=datetime(2026, 1, 1),
        updated_at=datetime(2026, 1, 2),
        properties={"os_distro": "debian", "os_glance_import_task": "t", "empty": None},
        tags=["b", "a"],
        locations=[Location("file:///secret", {"store": "s"})],
    )
    shown = render_image(
        image, show_direct_url=True, show_multiple_locations=True, stores_enabled=True
    )
    record = read_image(shown, "here")
    assert record == ImageRecord(
        ID,
        "active",
        size=3,
        checksum=MD5,
        hash_algorithm="sha256",
        hash_value="ab",
        fields={
            "name": "n",
            "disk_format": "raw",
            "container_format": "bare",
            "visibility": "public",
            "owner": "p",
            "protected": True,
            "os_hidden": True,
            "min_disk": 2,
            "min_ram": 1,
        },
        tags=frozenset({"a", "b"}),
        properties={"os_distro": "debian", "empty": ""},
        created_at="2026-01-01T00:00:00Z",
        updated_at="2026-01-02T00:00:00Z",
    )
    assert "secret" not in repr(record)


def test_null_says_that_there_is_no_name_but_nothing_of_numbers():
    nulls = dict.fromkeys(["name", "owner", "disk_format", "min_disk", "protected", "visibility"])
    assert read_image(document(**nulls), "").fields == {
        "name": None,
        "owner": None,
        "disk_format": None,
    }
    assert read_image(document(), "").fields == {}


def test_a_hash_without_its_algorithm_is_none():
    for half in ({"os_hash_algo": "md5"}, {"os_hash_value": "ab"}, {"os_hash_algo": None}):
        record = read_image(document(**half), "")
        assert (record.hash_algorithm, record.hash_value) == (None, None)


def test_members_come_along_or_apart_and_a_property_may_have_their_name():
    listed = [{"member_id": "p", "status": "accepted", "image_id": ID, "schema": "/x"}]
    record = read_image(document(members=listed), "")
    assert (record.members, record.properties) == ({"p": "accepted"}, {})
    record = read_image(document(members="five"), "", read_members({"members": listed}, ""))
    assert (record.members, record.properties) == ({"p": "accepted"}, {"members": "five"})
    assert read_image(document(), "").members is None


def test_properties_of_other_types_become_text():
    record = read_image(document(a=1, b=True, c=1.5, d=None, e=False), "")
    assert record.properties == {"a": "1", "b": "true", "c": "1.5", "d": "", "e": "false"}


@pytest.mark.parametrize(
    ("odd", "place"),
    [
        ({"id": "../x"}, "/id"),
        ({"id": None}, "/id"),
        ({"id": ID + "\n"}, "/id"),
        ({"status": None}, "/status"),
        ({"size": -1}, "/size"),
        ({"size": True}, "/size"),
        ({"size": "1"}, "/size"),
        ({"min_disk": 1.5}, "/min_disk"),
        ({"min_ram": 1e300}, "/min_ram"),
        ({"protected": "yes"}, "/protected"),
        ({"name": 5}, "/name"),
        ({"checksum": "xyz"}, "/checksum"),
        ({"tags": "a"}, "/tags"),
        ({"tags": ["a", 1]}, "/tags/1"),
        ({"a/b~c": []}, "/a~1b~0c"),
        ({"members": [{"member_id": "p"}]}, "/members/0/status"),
        ({"members": ["p"]}, "/members/0"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(odd, place):
    with pytest.raises(BadDocument) as caught:
        read_image(document(**odd), "image 5 of host:9292")
    assert caught.value.message.startswith(f"image 5 of host:9292: {place} must be ")


def test_what_is_no_object_is_refused():
    with pytest.raises(BadDocument, match="here: it must be an object, not a list of length 0"):
        read_image([], "here")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["id", "status", "size", "tags", "name", "members", "min_ram", "checksum"])
        | st.text(max_size=5),
        JSON | st.just(ID),
    )
)
def test_anything_is_read_or_refused(odd):
    try:
        read_image(odd, "here")
    except BadDocument as error:
        assert error.message.startswith("here: /")


def test_the_body_leaves_out_what_is_not_to_be_set_at_once():
    record = ImageRecord(
        ID,
        "active",
        size=5,
        checksum=MD5,
        fields={"name": None, "owner": None, "protected": True, "visibility": "public"},
        tags=frozenset({"b", "a"}),
        properties={"date": "x", "os_distro": "debian"},
        members={"p": "accepted"},
    )
    assert creation_body(record) == {
        "id": ID,
        "owner": None,
        "visibility": "public",
        "tags": ["a", "b"],
        "os_distro": "debian",
    }
    left = creation_body(record, {"owner", "tags", "properties"})
    assert left == {"id": ID, "visibility": "public"}


@given(records())
def test_a_body_makes_an_image_that_is_the_same(record):
    body = creation_body(record, ())
    image = parse_create(body, default_owner="other", validator=VALIDATOR)
    shown = render_image(image)
    copy = read_image(shown, "")
    expected = {**record.fields, "protected": False}
    assert {name: copy.fields[name] for name in expected} == expected
    assert (copy.tags, copy.properties) == (record.tags, record.properties)


def test_without_keeps_what_proves_and_dates_an_image():
    record = ImageRecord(
        ID, "active", size=1, fields={"name": "n"}, updated_at="2026-01-01T00:00:00Z", members={}
    )
    assert without(record, DONT_REPLICATE) == record
    bare = without(record, {"name", "members", "size", "tags"})
    assert (bare.fields, bare.members, bare.tags, bare.size) == ({}, None, None, 1)
