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

from sqlalchemy import (
    Connection,
    DateTime,
    String,
    Table,
    and_,
    bindparam,
    case,
    false,
    insert,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from glance.db import tombstones
from glance.db.columns import utcnow
from glance.db.image_parts import IMAGE, IS_IMAGE, add_parts, parts_of
from glance.db.prepared import Prepared, among
from glance.db.sealed_locations import thd_opener, thd_seal
from glance.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
)
from glance.domain.errors import Conflict, Duplicate
from glance.domain.image import (
    ACTIVE,
    COMMUNITY,
    DELETED,
    PENDING_DELETE,
    PUBLIC,
    SHARED,
    Image,
    Location,
    no_such_image,
)
from glance.domain.text import shorten
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


def _one(*conditions: Any) -> Prepared:
    """Read an image, and in further rows what belongs to it: one statement is all that it takes.

    As a join it would repeat the image in every row, and MariaDB would write a file on the way.
    """
    of = bindparam("image_id", type_=String)
    row = select(*COLUMNS, IMAGE, null(), null(), null(), null()).where(
        images.c.id == of, images.c.deleted == false(), *conditions
    )
    nothing = [null()] * len(FIELDS)
    return Prepared(union_all(row, *parts_of(lambda c: c.image_id == of, lambda c: nothing)))


#: Statements that read one image, by whether the viewer is an administrator.
_ONE = {True: _one(), False: _one(_visible_to_project)}

_LOCK = Prepared(
    select(images.c.id)
    .where(images.c.id == bindparam("image_id"), images.c.deleted == false())
    .with_for_update()
)


def thd_get(connection: Connection, image_id: str, viewer: Viewer, *, lock: bool = False) -> Image:
    """Read one image with its properties, tags and locations.

    :param lock: keep other transactions from changing it until this one ends.
    :raises NotFound: it does not exist, is deleted, or is not visible to the viewer.
    """
    if not image_id.isascii() or "\0" in image_id:
        # Some databases refuse to compare with what they cannot store.
        raise no_such_image(image_id)
    values = {"image_id": image_id, "project_id": viewer.project_id}
    if lock:
        # A statement that has waited for a lock shows what belongs to the image as it was before.
        thd_lock(connection, image_id)
    rows = _ONE[viewer.is_admin].thd_rows(connection, values)
    for row in rows:
        if row[len(FIELDS)] == IS_IMAGE:
            image = Image(*row[: len(FIELDS)])
            parts = [(image.id, *row[len(FIELDS) :]) for row in rows]
            add_parts({image.id: image}, parts, thd_opener(connection))
            return image
    raise no_such_image(image_id)


def thd_lock(connection: Connection, image_id: str) -> None:
    """Keep other transactions from changing an image until this one ends.

    Whoever needs more than one lock takes that on the image first, then that on its owner's quota
    (``glance.db.quotas``), then leases: so nobody waits in a circle.
    """
    if connection.dialect.name != "sqlite":
        _LOCK.thd_rows(connection, {"image_id": image_id})


def thd_insert(connection: Connection, image: Image, *, chosen: bool = False) -> Image:
    """Save a new image and return it with its timestamps.

    :param chosen: its id was not made for it but asked for, and may have been another's.
    :raises Duplicate: an image of that id exists, or once existed.
    """
    if chosen and tombstones.thd_find(connection, image.id):
        raise _taken(image.id)
    now = utcnow()
    image.created_at = image.updated_at = now
    row = {name: getattr(image, name) for name in FIELDS}
    try:
        connection.execute(insert(images), row)
    except IntegrityError:
        raise _taken(image.id) from None
    _thd_add_properties(connection, image.id, image.properties, now)
    _thd_add_tags(connection, image.id, image.tags, now)
    return image


def _taken(image_id: str) -> Duplicate:
    return Duplicate(f"An image with ID {image_id} exists already, or existed once.")


def _thd_add_properties(
    connection: Connection, image_id: str, properties: Mapping[str, str | None], now: datetime
) -> None:
    rows = [
        {"image_id": image_id, "name": name, "value": value, "created_at": now, "updated_at": now}
        for name, value in properties.items()
    ]
    try:
        if rows:
            connection.execute(insert(image_properties), rows)
    except IntegrityError:
        which = f" {shorten(str(rows[0]['name']))}" if len(rows) == 1 else ""
        raise Conflict(
            f"Image {image_id} cannot be given the property{which}: the database takes two names "
            "for the same, as some do that differ in case only, or another request was faster."
        ) from None


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
        # A removed property leaves its row: the name is unique, so the row is taken up again, with
        # the name as it is now, which to MariaDB may be another spelling of the same.
        saved = connection.execute(
            update(image_properties)
            .where(p.image_id == before.id, p.name == name, p.deleted == (name not in old))
            .values(name=name, value=value, deleted=False, deleted_at=None, updated_at=now)
        )
        if not saved.rowcount:
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
        {"image_id": image_id, "value": thd_seal(connection, location.url),
         "meta_data": dict(location.metadata), "status": ACTIVE, "created_at": now,
         "updated_at": now},
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
    # All of them, whatever the image had when it was read: it may have been given more since.
    gone = {"of_id": image.id, "now": now, "new_status": status}
    for statement in _ALL_GONE:
        statement.thd_run(connection, gone)
    tombstones.thd_put_up(connection, image.id)
    return True


def _gone(table: Table, **more: Any) -> Prepared:
    now = bindparam("now", type_=DateTime)
    return Prepared(
        update(table)
        .where(table.c.image_id == bindparam("of_id"), table.c.deleted == false())
        .values(deleted=true(), deleted_at=now, updated_at=now, **more)
    )


_ALL_GONE = (
    _gone(image_members),
    _gone(image_properties),
    _gone(image_tags),
    _gone(
        image_locations,
        status=case(
            (image_locations.c.status == PENDING_DELETE, PENDING_DELETE),
            else_=bindparam("new_status", type_=String),
        ),
    ),
)


def thd_add_tag(connection: Connection, image_id: str, tag: str) -> None:
    """Add one tag that the image does not carry yet."""
    _thd_add_tags(connection, image_id, [tag], utcnow())
    thd_touch(connection, image_id)


def thd_remove_tag(connection: Connection, image_id: str, tag: str) -> bool:
    """Remove one tag; return whether the image carried it."""
    if not _thd_remove_tags(connection, image_id, {tag}, utcnow()):
        return False
    thd_touch(connection, image_id)
    return True


def _thd_remove_tags(connection: Connection, image_id: str, tags: set[str], now: datetime) -> int:
    t = image_tags.c
    rows = connection.execute(
        select(t.id, t.value).where(t.image_id == image_id, t.deleted == false())
    )
    # Compared here: to MariaDB, tags that differ in case only are the same.
    ids = [tag_id for tag_id, tag in rows if tag in tags]
    if not ids:
        return 0
    return connection.execute(
        update(image_tags)
        .where(t.id.in_(ids), t.deleted == false())
        .values(deleted=True, deleted_at=now, updated_at=now)
    ).rowcount


def thd_touch(connection: Connection, image_id: str) -> None:
    """Note that something about an image changed."""
    connection.execute(update(images).where(images.c.id == image_id).values(updated_at=utcnow()))
