"""Take back the deletion of an image whose data is still there: ``pending_delete`` to ``active``.

What was deleted with the image comes back with it: its locations, properties, tags and members. A
deletion marks all of them with one time, by which they are told from what was removed before.
Blocking functions, for interactions of ``glance.db.txdbapi``; whoever calls them holds the image's
lease in between (``glance.scrub.restoring``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, or_, select, true, update

from glance.db import leases
from glance.db.columns import utcnow
from glance.db.leases import Lease
from glance.db.sealed_locations import thd_opener
from glance.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
)
from glance.domain.errors import Conflict, InvalidStatus
from glance.domain.image import ACTIVE, PENDING_DELETE, Location, no_such_image

#: How long before its image a location may have been marked as deleted to count as deleted with it:
#: the OpenStack service marks them one by one.
TOGETHER = timedelta(seconds=10)

#: Properties that say what is being done to an image; nothing is, any more.
_OWN_PROPERTIES = "os\\_glance\\_%"

_i = images.c
_loc = image_locations.c


@dataclass(frozen=True, slots=True)
class Begun:
    """A restoration under way.

    :param deleted_at: when the image was deleted.
    :param locations: of the data that the catalogue believes to be there.
    """

    image_id: str
    lease: str
    deleted_at: datetime | None
    locations: tuple[Location, ...]


def thd_begin(connection: Connection, image_id: str, node: str, worker: str) -> Begun | Lease:
    """Take an image's lease in order to restore it.

    :param node: ours, with the worker: as :func:`glance.db.leases.thd_take` has them.
    :returns: what may be restored; or the lease of whoever is at work on the image.
    :raises NotFound: there is no such image.
    :raises InvalidStatus: it is not in ``pending_delete``.
    """
    deleted_at = _thd_check(connection, image_id)
    lease = leases.thd_take(connection, image_id, leases.RESTORE, node, worker)
    if lease is None:
        held = [e for e in leases.thd_all(connection) if e.image_id == image_id]
        if not held:
            raise Conflict(f"Image {image_id} was in the hands of another process; try again.")
        return held[0]
    # Whoever held the lease before us may have finished the image.
    _thd_check(connection, image_id)
    locations = _thd_locations(connection, image_id, deleted_at)
    return Begun(image_id, lease, deleted_at, tuple(locations))


def _thd_check(connection: Connection, image_id: str) -> datetime | None:
    row = connection.execute(
        select(_i.status, _i.deleted_at).where(_i.id == image_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise no_such_image(image_id)
    if row.status != PENDING_DELETE:
        raise InvalidStatus(
            f"Image {image_id} is {row.status}; only an image that is {PENDING_DELETE} can be "
            "restored."
        )
    deleted_at: datetime | None = row.deleted_at
    return deleted_at


def _thd_locations(
    connection: Connection, image_id: str, deleted_at: datetime | None
) -> list[Location]:
    condition = [_loc.image_id == image_id, _loc.status == PENDING_DELETE]
    if deleted_at is not None:
        # Others were taken off the image before, and are leaving for good.
        condition.append(or_(_loc.deleted_at.is_(None), _loc.deleted_at >= deleted_at - TOGETHER))
    rows = connection.execute(
        select(_loc.id, _loc.value, _loc.meta_data).where(*condition).order_by(_loc.id)
    )
    opened = thd_opener(connection)
    return [
        Location(
            value if opened is None else opened(image_id, value),
            metadata or {},
            PENDING_DELETE,
            key,
        )
        for key, value, metadata in rows
    ]


def thd_finish(connection: Connection, begun: Begun, there: Collection[Location]) -> None:
    """Make the image active with what was deleted with it, and end the lease.

    :param there: the locations whose data is there; the others stay to be scrubbed.
    :raises Conflict: the lease was lost.
    """
    now = utcnow()
    alive = {"deleted": False, "deleted_at": None, "updated_at": now}
    moved = connection.execute(
        update(images)
        .where(_i.id == begun.image_id, _i.status == PENDING_DELETE)
        .values(status=ACTIVE, **alive)
    )
    if moved.rowcount != 1 or not leases.thd_end(connection, begun.lease, leases.RESTORE):
        raise Conflict(f"Image {begun.image_id} was changed by another process; try again.")
    connection.execute(
        update(image_locations)
        .where(_loc.id.in_([location.id for location in there]))
        .values(status=ACTIVE, **alive)
    )
    _thd_revive(
        connection,
        image_properties,
        begun,
        alive,
        ~image_properties.c.name.like(_OWN_PROPERTIES, escape="\\"),
    )
    _thd_revive(connection, image_members, begun, alive)
    # One row each: the same tag may have been removed and added again at that moment.
    t = image_tags.c
    rows = connection.execute(
        select(t.value, t.id)
        .where(t.image_id == begun.image_id, t.deleted == true(), t.deleted_at == begun.deleted_at)
        .order_by(t.id)
    )
    tags = {row.value: row.id for row in rows}
    connection.execute(update(image_tags).where(t.id.in_(list(tags.values()))).values(**alive))


def _thd_revive(
    connection: Connection, table: Table, begun: Begun, alive: dict[str, Any], *conditions: Any
) -> None:
    c = table.c
    connection.execute(
        update(table)
        .where(
            c.image_id == begun.image_id,
            c.deleted == true(),
            c.deleted_at == begun.deleted_at,
            *conditions,
        )
        .values(**alive)
    )
