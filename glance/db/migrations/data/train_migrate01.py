"""Rename the key under which a location's metadata names its store: ``backend`` to ``store``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Text,
    bindparam,
    column,
    select,
    table,
    type_coerce,
    update,
)

from glance.db.columns import Json

BATCH = 1000

_locations = table("image_locations", column("id", Integer), column("meta_data", Json))
# Inside a JSON string a quote is escaped, so this is a key; of which object, remains to be seen.
_suspects = (
    select(_locations.c.id, _locations.c.meta_data)
    .where(type_coerce(_locations.c.meta_data, Text).like('%"backend":%'))
    .where(_locations.c.id > bindparam("after"))
    .order_by(_locations.c.id)
    .limit(BATCH)
)
_change = (
    update(_locations)
    .where(_locations.c.id == bindparam("row_id"))
    .values(meta_data=bindparam("renamed"))
)


def renamed(meta_data: Any) -> Any:
    """Return the metadata with the new key; one that has it already keeps its value."""
    if not isinstance(meta_data, dict) or "backend" not in meta_data:
        return meta_data
    rest = {name: value for name, value in meta_data.items() if name != "backend"}
    return {"store": meta_data["backend"], **rest}


def _thd_batches(connection: Connection) -> Iterator[list[dict[str, Any]]]:
    after = 0
    while rows := connection.execute(_suspects, {"after": after}).all():
        after = rows[-1].id
        yield [
            {"row_id": row.id, "renamed": new}
            for row in rows
            if (new := renamed(row.meta_data)) != row.meta_data
        ]


def thd_pending(connection: Connection) -> bool:
    """Say whether a location has the old key."""
    return any(_thd_batches(connection))


def thd_migrate(connection: Connection) -> Iterator[int]:
    """Rename the key, a batch of rows at a time."""
    for changes in _thd_batches(connection):
        if changes:
            connection.execute(_change, changes)
        yield len(changes)
