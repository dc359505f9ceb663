"""The places of images' data in the catalogue: more of them, other metadata, fewer.

A location goes in two steps, so that data is never without a record: the row is marked *leaving*
(``pending_delete``, and no longer the image's), and marked gone once the store has let go of the
data. Blocking functions, inside an interaction of ``glance.db.txdbapi`` that has read the image
under lock; adding one is ``images.thd_add_location``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, false, select, true, update

from glance.db.columns import utcnow
from glance.db.hints import unindexed
from glance.db.sealed_locations import thd_opener
from glance.db.tables import image_locations, images
from glance.domain.image import ACTIVE, DEACTIVATED, DELETED, PENDING_DELETE, Location

_loc = image_locations.c


def thd_set_metadata(
    connection: Connection, location: Location, metadata: Mapping[str, Any]
) -> None:
    """Replace what is said of a location."""
    connection.execute(
        update(image_locations)
        .where(_loc.id == location.id, _loc.deleted == false())
        .values(meta_data=dict(metadata), updated_at=utcnow())
    )


def thd_mark_leaving(connection: Connection, locations: Iterable[Location]) -> None:
    """Take locations off their image; the stores still hold the data."""
    _thd_mark(connection, locations, status=PENDING_DELETE, deleted=True)


def thd_mark_gone(connection: Connection, locations: Iterable[Location]) -> None:
    """Note that the data of leaving locations has been deleted."""
    _thd_mark(connection, locations, status=DELETED, deleted=True)


def thd_restore(connection: Connection, locations: Iterable[Location]) -> None:
    """Give leaving locations back to their image: the store would not let go of the data."""
    _thd_mark(connection, locations, status=ACTIVE, deleted=False)


def _thd_mark(
    connection: Connection, locations: Iterable[Location], *, status: str, deleted: bool
) -> None:
    now = utcnow()
    connection.execute(
        update(image_locations)
        .where(_loc.id.in_([location.id for location in locations]))
        .values(status=status, deleted=deleted, deleted_at=now if deleted else None, updated_at=now)
    )


def thd_leaving(connection: Connection, image_id: str) -> list[Location]:
    """List the locations of an image that are leaving."""
    rows = connection.execute(
        select(_loc.id, _loc.value, _loc.meta_data)
        .where(_loc.image_id == image_id, _loc.deleted == true(), _loc.status == PENDING_DELETE)
        .order_by(_loc.id)
    )
    opened = thd_opener(connection)
    return [
        Location(
            url if opened is None else opened(image_id, url), metadata or {}, PENDING_DELETE, key
        )
        for key, url, metadata in rows
    ]


def thd_newest(connection: Connection, limit: int) -> list[Location]:
    """List the newest locations of images that have their data."""
    live = unindexed(_loc.deleted) == false()
    rows = connection.execute(
        select(_loc.image_id, _loc.id, _loc.value, _loc.meta_data)
        .join(images, images.c.id == _loc.image_id)
        .where(live, images.c.deleted == false(), images.c.status.in_((ACTIVE, DEACTIVATED)))
        .order_by(_loc.id.desc())
        .limit(limit)
    )
    opened = thd_opener(connection)
    return [
        Location(url if opened is None else opened(image_id, url), metadata or {}, ACTIVE, key)
        for image_id, key, url, metadata in rows
    ]
