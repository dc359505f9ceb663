from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.replicate.dump_documents import read_dump, read_image_v1, write_dump
from glance.replicate.errors import BadDocument
from glance.replicate.record import ImageRecord
from tests.unit.replicate.strategies import records

ID = "11111111-1111-4111-8111-111111111111"
MD5 = "9e107d9d372bb6826bd81d3542a419d6"

V1 = {
    "status": "active",
    "name": "cirros",
    "deleted": False,
    "container_format": "bare",
    "created_at": "2012-05-30T18:29:41.000000",
    "disk_format": "qcow2",
    "updated_at": "2012-05-30T18:30:00",
    "properties": {"os_distro": "cirros", "kernel_id": None, "bits": 64, "location": "x"},
    "min_disk": 0,
    "protected": False,
    "location": "file:///var/lib/glance/secret",
    "checksum": MD5,
    "owner": "p1",
    "is_public": True,
    "deleted_at": None,
    "id": ID,
    "min_ram": "512",
    "size": 13287936,
    "virtual_size": None,
}


@given(records(), st.booleans())
def test_what_was_written_is_read(record, untagged):
    if untagged:
        record = replace(record, tags=None)
    content = write_dump(record)
    assert read_dump(content, "file", record.image_id) == record
    assert write_dump(read_dump(content, "file")) == content


def test_a_file_is_like_an_answer_of_the_api_with_a_note():
    record = ImageRecord(
        ID, "active", size=1, fields={"name": "n", "visibility": "shared"}, tags=frozenset("ba"),
        properties={"os_distro": "debian", "members": "5"}, members={"q": "pending"},
    )  # fmt: skip
    document = json.loads(write_dump(record))
    assert document["glance_replicator"] == {"layout": 2, "properties": {"members": "5"}}
    assert document["members"] == [{"member_id": "q", "status": "pending"}]
    assert (document["tags"], document["os_distro"]) == (["a", "b"], "debian")
    assert (document["name"], document["size"]) == ("n", 1)


def test_a_list_of_api_v1_is_read():
    expected = ImageRecord(
        ID,
        "active",
        size=13287936,
        checksum=MD5,
        fields={
            "name": "cirros",
            "disk_format": "qcow2",
            "container_format": "bare",
            "visibility": "public",
            "owner": "p1",
            "protected": False,
            "min_disk": 0,
            "min_ram": 512,
        },
        tags=None,
        properties={"os_distro": "cirros", "kernel_id": "", "bits": "64"},
        created_at="2012-05-30T18:29:41.000000",
        updated_at="2012-05-30T18:30:00",
    )
    assert read_dump(json.dumps(V1).encode(), "file") == expected
    assert "secret" not in repr(expected)


def test_what_was_not_public_is_shared():
    assert read_image_v1({**V1, "is_public": "False"}, "").fields["visibility"] == "shared"
    assert "visibility" not in read_image_v1({**V1, "is_public": None}, "").fields


def test_what_was_deleted_is_so():
    assert read_image_v1({**V1, "deleted": True}, "").status == "deleted"
    assert read_image_v1({**V1, "deleted": 0}, "").status == "active"


def test_an_answer_of_api_v2_is_read_as_one():
    record = read_dump(orjson.dumps({"id": ID, "status": "queued", "is_public": "x"}), "file")
    assert record == ImageRecord(ID, "queued", properties={"is_public": "x"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file: it is no JSON: "),
        (b'{"id": ', "file: it is no JSON: "),
        (b"\xff", "file: it is no JSON: "),
        (b"[]", "file: it must be an object, not a list of length 0."),
        (b"{}", "file: /id must be a UUID, not null."),
        (json.dumps({**V1, "min_disk": "-1"}).encode(), "file: /min_disk must be a whole number"),
        (json.dumps({**V1, "is_public": "?"}).encode(), "file: /is_public must be true or false"),
        (
            json.dumps({**V1, "properties": {"a/b": []}}).encode(),
            "file: /properties/a~1b must be a string",
        ),
        (
            json.dumps({"id": ID, "glance_replicator": {"layout": 3}}).encode(),
            "file: /glance_replicator/layout must be 2, the one that this release knows, not",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(content, message):
    with pytest.raises(BadDocument) as caught:
        read_dump(content, "file")
    assert caught.value.message.startswith(message)


def test_a_file_of_another_image_is_refused():
    with pytest.raises(BadDocument, match="/id must be 2222"):
        read_dump(write_dump(ImageRecord(ID, "active")), "file", "2222")
    assert read_dump(write_dump(ImageRecord("A" + ID[1:], "active")), "", "a" + ID[1:])
