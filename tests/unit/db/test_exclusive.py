"""What is told of a database that cannot be reached: where it is, never how to log in."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from glance.db.engine import address, make_engine, reason
from glance.db.exclusive import SchemaError, thd_connected, thd_exclusively
from glance.domain.errors import Unavailable


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "postgresql+psycopg://me:secret@db.example:5433/glance",
            "postgresql://db.example:5433/glance",
        ),
        ("mysql+pymysql://me:secret@db.example/glance?read_timeout=9", "mysql://db.example/glance"),
        ("sqlite:////var/lib/glance.sqlite", "file /var/lib/glance.sqlite"),
        ("sqlite://", "file :memory:"),
    ],
)
def test_address(url: str, text: str) -> None:
    assert address(create_engine(url)) == text


def test_reason_is_one_line_without_the_password() -> None:
    engine = create_engine("mysql+pymysql://me:secret@db.example/glance")
    error = OSError(2003, "cannot connect with secret\nand more")
    assert reason(error, engine) == "cannot connect with ***"
    assert reason(OSError(), engine) == "OSError"


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
def test_server_that_is_not_there(driver: str) -> None:
    engine = make_engine(f"{driver}://me:secret@127.0.0.1:1/glance")
    unreachable = pytest.raises(Unavailable, match="127.0.0.1:1/glance cannot be reached")
    with unreachable as caught, thd_connected(engine):
        pass
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/missing/glance.sqlite")
    with pytest.raises(Unavailable, match="unable to open database file"), thd_connected(engine):
        pass


def test_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("not a database" * 100)
    engine = make_engine(f"sqlite:///{tmp_path}/x")
    with pytest.raises(Unavailable, match="not a database"), thd_connected(engine):
        pass


def test_refused_statement(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/x")
    refused = pytest.raises(SchemaError, match="no such table: missing")
    with refused, thd_connected(engine) as connection:
        connection.exec_driver_sql("SELECT * FROM missing")


def break_reference(engine: Engine) -> None:
    with thd_exclusively(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE child (p INTEGER REFERENCES parent (id))")
        connection.exec_driver_sql("INSERT INTO child VALUES (7)")


def test_broken_reference_undoes_everything(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/x")
    with pytest.raises(SchemaError, match="child would refer to a missing row of table parent"):
        break_reference(engine)
    with thd_connected(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_reference_that_was_broken_before_is_no_obstacle(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/x")
    with thd_connected(engine) as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE child (p INTEGER REFERENCES parent (id))")
        connection.exec_driver_sql("INSERT INTO child VALUES (7)")
    with thd_exclusively(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE another (id INTEGER)")
    with thd_connected(engine) as connection:
        assert connection.exec_driver_sql("SELECT * FROM another").all() == []


def test_failure_undoes_everything(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/x")
    with pytest.raises(ZeroDivisionError), thd_exclusively(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE half (id INTEGER)")
        raise ZeroDivisionError
    with thd_connected(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0
