"""The index for pages of the image list does what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from glance.db import schema
from glance.db.engine import make_engine
from glance.db.own_tables import listing_index


@pytest.mark.parametrize("after", ["", "AND created_at <= :c AND (created_at < :c OR id < :i)"])
def test_page_of_newest_images_is_read_in_order(tmp_path: Path, after: str) -> None:
    # On a database without statistics, as an embedded one is.
    engine = make_engine(f"sqlite:///{tmp_path}/glance.sqlite")
    schema.thd_sync(engine)
    query = (
        "EXPLAIN QUERY PLAN SELECT * FROM images WHERE deleted = 0 AND os_hidden = 0 "
        f"AND visibility <> 'community' {after} ORDER BY created_at DESC, id DESC LIMIT 21"
    )
    with engine.connect() as connection:
        plan = connection.execute(text(query), {"c": "2026-01-01", "i": "x"} if after else {})
        steps = [row[3] for row in plan]
    assert len(steps) == 1
    assert f"USING INDEX {listing_index.name} (deleted=?" in steps[0]
