"""The fixtures themselves: every database is reachable, empty and its own."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect, text


def test_database_is_reachable_and_empty(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE here (id INTEGER)"))
    engine.dispose()


def test_next_test_gets_another_database(database_url: str) -> None:
    # Runs after the one above on the same servers: its table must not be here.
    engine = create_engine(database_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
