"""Ask the catalogue which of some images there are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, false, select

from glance.db.tables import images

#: Images that are asked for at a time: databases allow no more values in a statement than some.
BATCH = 500

_i = images.c


def thd_knows_any(connection: Connection) -> bool:
    """Tell whether the catalogue has ever had an image, as far as it has not been purged."""
    return connection.execute(select(_i.id).limit(1)).first() is not None


def thd_sizes(connection: Connection, image_ids: Sequence[str]) -> dict[str, int]:
    """Return the sizes of those of some images that have not been deleted.

    :param image_ids: at most :data:`BATCH`.
    :returns: bytes by image, 0 where nobody knows yet.
    """
    asked = select(_i.id, _i.size).where(_i.id.in_(image_ids), _i.deleted == false())
    return {image_id: size or 0 for image_id, size in connection.execute(asked)}
