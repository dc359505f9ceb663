"""What the nodes' caches have, as the catalogue's database keeps it.

A node is a row of ``node_reference``, found by its URL each time: by an index, and then it does not
matter what other software has done to that row. Times are naive UTC; MariaDB and MySQL keep whole
seconds of them, which are cut off here so that none becomes later than it was.

Blocking functions, for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, DateTime, Integer, bindparam, case, delete, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from glance.db.once import insert_once
from glance.db.prepared import Prepared
from glance.db.tables import cached_images, node_reference
from glance.domain.caching import CachedImage

T = TypeVar("T")

#: Rows of one statement: databases limit its parameters.
BATCH = 500
#: The largest INTEGER.
MOST_HITS = 2**31 - 1
#: The last second of the year 9999, which all databases can hold.
_LATEST = 253402300799.0

_c = cached_images.c
_n = node_reference.c
_VALUES = ("last_accessed", "last_modified", "size", "hits", "checksum")

_node = select(_n.node_reference_id).where(_n.node_reference_url == bindparam("url"))
_of_node = _c.node_reference_id == _node.scalar_subquery()
_find_node = Prepared(_node)
_all = Prepared(
    select(
        _c.image_id, _c.size, _c.hits, _c.last_accessed, _c.last_modified, _c.checksum, _c.id
    ).where(_of_node)
)
_at: Any = bindparam("at", type_=DateTime())
_more: Any = bindparam("more", type_=Integer())
_count = Prepared(
    update(cached_images)
    .where(_c.image_id == bindparam("the_image"), _of_node)
    .values(
        # One image's hits that no column takes would keep those of all others from being counted.
        hits=case((_c.hits > MOST_HITS - _more, MOST_HITS), else_=_c.hits + _more),
        last_accessed=case((_c.last_accessed < _at, _at), else_=_c.last_accessed),
    )
)
_nodes_with = Prepared(
    select(_n.node_reference_url)
    .join(cached_images, _c.node_reference_id == _n.node_reference_id)
    .where(_c.image_id == bindparam("the_image"))
)


def thd_node(connection: Connection, url: str) -> int:
    """Return the number of a node, which is given one if it has none."""
    found = _find_node.thd_rows(connection, {"url": url})
    if not found:
        connection.execute(insert_once(connection, node_reference, [{"node_reference_url": url}]))
        found = _find_node.thd_rows(connection, {"url": url})
    ((number,),) = found
    return int(number)


def thd_entries(connection: Connection, url: str) -> list[CachedImage]:
    """Return what a node has."""
    return [
        CachedImage(image_id, size, hits, _seconds(accessed), _seconds(modified), checksum, number)
        for image_id, size, hits, accessed, modified, checksum, number in _all.thd_rows(
            connection, {"url": url}
        )
    ]


def thd_nodes_with(connection: Connection, image_id: str) -> list[str]:
    """Return the URLs of the nodes that have an image, sorted."""
    return sorted(url for (url,) in _nodes_with.thd_rows(connection, {"the_image": image_id}))


def thd_add(connection: Connection, url: str, entries: Sequence[CachedImage]) -> None:
    """Record copies of a node; what was recorded of the same images is replaced."""
    if entries:
        node = thd_node(connection, url)
        for batch in _batches(_rows(connection, node, entries)):
            connection.execute(_insert_or_replace(connection, batch))


def thd_remove(connection: Connection, url: str, image_ids: Iterable[str]) -> None:
    """Forget copies of a node."""
    for batch in _batches(sorted(image_ids)):
        connection.execute(
            delete(cached_images).where(_c.image_id.in_(batch), _of_node), {"url": url}
        )


def thd_touch(connection: Connection, url: str, hits: Mapping[str, tuple[int, float]]) -> None:
    """Count hits; see :class:`glance.cache.interfaces.ICacheIndex`."""
    # In order, so that two processes of a node do not wait in a circle.
    for image_id, (more, at) in sorted(hits.items()):
        values = {
            "url": url,
            "the_image": image_id,
            "more": min(more, MOST_HITS),
            "at": _time(connection, at),
        }
        _count.thd_run(connection, values)


def thd_merge(connection: Connection, url: str, entries: Sequence[CachedImage]) -> None:
    """Record copies of a node of which nothing newer is recorded.

    :param entries: one for an image.
    """
    node = thd_node(connection, url)
    for batch in _batches(_rows(connection, node, entries)):
        known = dict(
            connection.execute(
                select(_c.image_id, _c.last_accessed).where(
                    _c.image_id.in_([row["image_id"] for row in batch]),
                    _c.node_reference_id == node,
                )
            ).all()
        )
        missing = [row for row in batch if row["image_id"] not in known]
        if missing:
            connection.execute(insert_once(connection, cached_images, missing))
        older = [
            row
            for row in batch
            if row["image_id"] in known and known[row["image_id"]] < row["last_accessed"]
        ]
        for row in older:
            connection.execute(
                update(cached_images)
                .where(
                    _c.image_id == row["image_id"],
                    _c.node_reference_id == node,
                    _c.last_accessed < row["last_accessed"],
                )
                .values({name: row[name] for name in _VALUES})
            )


def _rows(
    connection: Connection, node: int, entries: Iterable[CachedImage]
) -> list[dict[str, Any]]:
    """Return the rows of copies, in an order that is always the same, each image once."""
    return [
        {
            "image_id": entry.image_id,
            "node_reference_id": node,
            "last_accessed": _time(connection, entry.last_accessed),
            "last_modified": _time(connection, entry.last_modified),
            "size": entry.size,
            "hits": min(entry.hits, MOST_HITS),
            "checksum": entry.checksum,
        }
        for _, entry in sorted({entry.image_id: entry for entry in entries}.items())
    ]


def _insert_or_replace(connection: Connection, rows: Sequence[dict[str, Any]]) -> Any:
    if connection.dialect.name == "mysql":
        to_mysql = mysql.insert(cached_images).values(rows)
        return to_mysql.on_duplicate_key_update({name: to_mysql.inserted[name] for name in _VALUES})
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = kind.insert(cached_images).values(rows)
    return statement.on_conflict_do_update(
        index_elements=[_c.image_id, _c.node_reference_id],
        set_={name: statement.excluded[name] for name in _VALUES},
    )


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[n : n + BATCH] for n in range(0, len(items), BATCH))


def _time(connection: Connection, seconds: float) -> datetime:
    if not 0 <= seconds <= _LATEST:
        seconds = 0.0 if not seconds > 0 else _LATEST
    if connection.dialect.name == "mysql":
        seconds = math.floor(seconds)
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _seconds(time: datetime) -> float:
    return time.replace(tzinfo=UTC).timestamp()
