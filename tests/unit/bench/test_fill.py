"""Filling a catalogue: what was put in comes out again, and nothing else does."""

import sqlite3
from pathlib import Path

import pytest

from bench import fill

_SCHEMA = """
CREATE TABLE images (id TEXT PRIMARY KEY, name TEXT, disk_format TEXT, container_format TEXT,
    status TEXT NOT NULL, visibility TEXT NOT NULL, min_disk INTEGER NOT NULL,
    min_ram INTEGER NOT NULL, owner TEXT, protected BOOLEAN NOT NULL, os_hidden BOOLEAN NOT NULL,
    created_at DATETIME NOT NULL, updated_at DATETIME, deleted BOOLEAN NOT NULL);
CREATE TABLE image_properties (id INTEGER PRIMARY KEY, image_id TEXT REFERENCES images(id),
    name TEXT, value TEXT, created_at DATETIME, updated_at DATETIME, deleted BOOLEAN,
    UNIQUE (image_id, name));
CREATE TABLE image_tags (id INTEGER PRIMARY KEY, image_id TEXT REFERENCES images(id), value TEXT,
    created_at DATETIME, updated_at DATETIME, deleted BOOLEAN);
CREATE TABLE image_locations (id INTEGER PRIMARY KEY, image_id TEXT REFERENCES images(id));
CREATE TABLE image_members (id INTEGER PRIMARY KEY, image_id TEXT REFERENCES images(id));
"""
_IMAGE = (
    "INSERT INTO images VALUES (?, ?, '', '', 'queued', 'public', 0, 0, ?, 0, 0,"
    " '2026-01-01 00:00:00.000000', NULL, 0)"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return an SQLite file with the tables and two images that no fill has made."""
    path = tmp_path / "some where.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(_SCHEMA)
        connection.execute(_IMAGE, ("other", "bench-fill-0000000", "someone"))
        connection.execute(_IMAGE, ("kept", "seed-000000", "bench"))
    connection.close()
    return path


def _count(path: Path, what: str) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute(f"SELECT count({what}").fetchone()[0])
    finally:
        connection.close()


def test_fill_and_empty(file: Path) -> None:
    url = f"sqlite:///{file}"
    fill.fill(url, 1200)
    fill.fill(url, 3)
    assert _count(file, "*) FROM images") == 1205
    assert _count(file, "DISTINCT name) FROM images WHERE owner = 'bench'") == 1204
    assert _count(file, "DISTINCT created_at) FROM images WHERE name LIKE 'bench-%'") >= 1203
    assert _count(file, "*) FROM image_properties") == 3 * 1203
    assert _count(file, "*) FROM image_tags") == 2 * 1203

    assert fill.empty(url) == 1203
    assert _count(file, "*) FROM images WHERE id IN ('other', 'kept')") == 2
    assert _count(file, "*) FROM images") == 2
    assert _count(file, "*) FROM image_properties") == 0
    assert _count(file, "*) FROM image_tags") == 0


def test_later_numbers_are_older(file: Path) -> None:
    fill.fill(f"sqlite:///{file}", 20)
    connection = sqlite3.connect(file)
    names = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM images WHERE owner = 'bench' AND name LIKE 'bench-fill-%'"
            " ORDER BY created_at DESC"
        )
    ]
    connection.close()
    assert names == [f"bench-fill-{k:07d}" for k in range(20)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://u:secret@192.0.2.1/glance", "on this machine"),
        ("mysql://u:secret@127.example.org/glance", "on this machine"),
        ("oracle://u:secret@localhost/glance", "sqlite, postgresql or mysql"),
        ("sqlite:////nowhere/secret-less.sqlite", "unable to open"),
    ],
)
def test_other_databases_are_refused(url: str, message: str) -> None:
    with pytest.raises(fill.FillError, match=message) as refused:
        fill.fill(url, 1)
    assert "secret@" not in str(refused.value)


def test_a_command_line_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert fill.main(["--database", "sqlite:////nowhere/x.sqlite", "--remove"]) == 2
    assert "unable to open" in capsys.readouterr().err
