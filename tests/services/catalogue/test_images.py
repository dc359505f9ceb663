"""Images in a real catalogue: what was saved is what is read, and what other software would see."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, select, update

from glance.db import images
from glance.db.columns import utcnow
from glance.db.image_parts import thd_fill
from glance.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
)
from glance.domain.errors import Conflict, Duplicate, Invalid, NotFound
from glance.domain.image import Image, Location
from glance.domain.viewer import Viewer
from tests.services.catalogue.support import ADMIN, Catalogue

PLAIN: dict[str, Any] = {"disk_format": "raw", "container_format": "bare", "owner": "p1"}
UNICODE = "Ünïcode – 画像 ﬁ ¤ \x01\x7f'\"\\%s :x ?"


def full_image() -> Image:
    return Image(
        id=str(uuid4()), status="active", name=UNICODE, disk_format="qcow2",
        container_format="bare", visibility="community", size=2**62, virtual_size=2**63 - 1,
        checksum="c" * 32, protected=True, min_ram=2**31 - 1, min_disk=2**31 - 1, owner="o" * 255,
        os_hidden=True, os_hash_algo="sha512", os_hash_value="h" * 128,
        properties={"empty": "", "nothing": None, UNICODE: UNICODE, "n" * 255: "v" * 60000},
        tags=["b", UNICODE, "t" * 255, "a"],
    )  # fmt: skip


def test_every_field_survives(catalogue: Catalogue) -> None:
    image = full_image()
    saved = catalogue.run(images.thd_insert, image)
    found = catalogue.get(image.id)
    assert sorted(found.tags) == sorted(image.tags)
    found.tags = image.tags
    if not catalogue.keeps_microseconds:
        saved = replace(
            saved,
            created_at=saved.created_at.replace(microsecond=0),
            updated_at=saved.updated_at.replace(microsecond=0),
        )
    assert found == saved
    assert found.properties == full_image().properties


def test_defaults(catalogue: Catalogue) -> None:
    before = utcnow().replace(microsecond=0)
    image = catalogue.add(id="i")
    assert replace(image, created_at=None, updated_at=None) == Image(id="i")
    assert image.created_at is not None
    assert before <= image.created_at == image.updated_at <= utcnow()
    assert image.created_at.tzinfo is None


def test_locations_come_in_the_order_they_were_added(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN, properties={"a": "b"}, tags=["t"])
    urls = [f"file:///{n}/{UNICODE}" for n in (3, 1, 2)]
    for url in urls:
        location = Location(url, {"store": "s", "deep": {UNICODE: [1, None, 2.5]}})
        catalogue.run(images.thd_add_location, image.id, location)
    found = catalogue.get(image.id).locations
    assert [location.url for location in found] == urls
    assert found[0].metadata == {"store": "s", "deep": {UNICODE: [1, None, 2.5]}}
    assert {location.status for location in found} == {"active"}
    rows = catalogue.rows_of(image_locations, image.id)
    assert [location.id for location in found] == [row["id"] for row in rows]


@pytest.mark.parametrize("text", [None, "{}", "null", '{"x": NaN, "store": "s"}'])
def test_location_metadata_of_other_software(catalogue: Catalogue, text: str | None) -> None:
    image = catalogue.add(**PLAIN)
    catalogue.run(images.thd_add_location, image.id, Location("file:///x"))

    def thd_write(connection: Connection) -> None:
        if text is not None:
            written = "UPDATE image_locations SET meta_data = '{}'".format(text.replace(":", ": "))
            connection.exec_driver_sql(written)
        else:
            connection.execute(update(image_locations).values(meta_data=None))

    catalogue.run(thd_write)
    (location,) = catalogue.get(image.id).locations
    assert location.metadata.get("store") == ("s" if text and "store" in text else None)


def test_long_values_are_read_whole(catalogue: Catalogue) -> None:
    # The parts of an image are read together, in columns that must be wide enough for all.
    value = "v" * 65535
    metadata = {"m": "x" * 60000}
    image = catalogue.add(**PLAIN, properties={"p": value}, tags=["t"])
    catalogue.run(images.thd_add_location, image.id, Location("file:///" + "u" * 3000, metadata))
    found = catalogue.get(image.id)
    assert found.properties["p"] == value
    assert found.locations[0].metadata == metadata
    assert found.locations[0].url == "file:///" + "u" * 3000


@pytest.mark.parametrize("value", ["v" * 65536, "画" * 30000])
def test_a_property_longer_than_the_database_holds(catalogue: Catalogue, value: str) -> None:
    """MariaDB's TEXT ends at 64 KiB: that is the caller's to know, not a fault of the service."""
    image = catalogue.add(**PLAIN, properties={"p": "short"})
    longer = replace(image, properties={"p": value, "q": "new"})
    if catalogue.kind == "mysql":
        with pytest.raises(Invalid, match="longer"):
            catalogue.run(images.thd_update, image, longer)
        with pytest.raises(Invalid, match="longer"):
            catalogue.add(id="other", properties={"p": value})
        assert catalogue.get(image.id) == image
        with pytest.raises(NotFound):
            catalogue.get("other")
    else:
        catalogue.run(images.thd_update, image, longer)
        assert catalogue.get(image.id).properties == longer.properties


def test_a_column_that_is_too_long(catalogue: Catalogue) -> None:
    image = Image(id=str(uuid4()), owner="o" * 256)
    if catalogue.kind == "sqlite":
        assert catalogue.run(images.thd_insert, image).owner == "o" * 256
    else:
        with pytest.raises(Invalid):
            catalogue.run(images.thd_insert, image)


def test_duplicate_id_even_of_a_deleted_image(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN)
    with pytest.raises(Duplicate, match=image.id):
        catalogue.add(id=image.id, name="again")
    assert catalogue.get(image.id) == image
    assert catalogue.run(images.thd_mark_deleted, image, delayed=False)
    with pytest.raises(Duplicate, match=image.id):
        catalogue.add(id=image.id, properties={"p": "v"})
    assert catalogue.rows_of(image_properties, image.id) == []


@pytest.mark.parametrize("image_id", ["nowhere", "", "x" * 400, UNICODE, "\U0001f600"])
def test_missing(catalogue: Catalogue, image_id: str) -> None:
    for lock in (False, True):
        with pytest.raises(NotFound, match="No image found"):
            catalogue.run(images.thd_get, image_id, ADMIN, lock=lock)


VISIBLE = {
    # to: owner, accepted member, pending member, former member, stranger, nobody's, admin
    "public": "yyyyyyy",
    "community": "yyyyyyy",
    "shared": "yyynnny",
    "private": "ynnnnny",
}


def test_a_project_that_no_column_can_hold(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN, visibility="private")
    with pytest.raises(Invalid if catalogue.kind == "mysql" else NotFound):
        catalogue.get(image.id, Viewer("\U0001f600"))


@pytest.mark.parametrize("lock", [False, True])
@pytest.mark.parametrize("visibility", VISIBLE)
def test_who_sees_an_image(catalogue: Catalogue, visibility: str, lock: bool) -> None:
    image = catalogue.add(**PLAIN, visibility=visibility, tags=["t"])
    ownerless = catalogue.add(visibility=visibility, owner=None)
    catalogue.share(image.id, "accepted")
    catalogue.share(image.id, "pending", "pending")
    catalogue.share(image.id, "former", deleted=True, deleted_at=utcnow())
    viewers = [Viewer(p) for p in ("p1", "accepted", "pending", "former", "stranger", None)]
    seen = ""
    for viewer in [*viewers, ADMIN]:
        try:
            assert catalogue.run(images.thd_get, image.id, viewer, lock=lock) == image
            seen += "y"
        except NotFound:
            seen += "n"
    assert seen == VISIBLE[visibility]
    open_to_all = visibility in ("public", "community")
    for viewer in (Viewer("p1"), Viewer(None), Viewer("")):
        if open_to_all:
            catalogue.run(images.thd_get, ownerless.id, viewer, lock=lock)
        else:
            with pytest.raises(NotFound):
                catalogue.run(images.thd_get, ownerless.id, viewer, lock=lock)


def test_an_empty_owner_is_not_that_of_callers_without_project(catalogue: Catalogue) -> None:
    image = catalogue.add(owner="", visibility="private")
    with pytest.raises(NotFound):
        catalogue.get(image.id, Viewer(None))


def test_only_what_differs_is_saved(catalogue: Catalogue) -> None:
    before = catalogue.add(**PLAIN, name="old", properties={"same": "1"}, tags=["t"])
    assert catalogue.run(images.thd_update, before, replace(before)) == before
    _age(catalogue)
    before = catalogue.get(before.id)
    catalogue.run(images.thd_update, before, replace(before))
    assert catalogue.get(before.id).updated_at == before.updated_at
    after = replace(before, name=None, min_disk=7, protected=True, visibility="public")
    # Status and locations are no business of an update.
    after.status = "active"
    saved = catalogue.run(images.thd_update, before, after)
    found = catalogue.get(before.id)
    assert (found.name, found.min_disk, found.protected, found.visibility) == (
        None, 7, True, "public",
    )  # fmt: skip
    assert found.status == "queued"
    assert found.created_at == before.created_at
    assert found.updated_at is not None
    assert before.updated_at is not None
    assert found.updated_at > before.updated_at
    assert saved.updated_at.replace(microsecond=0) == found.updated_at.replace(microsecond=0)
    (row,) = catalogue.rows_of(image_properties, before.id)
    assert row["updated_at"] == LONG_AGO


LONG_AGO = datetime(2020, 1, 2, 3, 4, 5)


def _age(catalogue: Catalogue) -> None:
    """Date every row back, so that a change shows."""

    def thd_age(connection: Connection) -> None:
        for table in (images.images, image_properties, image_tags, image_locations):
            connection.execute(update(table).values(created_at=LONG_AGO, updated_at=LONG_AGO))

    catalogue.run(thd_age)


def test_properties_are_added_changed_removed_and_taken_up_again(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN, properties={"a": "1", "b": "2", "c": None})
    _age(catalogue)

    def save(**properties: str | None) -> None:
        before = catalogue.get(image.id)
        catalogue.run(images.thd_update, before, replace(before, properties=properties))
        assert catalogue.get(image.id).properties == properties

    ids = {row["name"]: row["id"] for row in catalogue.rows_of(image_properties, image.id)}
    save(a="1", b="changed", c="set", d="new")
    save(b="changed", d="new")
    rows = {row["name"]: row for row in catalogue.rows_of(image_properties, image.id)}
    assert {name: row["deleted"] for name, row in rows.items()} == {
        "a": True, "b": False, "c": True, "d": False,
    }  # fmt: skip
    assert rows["a"]["value"] == "1"
    assert rows["a"]["deleted_at"] == rows["a"]["updated_at"] == rows["c"]["deleted_at"]
    assert rows["a"]["deleted_at"] > LONG_AGO
    save(a="again", c=None)
    rows = {row["name"]: row for row in catalogue.rows_of(image_properties, image.id)}
    assert {name: rows[name]["id"] for name in ids} == ids
    assert rows["a"]["deleted_at"] is None
    assert rows["a"]["created_at"] == LONG_AGO
    assert all(row["updated_at"] > LONG_AGO for row in rows.values())


def test_property_of_the_import_lock_is_left_alone(catalogue: Catalogue) -> None:
    lock = "os_glance_import_task"
    image = catalogue.add(**PLAIN, properties={lock: "task", "a": "1"})
    catalogue.run(images.thd_update, image, replace(image, properties={"a": "2"}))
    assert catalogue.get(image.id).properties == {lock: "task", "a": "2"}
    now = catalogue.get(image.id)
    catalogue.run(images.thd_update, now, replace(now, properties={lock: "mine", "a": "3"}))
    assert catalogue.get(image.id).properties == {lock: "task", "a": "3"}


def test_names_that_the_database_takes_for_the_same(catalogue: Catalogue) -> None:
    """MariaDB compares without case: another spelling is refused, not taken for the first."""
    image = catalogue.add(**PLAIN, properties={"Key": "1"})
    both = replace(image, properties={"Key": "1", "kEY": "2"})
    if catalogue.kind == "mysql":
        with pytest.raises(Conflict, match="kEY"):
            catalogue.run(images.thd_update, image, both)
        with pytest.raises(Conflict, match="same"):
            catalogue.add(id="other", properties=both.properties)
        assert catalogue.get(image.id) == image
    else:
        catalogue.run(images.thd_update, image, both)
        assert catalogue.get(image.id).properties == both.properties
    now = catalogue.get(image.id)
    catalogue.run(images.thd_update, now, replace(now, properties={"kEY": "3"}))
    assert catalogue.get(image.id).properties == {"kEY": "3"}


def test_tags(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN, tags=["a", "b"])
    _age(catalogue)
    image = catalogue.get(image.id)
    catalogue.run(images.thd_update, image, replace(image, tags=["b", "c"]))
    assert sorted(catalogue.get(image.id).tags) == ["b", "c"]
    catalogue.run(images.thd_add_tag, image.id, "a")
    assert sorted(catalogue.get(image.id).tags) == ["a", "b", "c"]
    assert not catalogue.run(images.thd_remove_tag, image.id, "nothing")
    assert catalogue.run(images.thd_remove_tag, image.id, "b")
    assert not catalogue.run(images.thd_remove_tag, image.id, "b")
    assert sorted(catalogue.get(image.id).tags) == ["a", "c"]
    rows = catalogue.rows_of(image_tags, image.id)
    # Taken off, a tag keeps its row; put on again, it gets a new one.
    assert [(row["value"], row["deleted"]) for row in rows] == [
        ("a", True), ("b", True), ("c", False), ("a", False),
    ]  # fmt: skip
    for row in rows:
        if row["deleted"]:
            assert row["updated_at"] == row["deleted_at"] > LONG_AGO
        else:
            assert row["deleted_at"] is None


@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_tag_changes_the_image(catalogue: Catalogue, change: str) -> None:
    image = catalogue.add(**PLAIN, tags=["b"])
    _age(catalogue)
    if change == "add":
        catalogue.run(images.thd_add_tag, image.id, "a")
    else:
        assert not catalogue.run(images.thd_remove_tag, image.id, "a")
        assert catalogue.get(image.id).updated_at == LONG_AGO
        catalogue.run(images.thd_remove_tag, image.id, "b")
    updated = catalogue.get(image.id).updated_at
    assert updated is not None
    assert updated > LONG_AGO


def test_tags_that_differ_in_case_are_two(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN, tags=["Tag", "tag", "täg"])
    assert sorted(image.tags) == ["Tag", "tag", "täg"]
    assert not catalogue.run(images.thd_remove_tag, image.id, "TAG")
    assert catalogue.run(images.thd_remove_tag, image.id, "tag")
    assert sorted(catalogue.get(image.id).tags) == ["Tag", "täg"]
    now = catalogue.get(image.id)
    catalogue.run(images.thd_update, now, replace(now, tags=["täg"]))
    assert catalogue.get(image.id).tags == ["täg"]


def test_status_moves_from_where_it_is_believed_to_be(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN)
    _age(catalogue)
    assert not catalogue.run(images.thd_set_status, image.id, "saving", "active")
    assert not catalogue.run(images.thd_set_status, "nowhere", "queued", "saving")
    assert catalogue.get(image.id).updated_at == LONG_AGO
    values = {"size": 2**62, "checksum": "c", "os_hash_algo": "sha512", "os_hash_value": "h"}
    assert catalogue.run(images.thd_set_status, image.id, "queued", "active", values)
    found = catalogue.get(image.id)
    assert (found.status, found.size, found.os_hash_value) == ("active", 2**62, "h")
    assert found.updated_at is not None
    assert found.updated_at > LONG_AGO
    # A move to where it is counts as one, each time.
    now = utcnow()
    for _ in range(2):
        assert catalogue.run(images.thd_set_status, image.id, "active", "active", {}, now)
    assert catalogue.run(images.thd_set_status, image.id, "active", "queued", {"size": None})
    assert catalogue.get(image.id).size is None


def test_update_of_what_was_moved_or_deleted_is_refused(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN)
    catalogue.run(images.thd_set_status, image.id, "queued", "saving")
    with pytest.raises(Conflict):
        catalogue.run(images.thd_update, image, replace(image, name="new"))
    saving = catalogue.get(image.id)
    catalogue.run(images.thd_mark_deleted, saving, delayed=False)
    with pytest.raises(Conflict):
        catalogue.run(images.thd_update, saving, replace(saving, tags=["new"]))
    assert catalogue.rows_of(image_tags, image.id) == []


@pytest.mark.parametrize("delayed", [False, True])
def test_deletion_marks_all_that_belongs_to_an_image(catalogue: Catalogue, delayed: bool) -> None:
    stays = catalogue.add(**PLAIN, tags=["t"], properties={"p": "v"})
    image = catalogue.add(**PLAIN, tags=["t", "gone"], properties={"p": "v", "gone": "v"})
    for n in range(2):
        catalogue.run(images.thd_add_location, image.id, Location(f"file:///{n}"))
    catalogue.share(image.id, "m")
    before = catalogue.get(image.id)
    kept = replace(before, tags=["t"], properties={"p": "v"})
    catalogue.run(images.thd_update, before, kept)

    def thd_age_removed(connection: Connection) -> None:
        for table in (image_tags, image_properties):
            old = update(table).where(table.c.deleted).values(deleted_at=LONG_AGO)
            connection.execute(old)

    catalogue.run(thd_age_removed)
    # As it was read, without what was added since: that goes too.
    assert catalogue.run(images.thd_mark_deleted, replace(image, tags=[]), delayed=delayed)
    status = "pending_delete" if delayed else "deleted"
    (row,) = catalogue.rows_of(images.images, image.id)
    assert (row["deleted"], row["status"]) == (True, status)
    assert row["deleted_at"] == row["updated_at"] > LONG_AGO
    for table, count in (
        (image_tags, 1), (image_properties, 1), (image_members, 1), (image_locations, 2),
    ):  # fmt: skip
        rows = catalogue.rows_of(table, image.id)
        assert all(row["deleted"] for row in rows)
        assert [r["deleted_at"] for r in rows].count(row["deleted_at"]) == count
        assert [r["deleted_at"] for r in rows].count(LONG_AGO) == len(rows) - count
    assert {r["status"] for r in catalogue.rows_of(image_locations, image.id)} == {status}
    for lock in (False, True):
        with pytest.raises(NotFound):
            catalogue.run(images.thd_get, image.id, ADMIN, lock=lock)
    assert not catalogue.run(images.thd_mark_deleted, image, delayed=delayed)
    assert catalogue.get(stays.id) == stays


def test_deletion_of_what_was_moved_does_nothing(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN, tags=["t"])
    catalogue.run(images.thd_set_status, image.id, "queued", "saving")
    assert not catalogue.run(images.thd_mark_deleted, image, delayed=False)
    assert catalogue.get(image.id).tags == ["t"]


def test_a_location_on_its_way_out_keeps_its_status(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN)
    for status in ("active", "pending_delete"):
        catalogue.add_rows(
            image_locations,
            [{"image_id": image.id, "value": "file:///x", "meta_data": {}, "status": status}],
        )
    catalogue.run(images.thd_mark_deleted, catalogue.get(image.id), delayed=False)
    rows = catalogue.rows_of(image_locations, image.id)
    assert [row["status"] for row in rows] == ["deleted", "pending_delete"]


def test_rows_are_filled_as_other_software_expects(catalogue: Catalogue) -> None:
    image = catalogue.add(**PLAIN, tags=["t"], properties={"p": "v"})
    catalogue.run(images.thd_add_location, image.id, Location("file:///x", {"store": "s"}))
    (row,) = catalogue.rows_of(images.images, image.id)
    assert row["deleted"] is False
    assert row["deleted_at"] is None
    assert row["os_hidden"] is False
    assert (row["min_disk"], row["min_ram"]) == (0, 0)
    for table in (image_tags, image_properties, image_locations):
        (row,) = catalogue.rows_of(table, image.id)
        assert row["deleted"] is False
        assert row["deleted_at"] is None
        assert row["created_at"] is not None
        assert row["updated_at"] == row["created_at"]
    (row,) = catalogue.rows_of(image_locations, image.id)
    assert (row["status"], row["meta_data"]) == ("active", {"store": "s"})
    raw = "SELECT meta_data FROM image_locations"
    text = catalogue.read(lambda connection: connection.exec_driver_sql(raw).scalar())
    assert text == '{"store":"s"}'


def test_many_images_are_filled_at_once(catalogue: Catalogue) -> None:
    made = [catalogue.add(tags=[f"t{n}"], properties={"n": str(n)}) for n in range(3)]
    # Numbers of images for which statements are shared, and for which they are not.
    for count in (1, 2, 3, 31, 32, 33, 41, 100, 999, 1000, 1001, 11000):
        for real in (made[:count], made[:count][::-1]):
            found = [replace(image, tags=[], properties={}) for image in real]
            others = [Image(f"none{n}") for n in range(count - len(found))]
            # What there is comes first once, and last once.
            catalogue.read(thd_fill, found + others if real[0] is made[0] else others + found)
            assert [image.tags for image in found] == [image.tags for image in real]
            assert [image.properties for image in found] == [image.properties for image in real]
            assert not any(image.tags or image.properties for image in others)
    assert catalogue.read(thd_fill, []) is None


def test_select_of_all_rows_counts_what_is_there(catalogue: Catalogue) -> None:
    assert catalogue.rows(select(images.images)) == []
