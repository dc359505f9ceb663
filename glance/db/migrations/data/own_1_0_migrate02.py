"""Put up tombstones for images that were deleted before there were any.

Their rows may be purged at any time, by other software too.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import (
    Boolean,
    Connection,
    String,
    and_,
    bindparam,
    column,
    outerjoin,
    select,
    table,
    true,
)

from glance.db.tombstones import thd_put_up

BATCH = 1000

_images = table("images", column("id", String), column("deleted", Boolean))
_tombstones = table("image_tombstones", column("id", String))
_lacking = (
    select(_images.c.id)
    .select_from(outerjoin(_images, _tombstones, _images.c.id == _tombstones.c.id))
    .where(and_(_images.c.deleted == true(), _tombstones.c.id.is_(None)))
    .where(_images.c.id > bindparam("after"))
    .order_by(_images.c.id)
    .limit(BATCH)
)


def thd_pending(connection: Connection) -> bool:
    """Say whether a deleted image has no tombstone."""
    return connection.execute(_lacking, {"after": ""}).first() is not None


def thd_migrate(connection: Connection) -> Iterator[int]:
    """Put up what tombstones are missing, a batch at a time."""
    after = ""
    while rows := connection.execute(_lacking, {"after": after}).all():
        for row in rows:
            thd_put_up(connection, row.id)
        after = rows[-1].id
        yield len(rows)
