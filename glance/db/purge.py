"""Remove rows that were marked as deleted long ago.

In short transactions of some hundred rows, so that a service at work is never held up, and oldest
first. Every DELETE says again what was true when its rows were chosen: a row that was taken up
again meanwhile, as a property is, stays. So does what leads to data that is still in a store, and
whatever belongs to an image that somebody works on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    and_,
    delete,
    exists,
    false,
    func,
    not_,
    select,
    true,
    union,
)
from sqlalchemy.exc import IntegrityError

from glance.db import tombstones
from glance.db.oneshot import Transactions
from glance.db.own_tables import transfer_leases
from glance.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)
from glance.domain.errors import Conflict
from glance.domain.image import PENDING_DELETE

#: Rows that one transaction deletes.
BATCH = 500
#: Rows that one query chooses: it has to sort all that are old enough, which may be millions.
WINDOW = 50_000
#: The longest rest after a batch, in seconds; otherwise as long as the batch took.
LONGEST_REST = 0.1


_of_image, _of_task = images.alias("of_image"), tasks.alias("of_task")


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a table that can be purged.

    :param key: the primary key.
    :param since: when they were deleted, which may be told by another table that ``source`` joins.
    :param old: says which they are, given the time before which they were deleted.
    :param source: what is read to choose them.
    :param thd_before: called with the connection and the keys before they are deleted.
    """

    key: Column[Any]
    since: Column[Any]
    old: Callable[[datetime], ColumnElement[bool]]
    source: FromClause
    thd_before: Callable[[Connection, Sequence[Any]], None] = lambda connection, keys: None

    @property
    def table(self) -> Table:
        """Return the table."""
        return self.key.table

    def oldest(self, cutoff: datetime, limit: int | None) -> Select[Any]:
        """Return the keys of what was deleted before a time, the oldest first."""
        return (
            select(self.key)
            .select_from(self.source)
            .where(self.old(cutoff))
            .order_by(self.since, self.key)
            .limit(limit)
        )

    def thd_delete(self, connection: Connection, cutoff: datetime, keys: Sequence[Any]) -> int:
        """Delete those of some rows that still are to be; return how many."""
        self.thd_before(connection, keys)
        doomed = delete(self.table).where(self.key.in_(keys), self.old(cutoff))
        return connection.execute(doomed).rowcount


def _marked(table: Table, cutoff: datetime) -> ColumnElement[bool]:
    return and_(table.c.deleted == true(), table.c.deleted_at < cutoff)


def _leased(image_id: ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(transfer_leases.c.image_id == image_id)


def _free(image_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Say that neither a scrubber nor anybody else has to do with an image."""
    waits = exists().where(images.c.id == image_id, images.c.status == PENDING_DELETE)
    return and_(not_(waits), not_(_leased(image_id)))


def _child(table: Table, *more: ColumnElement[bool]) -> Part:
    """Return what was deleted of images' parts."""
    return Part(
        table.c.id,
        table.c.deleted_at,
        lambda cutoff: and_(_marked(table, cutoff), _free(table.c.image_id), *more),
        table,
    )


def _stray(table: Table) -> Part:
    """Return parts that deleted images were given while they were being deleted.

    Other software lets that happen; nobody would ever mark them, and their images could never be
    purged. Not so with locations, which stand for data.
    """
    of_deleted = exists().where(images.c.id == table.c.image_id)
    return Part(
        table.c.id,
        _of_image.c.deleted_at,
        lambda cutoff: and_(
            table.c.deleted == false(),
            of_deleted.where(_marked(images, cutoff)),
            _free(table.c.image_id),
        ),
        table.join(_of_image, _of_image.c.id == table.c.image_id),
    )


def _thd_put_up(connection: Connection, keys: Sequence[str]) -> None:
    """Put up tombstones for images that other software deleted."""
    tombstones.thd_put_up_all(connection, keys)


_task_info = exists().where(task_info.c.task_id == tasks.c.id)
_leaving = exists().where(
    image_locations.c.image_id == images.c.id, image_locations.c.status == PENDING_DELETE
)

#: What ``db purge`` removes, in this order.
PARTS = (
    Part(
        task_info.c.task_id,
        _of_task.c.deleted_at,
        lambda cutoff: exists().where(tasks.c.id == task_info.c.task_id, _marked(tasks, cutoff)),
        task_info.join(_of_task, _of_task.c.id == task_info.c.task_id),
    ),
    _child(image_properties),
    _stray(image_properties),
    _child(image_tags),
    _stray(image_tags),
    _child(image_locations, image_locations.c.status != PENDING_DELETE),
    _child(image_members),
    _stray(image_members),
    Part(
        tasks.c.id,
        tasks.c.deleted_at,
        lambda cutoff: and_(_marked(tasks, cutoff), not_(_task_info)),
        tasks,
    ),
)

#: What ``db purge_images_table`` removes.
IMAGES = Part(
    images.c.id,
    images.c.deleted_at,
    lambda cutoff: and_(
        _marked(images, cutoff),
        images.c.status != PENDING_DELETE,
        not_(_leaving),
        not_(_leased(images.c.id)),
    ),
    images,
    _thd_put_up,
)

_CHILDREN = (image_properties, image_tags, image_locations, image_members)


def thd_purge(
    transactions: Transactions,
    parts: Sequence[Part],
    cutoff: datetime,
    max_rows: int | None,
    rest: Callable[[float], object] = time.sleep,
) -> Iterator[tuple[str, int]]:
    """Delete what is old enough, batch by batch.

    :param cutoff: what was deleted before it is.
    :param max_rows: of each table, at most; ``None`` for all.
    :param rest: waits for a number of seconds, so that others have their turn.
    :raises Unavailable: the database broke off; the batches so far stay deleted.
    :returns: yields a table's name and a number of rows that are gone for good.
    """
    left: dict[str, int | None] = {part.table.name: max_rows for part in parts}
    for part in parts:
        name = part.table.name
        for rows in _thd_purge_part(transactions, part, cutoff, left[name], rest):
            remaining = left[name]
            left[name] = None if remaining is None else remaining - rows
            yield name, rows


def _thd_purge_part(
    transactions: Transactions,
    part: Part,
    cutoff: datetime,
    left: int | None,
    rest: Callable[[float], object],
) -> Iterator[int]:
    progress = True
    # Rows of a window that would not go must not be chosen for ever.
    while progress and (left is None or left > 0):
        window = WINDOW if left is None else min(WINDOW, left)
        keys = transactions.thd_run(_thd_keys, part.oldest(cutoff, window))
        progress = False
        for first in range(0, len(keys), BATCH):
            began = time.monotonic()
            rows = transactions.thd_run(part.thd_delete, cutoff, keys[first : first + BATCH])
            progress = progress or rows > 0
            left = None if left is None else left - rows
            yield rows
            rest(min(time.monotonic() - began, LONGEST_REST))


def _thd_keys(connection: Connection, chosen: Select[Any]) -> list[Any]:
    return list(connection.scalars(chosen))


def thd_purge_images(
    transactions: Transactions,
    cutoff: datetime,
    max_rows: int | None,
    rest: Callable[[float], object] = time.sleep,
) -> Iterator[tuple[str, int]]:
    """Delete images that are old enough, batch by batch, or none if one is still referred to.

    Parameters and results are those of :func:`thd_purge`.

    :raises Conflict: rows of other tables refer to them.
    """
    transactions.thd_run(_thd_check_unreferenced, cutoff, max_rows)
    try:
        yield from thd_purge(transactions, [IMAGES], cutoff, max_rows, rest)
    except IntegrityError:
        raise Conflict(_STILL_REFERENCED.format("other tables")) from None


_STILL_REFERENCED = (
    "Rows of {} still refer to images that are to be purged; nothing more was purged. First run, "
    "with at least the same limits: glance-manage db purge"
)


def _thd_check_unreferenced(connection: Connection, cutoff: datetime, max_rows: int | None) -> None:
    doomed = IMAGES.oldest(cutoff, max_rows).subquery()
    referring = [
        child.name
        for child in _CHILDREN
        if connection.execute(
            select(child.c.id).join(doomed, doomed.c.id == child.c.image_id).limit(1)
        ).first()
    ]
    if referring:
        raise Conflict(_STILL_REFERENCED.format(", ".join(referring)))


@dataclass(frozen=True, slots=True)
class Held:
    """Images some of whose rows are old enough but stay.

    :param waiting: their data, or some of it, has yet to be removed by the scrubber.
    :param leased: somebody works on them.
    """

    waiting: int
    leased: int


def thd_held(connection: Connection, cutoff: datetime) -> Held:
    """Count the images some of whose rows are old enough but stay."""
    location = image_locations.c
    waiting = union(
        select(images.c.id).where(_marked(images, cutoff), images.c.status == PENDING_DELETE),
        select(location.image_id).where(
            _marked(image_locations, cutoff), location.status == PENDING_DELETE
        ),
    ).subquery()
    leased = select(func.count()).where(_marked(images, cutoff), _leased(images.c.id))
    return Held(
        connection.scalar(select(func.count()).select_from(waiting)) or 0,
        connection.scalar(leased) or 0,
    )
