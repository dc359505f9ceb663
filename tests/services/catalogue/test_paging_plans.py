"""Pages of a hundred thousand images: the last costs what the first does, by the database's count.

Time decides nothing here. SQLite counts steps of its virtual machine, PostgreSQL the pages it looks
at, MariaDB the rows it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.pool.base import _ConnectionFairy

from glance.db.engine import make_engine
from glance.db.image_listing import thd_list
from glance.domain.listing import ListQuery
from glance.domain.viewer import Viewer
from tests.services.catalogue.support import ADMIN

IMAGES = 100_000
PAGE = 25
#: Images that share a second, as images that are made in bulk do.
AT_ONCE = 20

_COLUMNS = (
    "id, name, status, visibility, min_disk, min_ram, owner, protected, os_hidden, created_at,"
    " updated_at, deleted"
)
_SELECT = (
    "SELECT {id}, 'image', 'active', 'public', 0, 0, 'p', {no}, {n} % 50 = 3, {when}, {when},"
    " {n} % 10 = 1"
)
FILL = {
    "sqlite": _SELECT.format(
        id="printf('%08x-%d', (n * 2654435761) % 4294967296, n)",
        no="false",
        n="n",
        when=f"datetime(1700000000 + n / {AT_ONCE}, 'unixepoch') || '.000000'",
    )
    + f" FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {IMAGES})"
    " SELECT n FROM s)",
    "postgresql": _SELECT.format(
        id="lpad(to_hex((n * 2654435761) % 4294967296), 8, '0') || '-' || n",
        no="false",
        n="n",
        when=f"to_timestamp(1700000000 + n / {AT_ONCE}) AT TIME ZONE 'UTC'",
    )
    + f" FROM generate_series(1::bigint, {IMAGES}) n",
    "mysql": _SELECT.format(
        id="concat(lpad(hex((seq * 2654435761) % 4294967296), 8, '0'), '-', seq)",
        no="false",
        n="seq",
        when=f"from_unixtime(1700000000 + seq DIV {AT_ONCE})",
    )
    + f" FROM seq_1_to_{IMAGES}",
}
ANALYZE = {"sqlite": None, "postgresql": "ANALYZE images", "mysql": "ANALYZE TABLE images"}
#: The most that a page may cost; a look at all images costs hundreds of times as much.
MOST = {"sqlite": 6_000, "postgresql": 120, "mysql": 150}

SORTS = {
    "newest": (("created_at", "desc"), ("id", "desc")),
    "oldest": (("created_at", "asc"), ("id", "asc")),
    "by id": (("id", "asc"), ("created_at", "asc")),
}


@pytest.fixture(scope="module")
def crowded(catalogue_url: str) -> Iterator[Connection]:
    """A connection to a catalogue with many images."""
    engine = make_engine(catalogue_url, sqlite_synchronous=False)
    kind = engine.dialect.name
    with engine.connect() as connection:
        raw = connection.connection.cursor()
        raw.execute(f"INSERT INTO images ({_COLUMNS}) {FILL[kind]}")
        if ANALYZE[kind]:
            raw.execute(ANALYZE[kind])
        raw.close()
        yield connection
    engine.dispose()


class Meter:
    """Counts what interactions cost a database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kind = connection.dialect.name
        self.plans: list[str] = []

    def cost(self, interaction: Any, *args: Any) -> int:
        measure = {"sqlite": self._steps, "postgresql": self._pages, "mysql": self._rows}
        return measure[self._kind](lambda: interaction(self._connection, *args))

    def _steps(self, run: Any) -> int:
        raw: Any = self._connection.connection.dbapi_connection
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 100
            return 0

        for statement, values in self._seen(run):
            plan = raw.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            self.plans += [row[3] for row in plan]
        raw.set_progress_handler(step, 100)
        run()
        raw.set_progress_handler(None, 0)
        return steps

    def _pages(self, run: Any) -> int:
        pages = 0
        for statement, values in self._seen(run):
            cursor = self._connection.connection.cursor()
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values)
            (plan,) = cursor.fetchone()[0]  # type: ignore[index]
            pages += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
            cursor.close()
        return pages

    def _rows(self, run: Any) -> int:
        cursor = self._connection.connection.cursor()
        cursor.execute("FLUSH STATUS")
        run()
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        read = sum(int(count) for _, count in cursor.fetchall())
        cursor.close()
        return read

    def _seen(self, run: Any) -> list[tuple[str, Any]]:
        """Run, and return the statements with their values."""
        seen: list[tuple[str, Any]] = []
        cursor = _ConnectionFairy.cursor

        class Noting:
            def __init__(self, real: Any) -> None:
                self._real = real

            def execute(self, statement: str, values: Any, **options: Any) -> Any:
                seen.append((statement, values))
                return self._real.execute(statement, values, **options)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._real, name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_ConnectionFairy, "cursor", lambda *a, **k: Noting(cursor(*a, **k)))
            run()
        return seen


@pytest.mark.parametrize("viewer", [ADMIN, Viewer("p"), Viewer("stranger"), Viewer(None)])
@pytest.mark.parametrize("sort", SORTS)
def test_every_page_costs_the_same(crowded: Connection, sort: str, viewer: Viewer) -> None:
    order = SORTS[sort]
    by = ", ".join(f"{key} {direction}" for key, direction in order)
    seen = crowded.exec_driver_sql(
        f"SELECT id FROM images WHERE deleted = false AND os_hidden = false ORDER BY {by}"
    )
    ids = [row[0] for row in seen]
    assert IMAGES * 0.8 < len(ids) < IMAGES
    meter = Meter(crowded)
    costs = {}
    for place in (0, PAGE, *(len(ids) * n // 10 + n for n in range(1, 10)), len(ids) - PAGE):
        query = ListQuery(PAGE, ids[place - 1] if place else None, order)  # type: ignore[arg-type]
        page = thd_list(crowded, query, viewer)
        assert [image.id for image in page] == ids[place : place + PAGE]
        costs[place] = meter.cost(thd_list, query, viewer)
    if sort == "by id" and crowded.dialect.name == "sqlite":
        # Without statistics it takes the index of what is not deleted, and sorts.
        return
    assert max(costs.values()) <= MOST[crowded.dialect.name], costs
    assert min(costs.values()) > 0
    assert not [step for step in meter.plans if "TEMP B-TREE" in step]
    if crowded.dialect.name == "sqlite":
        assert any("ix_txglance_images_deleted_created_at_id" in step for step in meter.plans)


def test_what_the_meter_shows_of_a_look_at_all(crowded: Connection) -> None:
    order = (("name", "asc"), ("created_at", "asc"), ("id", "asc"))
    cost = Meter(crowded).cost(thd_list, ListQuery(PAGE, None, order), ADMIN)  # type: ignore[arg-type]
    assert cost > 5 * MOST[crowded.dialect.name]
