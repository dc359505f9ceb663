"""Tombstones of what was deleted before there were any."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, select, text

from glance.db import schema
from glance.db.engine import make_engine
from glance.db.migrations.data import own_1_0_migrate02 as migration
from glance.db.own_tables import image_tombstones

_ROW = (
    "INSERT INTO images (id, status, visibility, min_disk, min_ram, protected, os_hidden,"
    " created_at, deleted) VALUES (:id, 'x', 'shared', 0, 0, 0, 0, '2015-01-01', :deleted)"
)


def _ids(connection: Connection) -> list[str]:
    return sorted(connection.scalars(select(image_tombstones.c.id)))


def test_batches(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/glance.sqlite", sqlite_synchronous=False)
    schema.thd_sync(engine)
    deleted = [f"d{n:05}" for n in range(2 * migration.BATCH + 1)]
    with engine.connect() as connection:
        assert not migration.thd_pending(connection)
        connection.exec_driver_sql("BEGIN")
        rows = [{"id": name, "deleted": True} for name in deleted]
        connection.execute(text(_ROW), [*rows, {"id": "lives", "deleted": False}])
        # One has its own already, others none of an image that is still there.
        connection.execute(text("INSERT INTO image_tombstones VALUES ('d00003'), ('purged')"))
        assert migration.thd_pending(connection)
        assert list(migration.thd_migrate(connection)) == [migration.BATCH, migration.BATCH]
        assert _ids(connection) == [*deleted, "purged"]
        assert not migration.thd_pending(connection)
        assert list(migration.thd_migrate(connection)) == []
        connection.commit()
    engine.dispose()
