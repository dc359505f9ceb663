"""Find images whose data is still to be deleted.

Apart from what is done about them (``glance.db.pending``), so that finding out that there are none
takes next to nothing. Blocking functions, for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select, true

from glance.db.tables import images
from glance.domain.image import PENDING_DELETE

_i = images.c

#: What an image without a time of deletion, which other software may have left, counts as.
_LONG_AGO = datetime(1970, 1, 1)

IS_PENDING = and_(_i.deleted == true(), _i.status == PENDING_DELETE)


@dataclass(frozen=True, slots=True)
class Due:
    """An image whose data may be deleted by now.

    :param deleted_at: when the image was deleted, UTC.
    """

    id: str
    deleted_at: datetime


def thd_is_pending(connection: Connection, image_id: str) -> bool:
    """Tell whether an image was deleted and its data is still to be, by the scrubber alone."""
    asked = select(_i.id).where(_i.id == image_id, IS_PENDING)
    return connection.execute(asked).first() is not None


def thd_due(
    connection: Connection, deleted_until: datetime, after: Due | None, limit: int
) -> list[Due]:
    """List images whose data may be deleted, those deleted first in front.

    :param deleted_until: the latest time of deletion, UTC.
    :param after: the last one of the page before.
    """
    deleted_at: ColumnElement[datetime] = func.coalesce(_i.deleted_at, _LONG_AGO)
    statement = select(_i.id, deleted_at).where(IS_PENDING, deleted_at <= deleted_until)
    if after is not None:
        # Spelt out: a comparison of rows is no index's business here.
        statement = statement.where(
            deleted_at >= after.deleted_at,
            or_(deleted_at > after.deleted_at, _i.id > literal(after.id)),
        )
    rows = connection.execute(statement.order_by(deleted_at, _i.id).limit(limit))
    return [Due(*row) for row in rows]
