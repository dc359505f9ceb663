"""A prepared statement says and answers what SQLAlchemy's own execution would."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Enum,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    literal,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from glance.db.engine import make_engine
from glance.db.prepared import Exactly, Prepared, among

things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(20), unique=True),
    Column("made", DateTime),
    Column("good", Boolean),
    Column("kind", Enum("a", "b", "c", name="kind")),
)
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = make_engine("sqlite://")
    with engine.connect() as connection:
        things.create(connection)
        rows = [
            {"id": 1, "name": "one", "made": WHEN, "good": True, "kind": "a"},
            {"id": 2, "name": "two", "made": None, "good": False, "kind": "b"},
            {"id": 3, "name": None, "made": WHEN, "good": None, "kind": "c"},
        ]
        connection.execute(things.insert(), rows)
        yield connection
    engine.dispose()


def both_ways(connection: Connection, statement: Any, values: dict[str, Any]) -> list[Any]:
    rows = Prepared(statement).thd_rows(connection, values)
    assert rows == [tuple(row) for row in connection.execute(statement, values)]
    return rows


def test_values_are_converted_on_the_way_in_and_out(connection: Connection) -> None:
    statement = select(things).where(
        things.c.made == bindparam("made"), things.c.good == bindparam("good")
    )
    assert both_ways(connection, statement, {"made": WHEN, "good": True}) == [
        (1, "one", WHEN, True, "a")
    ]
    assert both_ways(connection, statement, {"made": WHEN, "good": None}) == []


def test_columns_that_need_no_conversion(connection: Connection) -> None:
    statement = select(things.c.name, things.c.id).order_by(things.c.id)
    assert both_ways(connection, statement, {}) == [("one", 1), ("two", 2), (None, 3)]


def test_constants_are_kept_and_converted(connection: Connection) -> None:
    statement = (
        select(literal("it is"), things.c.id)
        .where(things.c.made == WHEN, things.c.id < bindparam("most"))
        .order_by(things.c.id)
    )
    assert both_ways(connection, statement, {"most": 9}) == [("it is", 1), ("it is", 3)]


def test_one_statement_serves_many_runs(connection: Connection) -> None:
    prepared = Prepared(select(things.c.id).where(things.c.name == bindparam("name")))
    found = [prepared.thd_rows(connection, {"name": n}) for n in ("one", "two", "three", "one")]
    assert found == [[(1,)], [(2,)], [], [(1,)]]


@pytest.mark.parametrize(("kinds", "found"), [((), []), (("b",), [2]), (("a", "c"), [1, 3])])
def test_among(connection: Connection, kinds: tuple[str, ...], found: list[int]) -> None:
    fixed = Prepared(select(things.c.id).where(among(things.c.kind, kinds)).order_by(things.c.id))
    assert [row[0] for row in fixed.thd_rows(connection, {})] == found
    names = [bindparam(f"k{n}", type_=String) for n in range(len(kinds))]
    named = Prepared(select(things.c.id).where(among(things.c.kind, names)).order_by(things.c.id))
    values = {f"k{n}": kind for n, kind in enumerate(kinds)}
    assert [row[0] for row in named.thd_rows(connection, values)] == found


def test_a_list_left_open_is_refused(connection: Connection) -> None:
    prepared = Prepared(select(things.c.id).where(things.c.kind.in_(["a", "b"])))
    with pytest.raises(TypeError, match="among"):
        prepared.thd_rows(connection, {})


def test_changes_are_counted(connection: Connection) -> None:
    prepared = Prepared(
        update(things).where(things.c.id >= bindparam("least")).values(good=bindparam("new"))
    )
    assert prepared.thd_run(connection, {"least": 2, "new": True}) == 2
    # What is set to the value it has counts as well.
    assert prepared.thd_run(connection, {"least": 2, "new": True}) == 2
    assert prepared.thd_run(connection, {"least": 9, "new": True}) == 0
    assert [row.good for row in connection.execute(select(things.c.good))] == [True, True, True]


def test_errors_are_those_of_sqlalchemy(connection: Connection) -> None:
    rename = Prepared(
        update(things).where(things.c.id == bindparam("of")).values(name=bindparam("new"))
    )
    with pytest.raises(IntegrityError) as caught:
        rename.thd_run(connection, {"of": 1, "new": "two"})
    assert isinstance(caught.value.orig, sqlite3.IntegrityError)
    assert not caught.value.connection_invalidated
    things.drop(connection)
    with pytest.raises(OperationalError) as gone:
        rename.thd_run(connection, {"of": 1, "new": "secret"})
    assert "secret" not in str(gone.value)
    with pytest.raises(OperationalError):
        Prepared(select(things.c.id)).thd_rows(connection, {})


class BrokenCursor:
    def __init__(self, broken: str) -> None:
        self._broken = broken
        self.rowcount = 0

    def execute(self, *args: Any) -> None:
        self._step("execute")

    def fetchall(self) -> list[Any]:
        self._step("fetchall")
        return []

    def close(self) -> None:
        self._step("close")

    def _step(self, name: str) -> None:
        if name == self._broken:
            raise sqlite3.OperationalError("broken at " + name)


@pytest.mark.parametrize("broken", ["cursor", "execute", "fetchall", "close"])
def test_every_step_can_break(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    class Raw:
        def cursor(self) -> BrokenCursor:
            if broken == "cursor":
                raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
            return BrokenCursor(broken)

    monkeypatch.setattr(Connection, "connection", Raw())
    with pytest.raises(DBAPIError) as caught:
        Prepared(select(things.c.id)).thd_rows(connection, {})
    assert caught.value.connection_invalidated is (broken == "cursor")
    if broken != "fetchall":
        with pytest.raises(DBAPIError):
            Prepared(update(things).values(good=True)).thd_run(connection, {})
    monkeypatch.undo()


def test_exact_comparisons_use_an_index(connection: Connection) -> None:
    statement = select(things.c.id).where(Exactly(things.c.name, bindparam("name", type_=String)))
    assert both_ways(connection, statement, {"name": "two"}) == [(2,)]
    said = f"EXPLAIN QUERY PLAN {statement.compile(connection.engine)}"
    assert "(name=?)" in connection.exec_driver_sql(said, ("two",)).one()[3]


def test_statements_that_are_planned_anew(connection: Connection) -> None:
    statement = select(things.c.id).where(things.c.name == bindparam("name"))
    rows = Prepared(statement, by_values=True).thd_rows(connection, {"name": "two"})
    assert rows == [(2,)]
