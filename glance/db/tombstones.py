"""Identifiers of images that are gone: whoever chooses one for a new image is refused.

An image's row keeps its identifier from being used again until the row is purged, by this service
or by other software. The tombstone is put up with the deletion and stays: a user who still holds
the identifier must never be given another's data under it (OSSN-0075).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select

from glance.db.once import InsertOnce
from glance.db.own_tables import image_tombstones
from glance.db.prepared import Prepared

_insert = InsertOnce(image_tombstones)
_find = Prepared(
    select(image_tombstones.c.id).where(image_tombstones.c.id == bindparam("image_id"))
)


def thd_put_up(connection: Connection, image_id: str) -> None:
    """Note that an image was deleted; doing it twice does no harm."""
    _insert.thd_insert(connection, image_id)


def thd_put_up_all(connection: Connection, image_ids: Iterable[str]) -> None:
    """Note that images were deleted."""
    _insert.thd_insert_all(connection, sorted(image_ids))


def thd_find(connection: Connection, image_id: str) -> bool:
    """Tell whether an image of this identifier was deleted once."""
    return bool(_find.thd_rows(connection, {"image_id": image_id}))
