"""The indexes for pages of the image list do what they are there for."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Index, text

from glance.db import schema
from glance.db.engine import make_engine
from glance.db.own_tables import listing_index, owner_index, visibility_index


@pytest.mark.parametrize("after", ["", "AND created_at <= :c AND (created_at < :c OR id < :i)"])
@pytest.mark.parametrize(
    ("seen", "columns", "index", "begins"),
    [
        ("visibility <> 'community'", "*", listing_index, "INDEX {} (deleted=?"),
        ("visibility = 'public'", "*", visibility_index, "INDEX {} (visibility=? AND deleted=?"),
        ("owner = 'me'", "created_at, id", owner_index, "COVERING INDEX {} (owner=? AND deleted=?"),
    ],
    ids=["any", "public", "own"],
)
def test_page_of_newest_images_is_read_in_order(
    tmp_path: Path, seen: str, columns: str, index: Index, begins: str, after: str
) -> None:
    # On a database without statistics, as an embedded one is.
    engine = make_engine(f"sqlite:///{tmp_path}/glance.sqlite")
    schema.thd_sync(engine)
    query = (
        f"EXPLAIN QUERY PLAN SELECT {columns} FROM images WHERE deleted = 0 AND os_hidden = 0 "
        f"AND status <> 'killed' AND {seen} {after} ORDER BY created_at DESC, id DESC LIMIT 21"
    )
    with engine.connect() as connection:
        plan = connection.execute(text(query), {"c": "2026-01-01", "i": "x"} if after else {})
        steps = [row[3] for row in plan]
    assert len(steps) == 1
    assert f"USING {begins.format(index.name)}" in steps[0]
