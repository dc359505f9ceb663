"""The embedded default's database: made once, with the metadata definitions that come along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from twisted.logger import LogLevel, capturedLogs, formatEvent

from glance.config import metadefs
from glance.db import schema
from glance.db.engine import make_engine
from glance.db.metadef_definitions import thd_names, thd_read, thd_unload
from glance.services.database_check import thd_make_embedded


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """The engine of a database that does not exist yet."""
    engine = make_engine(f"sqlite:///{tmp_path}/glance.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory in place of the one in /etc; it does not exist."""
    path = tmp_path / "metadefs"
    monkeypatch.setattr(metadefs, "DIRECTORY", str(path))
    monkeypatch.setattr(metadefs.thd_find_metadefs, "__defaults__", (str(path),))
    return path


def names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return thd_names(connection)


def test_filled_when_it_is_made(engine: Engine, place: Path) -> None:
    warnings: list[str] = []
    assert thd_make_embedded(engine, warnings.append)
    assert warnings == []
    assert len(names(engine)) == 33
    with engine.connect() as connection:
        definition = thd_read(connection, "OS::Compute::Watchdog")
    assert definition is not None
    assert definition.own["owner"] == "admin"


def test_not_filled_again(engine: Engine, place: Path) -> None:
    thd_make_embedded(engine)
    with engine.begin() as connection:
        thd_unload(connection)
    assert not thd_make_embedded(engine)
    assert names(engine) == []


def test_what_was_made_by_hand_is_let_be(engine: Engine, place: Path) -> None:
    schema.thd_sync(engine)
    assert not thd_make_embedded(engine)
    assert names(engine) == []


def test_without_files_it_is_made_all_the_same(
    engine: Engine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadefs, "_shipped", lambda: iter(()))
    warnings: list[str] = []
    assert thd_make_embedded(engine, warnings.append)
    assert warnings == [f"No metadata definitions are found; looked for in: {place}."]
    assert names(engine) == []
    assert schema.thd_status(engine).up_to_date


def test_who_has_nobody_to_tell_logs(
    engine: Engine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadefs, "_shipped", lambda: iter(()))
    with capturedLogs() as events:
        thd_make_embedded(engine)
    (event,) = [one for one in events if "log_level" in one]
    assert event["log_level"] is LogLevel.warn
    assert "No metadata definitions are found" in formatEvent(event)


def test_bad_files_are_told_of(engine: Engine, place: Path) -> None:
    place.mkdir()
    (place / "a.json").write_text(json.dumps({"namespace": "good"}))
    (place / "b.json").write_text("{")
    (place / "c.json").write_text(json.dumps({"namespace": "good"}))
    warnings: list[str] = []
    assert thd_make_embedded(engine, warnings.append)
    (warning,) = warnings
    assert warning.startswith(f"Metadata definitions {place}/b.json: is not JSON: line 1")
    assert names(engine) == ["good"]


def test_made_with_what_it_is_to_have_or_not_at_all(engine: Engine) -> None:
    def thd_fail(connection: object) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        schema.thd_sync(engine, thd_fill=thd_fail)
    assert schema.thd_status(engine).state is schema.State.FRESH
