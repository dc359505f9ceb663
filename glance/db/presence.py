"""Ask the catalogue which of some images there are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, false, select

from glance.db.tables import images

#: Images that are asked for at a time: databases allow no more values in a statement than some.
BATCH = 500

_i = images.c


def thd_alive(connection: Connection, image_ids: Sequence[str]) -> dict[str, bool]:
    """Return which of some images the catalogue knows, and which of those are not deleted.

    :param image_ids: at most :data:`BATCH`.
    """
    asked = select(_i.id, _i.deleted).where(_i.id.in_(image_ids))
    return {image_id: not deleted for image_id, deleted in connection.execute(asked)}


def thd_sizes(connection: Connection, image_ids: Sequence[str]) -> dict[str, int]:
    """Return the sizes of those of some images that have not been deleted.

    :param image_ids: at most :data:`BATCH`.
    :returns: bytes by image, 0 where nobody knows yet.
    """
    asked = select(_i.id, _i.size).where(_i.id.in_(image_ids), _i.deleted == false())
    return {image_id: size or 0 for image_id, size in connection.execute(asked)}
