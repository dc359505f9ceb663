"""What ``glance-status`` says of databases of every kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from glance.cmd import status
from glance.db import schema
from glance.db.engine import make_engine
from glance.db.revisions import CATALOGUE_CHAIN

Check = Callable[[], dict[str, tuple[int, str]]]

NAMES = ("Image Locations", "Pending Deletes", "Work In Progress")


@pytest.fixture
def check(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    database_url: str,
) -> Check:
    """Runs the program; gives results and details by the names of the checks."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "x.conf"
    path.write_text(
        f"[database]\nconnection = {database_url}\n"
        f"[glance_store]\nfilesystem_store_datadir = {tmp_path}/images\n"
    )

    def check() -> dict[str, tuple[int, str]]:
        words = ["glance-status", "--config-file", str(path), "upgrade", "check", "--json"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            status.main()
        found = json.loads(capsys.readouterr().out)["checks"]
        return {one["check"]: (one["result"], one["details"] or "") for one in found}

    return check


@pytest.fixture
def engine(database_url: str) -> Engine:
    return make_engine(database_url)


def test_empty(check: Check) -> None:
    level, details = check()["Database Schema"]
    assert level == 1
    assert "glance-manage db sync" in details


def test_current(check: Check, engine: Engine) -> None:
    schema.thd_sync(engine)
    found = check()
    assert found["Database Schema"][0] == 0
    assert [found[name] for name in NAMES] == [(0, "")] * 3


@pytest.mark.parametrize("revision", ["liberty", "rocky_contract02", CATALOGUE_CHAIN.head])
def test_adopted(check: Check, engine: Engine, revision: str) -> None:
    schema.thd_upgrade(engine, revision)
    if revision == CATALOGUE_CHAIN.head:
        with engine.connect() as connection:
            connection.execute(text("DROP TABLE txglance_version"))
    found = check()
    level, details = found["Database Schema"]
    assert level == 1
    assert revision in details and "left by the OpenStack" in details
    assert [found[name][0] for name in NAMES] == [0] * 3


def test_behind(check: Check, engine: Engine) -> None:
    schema.thd_upgrade(engine, "zed_contract01")
    schema.thd_expand(engine)
    level, details = check()["Database Schema"]
    assert level == 1
    assert "glance-manage db sync" in details


def test_half_a_schema(check: Check, engine: Engine) -> None:
    schema.thd_sync(engine)
    with engine.connect() as connection:
        connection.execute(text("DROP TABLE cached_images"))
    level, details = check()["Database Schema"]
    assert level == 2
    assert "cached_images" in details


def test_unknown(check: Check, engine: Engine) -> None:
    schema.thd_sync(engine)
    with engine.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '2099_1_contract01'"))
    level, details = check()["Database Schema"]
    assert level == 2
    assert "2099_1_contract01" in details


def test_rows(check: Check, engine: Engine) -> None:
    schema.thd_sync(engine)
    row = (
        "INSERT INTO images (id, status, visibility, min_disk, min_ram, protected, os_hidden,"
        " created_at, updated_at, deleted_at, deleted) VALUES ('{}', '{}', 'private', 0, 0, {},"
        " {}, '2020-01-01 00:00:00', '2020-01-01 00:00:00', {}, {})"
    )
    place = (
        "INSERT INTO image_locations (image_id, value, meta_data, status, created_at, deleted)"
        " VALUES ('a', 'file:///nowhere/a', '{}', 'active', '2020-01-01 00:00:00', {})"
    )
    no, yes = ("false", "true") if engine.dialect.name == "postgresql" else ("0", "1")
    with engine.connect() as connection:
        for line in (
            row.format("a", "active", no, no, "NULL", no),
            row.format("b", "saving", no, no, "NULL", no),
            row.format("c", "pending_delete", no, no, "'2020-01-02 03:04:05'", yes),
            place.replace("'{}'", "'{{}}'").format(no),
        ):
            connection.exec_driver_sql(line)
    found = check()
    assert found["Image Locations"][0] == 2
    assert "images a" in found["Image Locations"][1]
    assert found["Pending Deletes"][0] == 1
    assert "2020-01-02 03:04 UTC" in found["Pending Deletes"][1]
    assert found["Work In Progress"][0] == 1
    assert "is at work on them: b." in found["Work In Progress"][1]
