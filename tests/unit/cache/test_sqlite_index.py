"""The index in a SQLite file: adoption, damage, files that are replaced or locked."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from glance.cache import sqlite_index
from glance.cache.layout import CacheDirectory
from glance.cache.sqlite_index import SqliteIndex, thd_read_entries
from glance.domain.errors import ConfigError, Unavailable
from tests.unit.cache.index_contract import IndexContract
from tests.unit.cache.index_doubles import (
    IMAGE,
    IMAGES,
    OTHER,
    T0,
    InlineThreads,
    cached,
    make_directory,
    result,
)

#: As the facts have it.
ORIGINAL = """
CREATE TABLE cached_images (
    image_id TEXT PRIMARY KEY, last_accessed REAL DEFAULT 0.0, last_modified REAL DEFAULT 0.0,
    size INTEGER DEFAULT 0, hits INTEGER DEFAULT 0, checksum TEXT
)
"""


@pytest.fixture
def directory(tmp_path: Path) -> CacheDirectory:
    return make_directory(tmp_path)


@pytest.fixture
def path(directory: CacheDirectory) -> Path:
    return Path(directory.root, "cache.db")


def make(directory: CacheDirectory, path: Path) -> SqliteIndex:
    return SqliteIndex(directory, str(path), Clock(), InlineThreads())


@pytest.fixture
def unstarted(directory: CacheDirectory, path: Path) -> Iterator[SqliteIndex]:
    index = make(directory, path)
    yield index
    index._thd_close()


@pytest.fixture
def index(unstarted: SqliteIndex) -> SqliteIndex:
    result(unstarted.start())
    return unstarted


class TestSqlite(IndexContract):
    """The driver's promises."""


def schema(path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        columns = connection.execute("PRAGMA table_info(cached_images)").fetchall()
    connection.close()
    return columns


def test_table_is_that_of_the_original(index: SqliteIndex, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "original.db"
    with sqlite3.connect(other) as connection:
        connection.execute(ORIGINAL)
    connection.close()
    assert schema(path) == schema(other)


def test_a_file_of_the_original_is_adopted_and_handed_back(
    unstarted: SqliteIndex, path: Path
) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(ORIGINAL)
        row = (IMAGE, T0, T0 - 5, 4, 7, None)
        connection.execute("INSERT INTO cached_images VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.close()
    result(unstarted.start())
    assert result(unstarted.entries()) == [cached(hits=7, last_modified=T0 - 5)]
    result(unstarted.touch({IMAGE: (1, T0 + 0.25)}))
    result(unstarted.stop())
    unstarted._thd_close()
    assert sorted(p.name for p in path.parent.iterdir() if p.is_file()) == ["cache.db"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT * FROM cached_images").fetchall() == [
            (IMAGE, T0 + 0.25, T0 - 5, 4, 8, None)
        ]
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
    connection.close()


def test_columns_without_sensible_values(index: SqliteIndex, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO cached_images VALUES (?, NULL, 'x', NULL, NULL, NULL)", (IMAGE,)
        )
        connection.execute(
            "INSERT INTO cached_images (image_id, hits) VALUES (CAST(x'ff' AS TEXT), 1)"
        )
    connection.close()
    empty = cached(size=0, last_accessed=0.0, last_modified=0.0)
    assert empty in result(index.entries())
    result(index.touch({IMAGE: (1, T0)}))
    counted = cached(size=0, hits=1, last_modified=0.0)
    assert counted in result(index.entries())


def test_what_others_may_read_is_up_to_the_umask(unstarted: SqliteIndex, path: Path) -> None:
    before = os.umask(0o077)
    try:
        result(unstarted.start())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def broken_contents(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to look at" * 100)


def broken_page(path: Path) -> None:
    """Damage a page that only a check or a look at the rows finds."""
    with sqlite3.connect(path) as connection:
        connection.execute(ORIGINAL)
        rows = [(f"{n}", "c" * 500) for n in range(200)]
        connection.executemany("INSERT INTO cached_images(image_id, checksum) VALUES (?,?)", rows)
    connection.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xa5" * 4096 * 3
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [broken_contents, broken_page])
def test_a_broken_file_is_set_aside(unstarted: SqliteIndex, path: Path, damage: Any) -> None:
    damage(path)
    wrong = path.read_bytes()
    result(unstarted.start())
    assert (path.parent / "cache.db.broken").read_bytes() == wrong
    assert result(unstarted.entries()) == []
    result(unstarted.add([cached()]))
    assert result(unstarted.entries()) == [cached()]


def test_damage_that_reading_does_not_see_is_found_at_the_start(
    index: SqliteIndex, path: Path
) -> None:
    """That of SQLite's own index, by which entries are found to be changed."""
    result(index.add([cached(image_id) for image_id in IMAGES]))
    with closing(sqlite3.connect(path)) as connection:
        asked = "SELECT rootpage FROM sqlite_master WHERE type = 'index'"
        ((page,),) = connection.execute(asked).fetchall()
        ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    index._thd_close()
    assert len(result(index.entries())) == len(IMAGES)
    index._thd_close()
    result(index.start())
    assert result(index.entries()) == []


def test_a_file_that_is_replaced_while_it_is_opened(
    index: SqliteIndex, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written to the old one would be lost."""
    result(index.add([cached()]))
    index._thd_close()
    new = path.with_name("new.db")
    new.write_bytes(path.read_bytes())
    connect = sqlite3.connect

    def too_early(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        if new.exists():
            new.rename(path)
        return connection

    monkeypatch.setattr(sqlite_index.sqlite3, "connect", too_early)
    result(index.add([cached(OTHER)]))
    monkeypatch.undo()
    assert {e.image_id for e in thd_read_entries(str(path))} == {IMAGE, OTHER}


def test_what_belongs_to_a_broken_file_goes_with_it(index: SqliteIndex, path: Path) -> None:
    """A journal that is left would be applied to the new one."""
    for suffix in ("-journal", "-wal"):
        Path(f"{path}{suffix}").write_text(suffix)
    index._thd_set_aside("for a test")
    assert not list(path.parent.glob("cache.db-*"))
    for suffix in ("-journal", "-wal"):
        assert Path(f"{path}.broken{suffix}").read_text() == suffix


def test_damage_is_found_later_too(index: SqliteIndex, path: Path) -> None:
    result(index.add([cached()]))
    inode = path.stat().st_ino
    broken_contents(path)
    assert path.stat().st_ino == inode
    result(index.add([cached(OTHER)]))
    assert result(index.entries()) == [cached(OTHER)]


def test_it_is_set_aside_once(index: SqliteIndex, directory: CacheDirectory, path: Path) -> None:
    """Another process that had the broken file open keeps the new one."""
    other = make(directory, path)
    result(other.start())
    broken_contents(path)
    result(index.add([cached()]))
    result(other.add([cached(OTHER)]))
    other._local.inode = (0, 0)
    other._thd_set_aside("late")
    assert {e.image_id for e in result(index.entries())} == {IMAGE, OTHER}
    other._thd_close()


def test_a_file_that_was_removed_is_made_anew(index: SqliteIndex, path: Path) -> None:
    result(index.add([cached()]))
    path.unlink()
    assert result(index.entries()) == []
    result(index.add([cached(OTHER)]))
    assert [e.image_id for e in thd_read_entries(str(path))] == [OTHER]


def test_a_locked_file(index: SqliteIndex, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result(index.add([cached()]))
    index._thd_close()
    monkeypatch.setattr(sqlite_index, "BUSY_TIMEOUT", 0)
    tries: list[float] = []
    monkeypatch.setattr(sqlite_index.time, "sleep", tries.append)
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        result(index.touch({IMAGE: (1, T0)}))
    assert len(tries) == 2
    # Reading goes on meanwhile.
    assert result(index.entries()) == [cached()]
    locker.execute("ROLLBACK")

    def let_go(pause: float) -> None:
        locker.execute("ROLLBACK")

    locker.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(sqlite_index.time, "sleep", let_go)
    result(index.touch({IMAGE: (1, T0)}))
    locker.close()
    assert result(index.entries()) == [cached(hits=1)]


def test_a_reader_in_the_way_of_a_commit(
    index: SqliteIndex, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite then leaves the transaction open."""
    result(index.add([cached(), cached(OTHER)]))
    index._thd_close()
    monkeypatch.setattr(sqlite_index, "BUSY_TIMEOUT", 0)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM cached_images").fetchone()
    monkeypatch.setattr(sqlite_index.time, "sleep", lambda pause: reader.execute("ROLLBACK"))
    result(index.touch({IMAGE: (1, T0)}))
    reader.close()
    assert {e.hits for e in result(index.entries())} == {0, 1}


def test_many_changes_are_all_or_nothing(index: SqliteIndex) -> None:
    with pytest.raises(Unavailable):
        result(index.add([cached(), cached(OTHER, size=object())]))
    assert result(index.entries()) == []


def test_a_file_of_another_kind_is_left_alone(unstarted: SqliteIndex, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cached_images (id INTEGER PRIMARY KEY)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        result(unstarted.start())
    assert "image_cache_sqlite_db" in caught.value.message
    assert str(path) in caught.value.message
    assert path.read_bytes() == before


def test_a_directory_in_place_of_the_file(unstarted: SqliteIndex, path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match="image_cache_sqlite_db"):
        result(unstarted.start())


def test_reading_changes_nothing(index: SqliteIndex, path: Path) -> None:
    result(index.add([cached()]))
    before = path.stat()
    assert thd_read_entries(str(path)) == [cached()]
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
