"""Hints to databases are in their words, and only where they help."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, MetaData, String, Table, bindparam, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from glance.db.engine import make_engine
from glance.db.hints import unindexed, word
from glance.db.tables import images

things = Table(
    "things", MetaData(), Column("a", String(9), index=True), Column("b", String(9), index=True)
)


@pytest.mark.parametrize(
    ("dialect", "plus"),
    [(sqlite.dialect(), "+"), (postgresql.dialect(), ""), (mysql.dialect(), "")],  # type: ignore[no-untyped-call]
    ids=["sqlite", "postgresql", "mysql"],
)
def test_words(dialect: object, plus: str) -> None:
    condition = (unindexed(images.c.visibility) == word("public")) & images.c.deleted
    said = str(condition.compile(dialect=dialect))  # type: ignore[arg-type]
    assert said.startswith(f"{plus}images.visibility = 'public' AND images.deleted")


@pytest.mark.parametrize("no_word", ["", "it's", "two words", "--", "1", "a;b", '"'])
def test_only_our_own_words_are_part_of_a_statement(no_word: str) -> None:
    with pytest.raises(ValueError, match="plain word"):
        word(no_word)


def test_sqlite_takes_the_index_that_is_left() -> None:
    engine = make_engine("sqlite://")
    with engine.connect() as connection:
        things.metadata.create_all(connection)
        for hidden, used in ((things.c.a, "b"), (things.c.b, "a")):
            statement = select(things).where(
                *[
                    (unindexed(column) if column is hidden else column) == bindparam(column.name)
                    for column in things.c
                ]
            )
            said = f"EXPLAIN QUERY PLAN {statement.compile(engine)}"
            plan = connection.exec_driver_sql(said, ("", ""))
            assert f"ix_things_{used}" in plan.one()[3]
    engine.dispose()
