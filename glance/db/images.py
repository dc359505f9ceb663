"""Images in the catalogue: reading one, making, changing, moving and deleting it.

Every function here blocks and runs in a thread (``thd_…``), inside an interaction of
``glance.db.txdbapi``. They take and return plain values. A change of status is always one
``UPDATE … WHERE status = …`` whose row count decides: no lock of ours protects the catalogue, so
any number of processes may work on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    DateTime,
    String,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    false,
    insert,
    literal,
    null,
    or_,
    outerjoin,
    select,
    true,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from glance.db.columns import utcnow
from glance.db.prepared import Prepared, among
from glance.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
)
from glance.domain.errors import Conflict, Duplicate, NotFound
from glance.domain.image import (
    ACTIVE,
    COMMUNITY,
    DELETED,
    PENDING_DELETE,
    PUBLIC,
    SHARED,
    Image,
    Location,
)
from glance.domain.viewer import Viewer

#: Columns of ``images`` that are fields of :class:`Image`, in one order for SELECT and constructor.
FIELDS = (
    "id", "status", "name", "disk_format", "container_format", "visibility", "size",
    "virtual_size", "checksum", "protected", "min_ram", "min_disk", "owner", "os_hidden",
    "os_hash_algo", "os_hash_value", "created_at", "updated_at",
)  # fmt: skip

#: What SELECT reads for them. The visibility is taken as the text it is: checking every row against
#: the enumeration would cost more than all the rest.
COLUMNS = [
    type_coerce(images.c[name], String).label(name) if name == "visibility" else images.c[name]
    for name in FIELDS
]

#: Properties that only the import lock may touch; an ordinary save leaves them alone.
ATOMIC_PROPERTIES = frozenset({"os_glance_import_task"})

_PROPERTY, _TAG, _LOCATION = 0, 1, 2


def _children(condition: Any) -> Any:
    """Select all that belongs to some images in one round trip: (image, kind, a, b, c, d)."""
    p, t, loc = image_properties.c, image_tags.c, image_locations.c
    nothing = cast(null(), Text)
    return union_all(
        select(
            p.image_id, literal(_PROPERTY).label("kind"), p.name.label("a"), p.value.label("b"),
            nothing.label("c"), p.id.label("d"),
        ).where(condition(p), p.deleted == false()),
        select(t.image_id, literal(_TAG), t.value, nothing, nothing, t.id).where(
            condition(t), t.deleted == false()
        ),
        select(
            loc.image_id, literal(_LOCATION), loc.status, loc.value,
            cast(loc.meta_data, Text), loc.id,
        ).where(condition(loc), loc.deleted == false()),
    )  # fmt: skip


_own = _children(lambda c: c.image_id == bindparam("image_id")).subquery()


@lru_cache(maxsize=64)
def _children_of(count: int) -> Prepared:
    names = [bindparam(f"i{n}", type_=String) for n in range(count)]
    return Prepared(_children(lambda c: among(c.image_id, names)))


_visible_to_project = or_(
    among(images.c.visibility, (PUBLIC, COMMUNITY)),
    images.c.owner == bindparam("project_id"),
    and_(
        images.c.visibility == SHARED,
        images.c.id.in_(
            select(image_members.c.image_id).where(
                image_members.c.image_id == bindparam("image_id"),
                image_members.c.member == bindparam("project_id"),
                image_members.c.deleted == false(),
            )
        ),
    ),
)
#: An image's columns, again in each row of what belongs to it: one statement is all that it takes.
_one = (
    select(*COLUMNS, _own.c.kind, _own.c.a, _own.c.b, _own.c.c, _own.c.d)
    .select_from(outerjoin(images, _own, _own.c.image_id == images.c.id))
    .where(images.c.id == bindparam("image_id"), images.c.deleted == false())
)

#: Statements that read one image, by whether the viewer is an administrator and whether to lock.
_ONE = {
    (is_admin, lock): Prepared(statement.with_for_update(of=images) if lock else statement)
    for is_admin, statement in ((True, _one), (False, _one.where(_visible_to_project)))
    for lock in (False, True)
}


def missing(image_id: str) -> NotFound:
    """Return the error for an image that is not there, or not there for this caller."""
    return NotFound(f"No image found with ID {image_id}.")


def thd_get(connection: Connection, image_id: str, viewer: Viewer, *, lock: bool = False) -> Image:
    """Read one image with its properties, tags and locations.

    :param lock: keep other transactions from changing it until this one ends.
    :raises NotFound: it does not exist, is deleted, or is not visible to the viewer.
    """
    values = {"image_id": image_id}
    if not viewer.is_admin:
        values["project_id"] = viewer.project_id or ""
    rows = _ONE[viewer.is_admin, lock].thd_rows(connection, values)
    if not rows:
        raise missing(image_id)
    image = Image(*rows[0][: len(FIELDS)])
    _add_children({image.id: image}, [(image.id, *row[len(FIELDS) :]) for row in rows])
    return image


def thd_fill(connection: Connection, found: list[Image]) -> None:
    """Read properties, tags and locations of images, all in one statement."""
    if found:
        names = {f"i{n}": image.id for n, image in enumerate(found)}
        rows = _children_of(len(found)).thd_rows(connection, names)
        _add_children({image.id: image for image in found}, rows)


def _add_children(by_id: dict[str, Image], rows: Iterable[tuple[Any, ...]]) -> None:
    locations: list[tuple[int, str, Location]] = []
    for image_id, kind, a, b, c, d in rows:
        if kind == _PROPERTY:
            by_id[image_id].properties[a] = b
        elif kind == _TAG:
            by_id[image_id].tags.append(a)
        elif kind == _LOCATION:
            metadata = orjson.loads(c) if c else {}
            locations.append((d, image_id, Location(b, metadata or {}, a, d)))
    for _, image_id, location in sorted(locations, key=lambda entry: entry[0]):
        by_id[image_id].locations.append(location)


def thd_insert(connection: Connection, image: Image) -> Image:
    """Save a new image and return it with its timestamps.

    :raises Duplicate: an image of that id exists, or once existed.
    """
    now = utcnow()
    image.created_at = image.updated_at = now
    row = {name: getattr(image, name) for name in FIELDS}
    try:
        connection.execute(insert(images), row)
    except IntegrityError:
        raise Duplicate(f"An image with ID {image.id} exists already, or existed once.") from None
    _thd_add_properties(connection, image.id, image.properties, now)
    _thd_add_tags(connection, image.id, image.tags, now)
    return image


def _thd_add_properties(
    connection: Connection, image_id: str, properties: Mapping[str, str | None], now: datetime
) -> None:
    if properties:
        connection.execute(
            insert(image_properties),
            [
                {"image_id": image_id, "name": name, "value": value,
                 "created_at": now, "updated_at": now}
                for name, value in properties.items()
            ],
        )  # fmt: skip


def _thd_add_tags(
    connection: Connection, image_id: str, tags: Iterable[str], now: datetime
) -> None:
    rows = [
        {"image_id": image_id, "value": tag, "created_at": now, "updated_at": now} for tag in tags
    ]
    if rows:
        connection.execute(insert(image_tags), rows)


def thd_update(connection: Connection, before: Image, after: Image) -> Image:
    """Save what differs between two versions of an image.

    Status and locations are not saved here: they have moves of their own.

    :param before: the image as it was read.
    :param after: the image as it should be.
    :raises Conflict: the image was deleted or moved to another status since it was read.
    :returns: ``after`` with its new ``updated_at``.
    """
    changed = {
        name: getattr(after, name)
        for name in FIELDS
        if name not in ("id", "status", "created_at", "updated_at")
        and getattr(after, name) != getattr(before, name)
    }
    if not changed and before.properties == after.properties and before.tags == after.tags:
        return after
    now = utcnow()
    if not thd_set_status(connection, before.id, before.status, before.status, changed, now):
        raise Conflict(f"Image {before.id} was changed by another request; try again.")
    _thd_save_properties(connection, before, after, now)
    old, new = set(before.tags), set(after.tags)
    if old - new:
        _thd_remove_tags(connection, before.id, old - new, now)
    _thd_add_tags(connection, before.id, [t for t in after.tags if t not in old], now)
    after.updated_at = now
    return after


def _thd_save_properties(
    connection: Connection, before: Image, after: Image, now: datetime
) -> None:
    old = {k: v for k, v in before.properties.items() if k not in ATOMIC_PROPERTIES}
    new = {k: v for k, v in after.properties.items() if k not in ATOMIC_PROPERTIES}
    p = image_properties.c
    gone = [name for name in old if name not in new]
    if gone:
        connection.execute(
            update(image_properties)
            .where(p.image_id == before.id, p.name.in_(gone), p.deleted == false())
            .values(deleted=True, deleted_at=now, updated_at=now)
        )
    for name, value in new.items():
        if name in old and old[name] == value:
            continue
        # A removed property leaves its row: the name is unique, so the row is taken up again.
        revived = connection.execute(
            update(image_properties)
            .where(p.image_id == before.id, p.name == name)
            .values(value=value, deleted=False, deleted_at=None, updated_at=now)
        )
        if not revived.rowcount:
            _thd_add_properties(connection, before.id, {name: value}, now)


def thd_set_status(
    connection: Connection,
    image_id: str,
    expected: str,
    status: str,
    values: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> bool:
    """Move an image from one status to another, if it still is where it is believed to be.

    :param values: other columns to set in the same statement.
    :returns: whether the image was moved.
    """
    changes = {"status": status, "updated_at": now or utcnow(), **(values or {})}
    named = {f"new_{name}": value for name, value in changes.items()}
    moved = _move(tuple(changes)).thd_run(
        connection, {"of_id": image_id, "of_status": expected, **named}
    )
    return moved == 1


@lru_cache(maxsize=64)
def _move(names: tuple[str, ...]) -> Prepared:
    return Prepared(
        update(images)
        .where(
            images.c.id == bindparam("of_id"),
            images.c.status == bindparam("of_status"),
            images.c.deleted == false(),
        )
        .values({name: bindparam(f"new_{name}", type_=images.c[name].type) for name in names})
    )


def thd_add_location(connection: Connection, image_id: str, location: Location) -> None:
    """Record one stored copy of an image's data."""
    now = utcnow()
    connection.execute(
        insert(image_locations),
        {"image_id": image_id, "value": location.url, "meta_data": dict(location.metadata),
         "status": ACTIVE, "created_at": now, "updated_at": now},
    )  # fmt: skip


def thd_mark_deleted(connection: Connection, image: Image, *, delayed: bool) -> bool:
    """Delete an image and everything that belongs to it, as marks on the rows.

    :param delayed: keep its data for the scrubber: status ``pending_delete``.
    :returns: whether this call did it; ``False`` when its status changed meanwhile.
    """
    now = utcnow()
    status = PENDING_DELETE if delayed else DELETED
    if not thd_set_status(
        connection, image.id, image.status, status, {"deleted": True, "deleted_at": now}, now
    ):
        return False
    gone = {"of_id": image.id, "now": now}
    _members_gone.thd_run(connection, gone)
    if image.properties:
        _properties_gone.thd_run(connection, gone)
    if image.tags:
        _tags_gone.thd_run(connection, gone)
    if image.locations:
        _locations_gone.thd_run(connection, {**gone, "new_status": status})
    return True


def _gone(table: Table, **more: Any) -> Prepared:
    now = bindparam("now", type_=DateTime)
    return Prepared(
        update(table)
        .where(table.c.image_id == bindparam("of_id"), table.c.deleted == false())
        .values(deleted=true(), deleted_at=now, updated_at=now, **more)
    )


_members_gone = _gone(image_members)
_properties_gone = _gone(image_properties)
_tags_gone = _gone(image_tags)
_locations_gone = _gone(image_locations, status=bindparam("new_status", type_=String))


def thd_add_tag(connection: Connection, image_id: str, tag: str) -> None:
    """Add one tag that the image does not carry yet."""
    now = utcnow()
    _thd_add_tags(connection, image_id, [tag], now)
    connection.execute(update(images).where(images.c.id == image_id).values(updated_at=now))


def thd_remove_tag(connection: Connection, image_id: str, tag: str) -> bool:
    """Remove one tag; return whether the image carried it."""
    now = utcnow()
    if not _thd_remove_tags(connection, image_id, {tag}, now):
        return False
    connection.execute(update(images).where(images.c.id == image_id).values(updated_at=now))
    return True


def _thd_remove_tags(connection: Connection, image_id: str, tags: set[str], now: datetime) -> int:
    t = image_tags.c
    return connection.execute(
        update(image_tags)
        .where(t.image_id == image_id, t.value.in_(sorted(tags)), t.deleted == false())
        .values(deleted=True, deleted_at=now, updated_at=now)
    ).rowcount
