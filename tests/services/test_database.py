"""Interactions with servers that drop connections: work goes on, and nothing is done twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from twisted.internet.defer import Deferred

from glance.db.engine import make_engine
from glance.db.txdbapi import Database, Retry
from glance.domain.errors import Unavailable
from tests.services.catalogue.support import PATIENCE, PumpedReactor
from tests.services.servers import free_port

pytestmark = pytest.mark.service

THREADS = 6
KILL = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid != pg_backend_pid()",
    "mysql": "SELECT concat('KILL ', id) FROM information_schema.processlist"
    " WHERE db = database() AND id != connection_id()",
}


@pytest.fixture(params=["postgresql_url", "mariadb_url"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(request.getfixturevalue(request.param))
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    yield engine
    engine.dispose()


class Crowd:
    def __init__(self, engine: Engine, **options: Any) -> None:
        self.reactor = PumpedReactor()
        self.database = Database(engine, self.reactor, threads=THREADS, **options)
        self.database.start()

    def results(self, *answers: Deferred[Any]) -> list[Any]:
        return self.reactor.results(answers)

    def meet(self) -> None:
        """Have every thread use its connection."""
        barrier = threading.Barrier(THREADS)

        def thd_meet(connection: Connection) -> None:
            barrier.wait(PATIENCE)
            connection.execute(text("SELECT 1"))

        run = self.database.runReading
        assert self.results(*[run(thd_meet) for _ in range(THREADS)]) == [None] * THREADS


@pytest.fixture
def crowd(engine: Engine) -> Iterator[Crowd]:
    crowd = Crowd(engine)
    yield crowd
    crowd.results(crowd.database.stop())


def kill_all(engine: Engine) -> None:
    """Drop all other connections to the database, as the restart of a server does."""
    with engine.connect() as connection:
        found = connection.execute(text(KILL[engine.dialect.name])).all()
        assert found
        for (command,) in found:
            if engine.dialect.name == "mysql":
                connection.exec_driver_sql(command)


def thd_add(connection: Connection, n: int) -> int:
    connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})
    return n


def numbers(crowd: Crowd) -> list[int]:
    (rows,) = crowd.results(crowd.database.runQuery(text("SELECT n FROM t ORDER BY n")))
    return [n for (n,) in rows]


def test_dropped_connections_are_not_noticed(crowd: Crowd, engine: Engine) -> None:
    for turn in range(3):
        crowd.meet()
        kill_all(engine)
        made = [THREADS * turn + n for n in range(THREADS)]
        run = crowd.database.runInteraction
        assert crowd.results(*[run(thd_add, n) for n in made]) == made
    assert numbers(crowd) == list(range(3 * THREADS))


def test_one_attempt_is_enough_whatever_thread_has_the_job(engine: Engine) -> None:
    crowd = Crowd(engine, retry=Retry(losses=1))
    crowd.meet()
    kill_all(engine)
    for n in range(3 * THREADS):
        assert crowd.results(crowd.database.runInteraction(thd_add, n)) == [n]
    crowd.results(crowd.database.stop())


def test_a_transaction_broken_off_in_the_middle_is_done_once(crowd: Crowd, engine: Engine) -> None:
    broken: list[int] = []

    def thd_break(connection: Connection, n: int) -> int:
        thd_add(connection, n)
        if not broken:
            broken.append(n)
            kill_all(engine)
        return thd_add(connection, n + 1)

    assert crowd.results(crowd.database.runInteraction(thd_break, 5)) == [6]
    assert numbers(crowd) == [5, 6]


def test_a_transaction_broken_off_at_its_end_is_not_repeated(crowd: Crowd, engine: Engine) -> None:
    def thd_break(connection: Connection) -> None:
        thd_add(connection, 7)
        kill_all(engine)

    (error,) = crowd.results(crowd.database.runInteraction(thd_break))
    assert isinstance(error, Unavailable)
    assert "look whether" in error.message
    assert numbers(crowd) == []


def test_deadlocks_are_mended(crowd: Crowd) -> None:
    for n in (1, 2):
        crowd.results(crowd.database.runInteraction(thd_add, n))
    barrier = threading.Barrier(2)
    attempts: list[int] = []

    def thd_cross(connection: Connection, first: int, second: int) -> None:
        attempts.append(first)
        change = text("UPDATE t SET n = n + 10 WHERE n % 10 = :n")
        connection.execute(change, {"n": first})
        if len(attempts) <= 2:
            barrier.wait(PATIENCE)
        connection.execute(change, {"n": second})

    run = crowd.database.runInteraction
    assert crowd.results(run(thd_cross, 1, 2), run(thd_cross, 2, 1)) == [None, None]
    # Once more at least: on a busy machine the two may meet again.
    assert len(attempts) > 2
    assert numbers(crowd) == [21, 22]


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    engine = make_engine(f"{scheme}://me:secret@127.0.0.1:{free_port()}/glance")
    crowd = Crowd(engine)
    for run in (crowd.database.runInteraction, crowd.database.runReading):
        (error,) = crowd.results(run(thd_add, 1))
        assert isinstance(error, Unavailable)
        assert "secret" not in error.message
    crowd.results(crowd.database.stop())


def test_a_table_that_is_changed_meanwhile(crowd: Crowd, engine: Engine) -> None:
    """PostgreSQL refuses statements that it prepared before, on each connection until it ends."""

    def thd_all(connection: Connection) -> list[Any]:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM t"))]

    crowd.results(crowd.database.runInteraction(thd_add, 1))
    for run in (crowd.database.runReading, crowd.database.runInteraction):
        for kind in ("BIGINT", "INTEGER"):
            # Enough for every thread's connection to have prepared it.
            crowd.results(*[run(thd_all) for _ in range(THREADS * 12)])
            change = "ALTER COLUMN n TYPE" if engine.dialect.name == "postgresql" else "MODIFY n"
            with engine.connect() as connection:
                connection.exec_driver_sql(f"ALTER TABLE t {change} {kind}")
            answers = crowd.results(*[run(thd_all) for _ in range(THREADS * 2)])
            assert answers == [[(1,)]] * THREADS * 2
