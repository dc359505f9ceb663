"""What an interaction costs a database, by the database's own count: time decides nothing.

SQLite counts steps of its virtual machine, PostgreSQL the pages it looks at, MariaDB the rows it
reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.pool.base import _ConnectionFairy

#: The most that a page may cost; a look at all images costs hundreds of times as much.
_MOST = {"sqlite": 6_000, "postgresql": 320, "mysql": 240}
#: The most that it may cost more for each further way to see images.
_OF_A_WAY = {"sqlite": 6_000, "postgresql": 160, "mysql": 180}
#: The most for each image that is looked at beside those on the page.
_OF_AN_IMAGE = {"sqlite": 80, "postgresql": 6, "mysql": 8}
#: The most for seeing that there are many images on a way.
_OF_A_SURVEY = {"sqlite": 20_000, "postgresql": 100, "mysql": 2_100}


def most(kind: str, *, ways: int = 1, images: int = 0, surveys: int = 0) -> int:
    """Return the most that a page may cost a database.

    :param ways: by how many ways an image may be seen.
    :param images: how many are looked at beside those on the page.
    :param surveys: on how many ways there are so many that it matters.
    """
    more = _OF_A_WAY[kind] * (ways - 1) + _OF_AN_IMAGE[kind] * images
    return _MOST[kind] + more + _OF_A_SURVEY[kind] * surveys


class Meter:
    """Counts what interactions cost a database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kind = connection.dialect.name
        self.plans: list[str] = []

    def cost(self, interaction: Any, *args: Any) -> int:
        measure = {"sqlite": self._steps, "postgresql": self._pages, "mysql": self._rows}
        return measure[self._kind](lambda: interaction(self._connection, *args))

    def statements(self, interaction: Any, *args: Any) -> int:
        """Return how many statements an interaction runs."""
        return len(self._seen(lambda: interaction(self._connection, *args)))

    def _steps(self, run: Callable[[], Any]) -> int:
        raw: Any = self._connection.connection.dbapi_connection
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 100
            return 0

        for statement, values, _ in self._seen(run):
            plan = raw.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            self.plans += [row[3] for row in plan]
        raw.set_progress_handler(step, 100)
        run()
        raw.set_progress_handler(None, 0)
        return steps

    def _pages(self, run: Callable[[], Any]) -> int:
        pages = 0
        for statement, values, options in self._seen(run):
            with self._connection.connection.cursor() as cursor:
                costs = [_pages_of(cursor, statement, values)]
                if options.get("prepare", True):
                    # Kept long enough, a statement is planned without regard to the values.
                    costs.append(self._pages_of_kept(cursor, statement, values))
            pages += max(costs)
        return pages

    def _pages_of_kept(self, cursor: Any, statement: str, values: Mapping[str, Any]) -> int:
        import psycopg

        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
        numbered = re.sub(r"%\((\w+)\)s", lambda m: f"${names.index(m[1]) + 1}", statement)
        raw: Any = self._connection.connection.dbapi_connection
        given = [psycopg.ClientCursor(raw).mogrify("%s", [values[name]]) for name in names]
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE kept AS {numbered}")
        cost = _pages_of(cursor, f"EXECUTE kept({', '.join(given)})" if given else "EXECUTE kept")
        cursor.execute("DEALLOCATE kept")
        cursor.execute("RESET plan_cache_mode")
        return cost

    def _rows(self, run: Callable[[], Any]) -> int:
        cursor = self._connection.connection.cursor()
        cursor.execute("FLUSH STATUS")
        run()
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        read = sum(int(count) for _, count in cursor.fetchall())
        cursor.close()
        return read

    def _seen(self, run: Callable[[], Any]) -> list[tuple[str, Any, dict[str, Any]]]:
        """Run, and return the statements with their values and the driver's options."""
        seen: list[tuple[str, Any, dict[str, Any]]] = []
        cursor = _ConnectionFairy.cursor

        class Noting:
            def __init__(self, real: Any) -> None:
                self._real = real

            def execute(self, statement: str, values: Any, **options: Any) -> Any:
                seen.append((statement, values, options))
                return self._real.execute(statement, values, **options)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._real, name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_ConnectionFairy, "cursor", lambda *a, **k: Noting(cursor(*a, **k)))
            run()
        return seen


def _pages_of(cursor: Any, statement: str, values: Any = None) -> int:
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values)
    (plan,) = cursor.fetchone()[0]
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
