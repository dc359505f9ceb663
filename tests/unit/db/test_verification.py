"""How a verification reads the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import event

from glance.db import schema, verification
from glance.db.engine import make_engine


def test_pages_are_read_in_order(tmp_path: Path) -> None:
    """To sort all images for every page would take for ever where there are many."""
    engine = make_engine(f"sqlite:///{tmp_path}/glance.sqlite")
    schema.thd_sync(engine)
    said: list[tuple[str, Any]] = []
    with engine.connect() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda *args: said.append((args[2], args[3]))
        )
        verification.thd_page(connection, "", 500)
        ((statement, values),) = list(said)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        steps = [row[3] for row in plan]
    engine.dispose()
    assert len(steps) == 1
    assert "(id>?)" in steps[0]
