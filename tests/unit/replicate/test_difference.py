from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.image import Image
from glance.domain.patch import apply, parse_v21
from glance.domain.quotas import Quotas
from glance.domain.rendering import render_image
from glance.domain.schemas import ImageValidator
from glance.replicate.difference import NOTHING, Change, compare_records, same_data, to_patch
from glance.replicate.documents import read_image
from glance.replicate.record import FIELDS, ImageRecord
from tests.unit.replicate.strategies import records

ID = "11111111-1111-4111-8111-111111111111"
VALIDATOR = ImageValidator(["raw", "qcow2"], ["bare"])


def record(**known):
    return ImageRecord(ID, **{"status": "active", **known})


def as_image(known):
    """Return the catalogue's image of a record."""
    fields = {name: known.fields[name] for name in FIELDS if name in known.fields}
    return Image(
        ID,
        status=known.status,
        tags=sorted(known.tags),
        properties=dict(known.properties),
        **fields,
    )


@given(records(), records(), st.sets(st.sampled_from(["name", "tags", "date", "properties"])))
def test_the_patch_makes_them_the_same(source, target, dontreplicate):
    """Applied by the service's own rules, which also refuse what a patch may not do."""
    image = as_image(target)
    target = read_image(render_image(image), "", target.members)
    found = compare_records(source, target, dontreplicate)
    patch = orjson.loads(orjson.dumps(to_patch(found)))
    changed = apply(image, parse_v21(patch), is_admin=True, validator=VALIDATOR, quotas=Quotas())
    after = compare_records(
        source, read_image(render_image(changed), "", target.members), dontreplicate
    )
    assert after.changes == ()
    assert after.conflicts == found.conflicts
    assert (after.status, after.members_added) == (found.status, found.members_added)


@given(records())
def test_nothing_differs_from_itself(source):
    found = compare_records(source, source, ())
    assert not found
    assert found.all_changes == ()
    assert to_patch(found) == []
    assert same_data(source, source)


@given(records(), records())
def test_members_done_as_told_are_the_same(source, target):
    found = compare_records(source, target)
    members = dict(target.members or {}) | found.members_added | found.members_changed
    for project in found.members_removed:
        del members[project]
    if found.members_differ:
        assert members == source.members


@given(records(), records())
def test_everything_is_told(source, target):
    found = compare_records(source, target)
    shown = found.shown()
    assert len(shown) == len(found.all_changes)
    assert orjson.loads(orjson.dumps(shown)) == shown
    assert bool(found) == bool(shown)


def test_both_values_are_told():
    source = record(fields={"name": "n", "min_disk": 1}, tags=frozenset("ba"), properties={"a": ""})
    target = record(fields={"name": None, "min_disk": 1}, properties={"b": "2"})
    found = compare_records(source, target)
    assert found.changes == (
        Change("name", "n", None),
        Change("tags", frozenset("ab"), frozenset()),
        Change("a", "", NOTHING, custom=True),
        Change("b", NOTHING, "2", custom=True),
    )
    assert found.shown() == {
        "name": {"source": "n", "target": None},
        "tags": {"source": ["a", "b"], "target": []},
        "a": {"source": "", "target": "undefined"},
        "b": {"source": "undefined", "target": "2"},
    }
    assert to_patch(found, leave={"tags"}) == [
        {"op": "replace", "path": "/name", "value": "n"},
        {"op": "add", "path": "/a", "value": ""},
        {"op": "remove", "path": "/b"},
    ]


def test_names_in_paths_are_escaped():
    patch = to_patch(compare_records(record(properties={"~1/": "x"}), record()))
    assert patch == [{"op": "add", "path": "/~01~1", "value": "x"}]


def test_what_is_unknown_on_one_side_is_no_difference():
    full = record(
        size=1,
        checksum="ab",
        hash_algorithm="md5",
        hash_value="ab",
        fields={"name": "n", "os_hidden": True},
        members={"p": "pending"},
        tags=frozenset("a"),
    )
    bare = record(tags=None)
    assert not compare_records(full, bare)
    assert not compare_records(bare, full)


def test_hashes_of_other_algorithms_cannot_be_compared():
    source = record(hash_algorithm="sha512", hash_value="ab")
    target = record(hash_algorithm="sha256", hash_value="cd")
    assert not compare_records(source, target)
    assert same_data(source, target)


def test_other_data_is_a_conflict_and_no_patch():
    source = record(size=1, checksum="aa", hash_algorithm="md5", hash_value="bb")
    target = record(size=2, checksum="cc", hash_algorithm="md5", hash_value="dd")
    found = compare_records(source, target)
    assert [change.name for change in found.conflicts] == ["size", "checksum", "os_hash_value"]
    assert to_patch(found) == []
    assert not same_data(source, target)
    left = compare_records(source, target, {"checksum", "os_hash_value"})
    assert [change.name for change in left.conflicts] == ["size"]


@pytest.mark.parametrize("status", ["queued", "saving", "importing"])
def test_of_an_image_without_data_none_is_compared(status):
    found = compare_records(record(size=5), record(status=status, size=3))
    assert found.conflicts == ()
    assert found.status == Change("status", "active", status)
    assert found
    assert not compare_records(record(), record(status=status), {"status"})


def test_formats_are_fixed_once_there_is_data():
    source = record(fields={"disk_format": "raw", "container_format": "bare"})
    fields = {"disk_format": "qcow2", "container_format": None}
    there = compare_records(source, record(fields=fields))
    assert [change.name for change in there.conflicts] == ["disk_format", "container_format"]
    assert there.changes == ()
    queued = compare_records(source, record(status="queued", fields=fields))
    assert queued.conflicts == ()
    assert [change.name for change in queued.changes] == ["disk_format", "container_format"]


def test_members_are_added_changed_and_removed():
    source = record(members={"a": "accepted", "b": "rejected", "c": "pending"})
    target = record(members={"b": "pending", "c": "pending", "d": "accepted"})
    found = compare_records(source, target)
    assert found.members_added == {"a": "accepted"}
    assert found.members_changed == {"b": "rejected"}
    assert found.members_removed == ("d",)
    assert found.shown() == {
        "members": {
            "source": {"a": "accepted", "b": "rejected"},
            "target": {"b": "pending", "d": "accepted"},
        }
    }
    assert not compare_records(source, target, {"members"})
    assert not compare_records(
        record(members={"a": "pending"}, fields={"visibility": "private"}), target
    )


def test_a_property_called_members_is_told_apart():
    found = compare_records(record(members={"a": "x"}, properties={"members": "1"}),
                            record(members={}))  # fmt: skip
    assert list(found.shown()) == ["members (property)", "members"]
