"""Which driver serves an operator's URL, and what is said of one that cannot be used."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from glance.db.engine import make_engine, parse_url
from glance.db.tables import image_locations
from glance.domain.errors import ConfigError


@pytest.mark.parametrize(
    ("given_name", "served_by"),
    [
        ("sqlite", "sqlite"),
        ("sqlite+pysqlite", "sqlite+pysqlite"),
        ("postgresql", "postgresql+psycopg"),
        ("postgres", "postgresql+psycopg"),
        ("postgresql+psycopg2", "postgresql+psycopg"),
        ("postgresql+psycopg", "postgresql+psycopg"),
        ("mysql", "mysql+pymysql"),
        ("mysql+mysqldb", "mysql+pymysql"),
        ("mysql+pymysql", "mysql+pymysql"),
        ("mariadb", "mysql+pymysql"),
        ("mariadb+pymysql", "mysql+pymysql"),
    ],
)
def test_driver_by_url(given_name: str, served_by: str) -> None:
    url = parse_url(f"{given_name}://me:p%40ss@db.example:4406/glance")
    assert url.drivername == served_by
    assert (url.username, url.password, url.host, url.port) == ("me", "p@ss", "db.example", 4406)
    assert url.database == "glance"


def test_mysql_speaks_four_byte_utf8_unless_told_otherwise() -> None:
    assert parse_url("mysql://h/d").query == {"charset": "utf8mb4"}
    assert parse_url("mysql://h/d?charset=utf8&ssl_ca=/x").query == {
        "charset": "utf8",
        "ssl_ca": "/x",
    }
    assert parse_url("postgresql://h/d").query == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "glance.sqlite",
        "postgresql:secret",
        "postgresql://me:secret@host:secret/glance",
        "postgresql://me:se@cret/secret@host/glance",
        "mysql+pymysql://me@secret:70x/glance",
    ],
)
def test_what_is_no_url_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[database\] connection") as caught:
        parse_url(text)
    assert "secret" not in caught.value.message
    assert caught.value.__context__ is None


def complaint(text: str) -> str | None:
    try:
        parse_url(text)
    except ConfigError as error:
        return error.message
    return None


@given(st.text(st.sampled_from("postgresqlmy:/@[]?&=%+.0123456789 \n\t")) | st.text())
def test_any_text_is_a_url_or_refused_in_the_same_words(text: str) -> None:
    assert complaint(text) in (None, complaint(""))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oracle://me:secret@h/d", "database 'oracle'"),
        ("mysql+nosuch://me:secret@h/d", "driver 'mysql+nosuch'"),
        ("postgresql+asyncpg://me:secret@h/d", "begin the URL with postgresql://"),
        ("sqlite+aiosqlite:////secret", "begin the URL with sqlite://"),
    ],
)
def test_databases_and_drivers_that_are_not_served(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_engine(url)
    assert words in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://me:secret@h/d", "psycopg", "txglance[postgresql]"),
        ("mysql://me:secret@h/d", "pymysql", "txglance[mysql]"),
    ],
)
def test_missing_driver_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        make_engine(url)
    assert extra in caught.value.message
    assert module in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "waits"),
    [
        ("sqlite:////x", {"timeout": 60.0}),
        ("sqlite:////x?timeout=3", {"timeout": 3.0}),
        ("postgresql://h/d", {"connect_timeout": 10}),
        ("postgresql://h/d?connect_timeout=3", {"connect_timeout": "3"}),
        ("mysql://h/d", {"connect_timeout": 10}),
        ("mysql://h/d?connect_timeout=3", {"connect_timeout": 3}),
    ],
)
def test_how_long_to_wait_may_stand_in_the_url(
    monkeypatch: pytest.MonkeyPatch, url: str, waits: dict[str, object]
) -> None:
    engine = make_engine(url)
    seen: dict[str, object] = {}

    def connect(*args: object, **options: object) -> object:
        seen.update(options)
        raise InterruptedError

    monkeypatch.setattr(engine.dialect, "connect", connect)
    with pytest.raises(InterruptedError):
        engine.connect()
    assert {name: seen[name] for name in waits} == waits


@pytest.mark.parametrize(("synchronous", "level"), [(True, 2), (False, 0)])
def test_sqlite_connections_are_set_up(sqlite_file: str, synchronous: bool, level: int) -> None:
    engine = make_engine(sqlite_file, sqlite_synchronous=synchronous)
    with engine.connect() as connection:

        def pragma(name: str) -> object:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == level
        assert pragma("foreign_keys") == 1
        # Transactions begin where they are begun, and nowhere else.
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        assert not connection.connection.dbapi_connection.in_transaction  # type: ignore[union-attr]
    engine.dispose()


def test_sqlite_is_durable_unless_told_otherwise(sqlite_file: str) -> None:
    engine = make_engine(sqlite_file)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()


def test_values_of_a_refused_statement_are_not_repeated(sqlite_file: str) -> None:
    engine = make_engine(sqlite_file)
    url = "swift+https://me:secret@swift/x"
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(insert(image_locations), {"image_id": "i", "value": url})
    assert "secret" not in str(caught.value)
    engine.dispose()


@pytest.fixture
def sqlite_file(tmp_path: object) -> str:
    return f"sqlite:///{tmp_path}/catalogue.sqlite"
