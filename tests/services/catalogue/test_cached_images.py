"""The caches' index in the catalogue's database, on each engine."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text
from twisted.internet.task import Clock

from glance.cache.central_index import CentralIndex
from glance.cache.layout import CacheDirectory
from glance.cache.sqlite_index import SqliteIndex
from glance.db import cached_images
from glance.db.engine import make_engine
from glance.db.tables import cached_images as table
from glance.db.tables import node_reference
from glance.db.txdbapi import Database
from glance.domain.errors import Unavailable
from tests.services.catalogue.support import PATIENCE, Catalogue, PumpedReactor
from tests.unit.cache.index_contract import IndexContract
from tests.unit.cache.index_doubles import (
    IMAGE,
    IMAGES,
    OTHER,
    T0,
    THIRD,
    InlineThreads,
    cached,
    make_directory,
    result,
    write_copy,
)

URL = "http://node1.example.org:9292"
ELSEWHERE = "http://node2.example.org:9292/"
WRITERS = 8


@pytest.fixture
def directory(tmp_path: Path) -> CacheDirectory:
    return make_directory(tmp_path)


def make(catalogue: Catalogue, directory: CacheDirectory, url: str = URL) -> CentralIndex:
    earlier = os.path.join(directory.root, "cache.db")
    return CentralIndex(
        catalogue.database, url, directory, earlier, Clock(), threads=InlineThreads()
    )


@pytest.fixture
def index(catalogue: Catalogue, directory: CacheDirectory) -> CentralIndex:
    index = make(catalogue, directory)
    result(index.start())
    return index


def entries(index: Any) -> dict[str, Any]:
    return {entry.image_id: entry for entry in result(index.entries())}


class TestCentral(IndexContract):
    """The driver's promises."""

    runs = 15


def test_hits_beyond_what_a_column_holds(index: CentralIndex) -> None:
    """They must not keep all others from being counted."""
    result(index.add([cached(hits=cached_images.MOST_HITS - 1), cached(OTHER)]))
    for _ in range(2):
        result(index.touch({IMAGE: (2, T0), OTHER: (2, T0)}))
    known = entries(index)
    assert (known[IMAGE].hits, known[OTHER].hits) == (cached_images.MOST_HITS, 4)


class TestNodes:
    def test_each_has_its_own_entries(
        self, catalogue: Catalogue, directory: CacheDirectory, index: CentralIndex
    ) -> None:
        other = make(catalogue, directory, ELSEWHERE)
        result(other.add([cached(hits=5), cached(OTHER)]))
        result(index.add([cached()]))
        result(index.touch({IMAGE: (1, T0), OTHER: (1, T0)}))
        result(index.remove([OTHER]))
        assert entries(index) == {IMAGE: cached(hits=1)}
        assert entries(other) == {IMAGE: cached(hits=5), OTHER: cached(OTHER)}
        assert result(index.nodes_with(IMAGE)) == [URL, ELSEWHERE]
        assert result(index.nodes_with(OTHER)) == [ELSEWHERE]
        assert result(index.nodes_with(THIRD)) == []

    def test_url_is_stored_as_configured(self, catalogue: Catalogue, index: CentralIndex) -> None:
        assert [row["node_reference_url"] for row in catalogue.rows(select(node_reference))] == [
            URL
        ]

    def test_a_node_that_was_forgotten_is_made_known_anew(
        self, catalogue: Catalogue, index: CentralIndex
    ) -> None:
        catalogue.empty()
        assert entries(index) == {}
        result(index.touch({IMAGE: (1, T0)}))
        result(index.remove([IMAGE]))
        result(index.add([cached()]))
        assert entries(index) == {IMAGE: cached()}

    def test_a_node_is_made_known_once(self, catalogue_url: str, catalogue: Catalogue) -> None:
        barrier = threading.Barrier(WRITERS)

        def thd_node(connection: Connection, n: int) -> int:
            if catalogue.kind != "sqlite":
                barrier.wait(PATIENCE)
            return cached_images.thd_node(connection, URL)

        with crowd(catalogue_url) as (reactor, database):
            run = database.runInteraction
            numbers = reactor.results([run(thd_node, n) for n in range(WRITERS)])
        assert len(set(numbers)) == 1
        assert len(catalogue.rows(select(node_reference))) == 1


class crowd:
    """A database with many real threads."""

    def __init__(self, url: str) -> None:
        self.reactor = PumpedReactor()
        self.database = Database(
            make_engine(url, sqlite_synchronous=False), self.reactor, threads=WRITERS
        )

    def __enter__(self) -> tuple[PumpedReactor, Database]:
        self.database.start()
        return self.reactor, self.database

    def __exit__(self, *error: object) -> None:
        self.reactor.results([self.database.stop()])


def test_no_hit_is_lost(catalogue_url: str, index: CentralIndex) -> None:
    images = IMAGES[:4]
    result(index.add([cached(image_id) for image_id in images]))
    with crowd(catalogue_url) as (reactor, database):
        outcomes = reactor.results(
            database.runInteraction(
                cached_images.thd_touch,
                URL,
                # Not in the same order for all.
                dict.fromkeys(images[:: 1 if n % 2 else -1], (1, T0 + n)),
            )
            for n in range(10 * WRITERS)
        )
    assert outcomes == [None] * 10 * WRITERS
    last = T0 + 10 * WRITERS - 1
    assert entries(index) == {
        image_id: cached(image_id, hits=10 * WRITERS, last_accessed=last) for image_id in images
    }


class TestTimes:
    def test_are_naive_utc(self, catalogue: Catalogue, index: CentralIndex) -> None:
        at = datetime(2026, 3, 29, 1, 30, 15, tzinfo=UTC)
        result(index.add([cached(last_accessed=at.timestamp())]))
        (row,) = catalogue.rows(select(table))
        assert row["last_accessed"] == at.replace(tzinfo=None)
        assert entries(index)[IMAGE].last_accessed == at.timestamp()

    def test_parts_of_a_second(self, catalogue: Catalogue, index: CentralIndex) -> None:
        def last() -> float:
            return float(entries(index)[IMAGE].last_accessed)

        result(index.add([cached(last_accessed=T0 + 0.25, last_modified=T0 + 0.75)]))
        kept = 1 if catalogue.keeps_microseconds else 0
        assert entries(index)[IMAGE] == cached(
            last_accessed=T0 + 0.25 * kept, last_modified=T0 + 0.75 * kept
        )
        result(index.touch({IMAGE: (1, T0 + 0.9375)}))
        assert last() == T0 + 0.9375 * kept
        result(index.touch({IMAGE: (1, T0 + 0.5)}))
        assert last() == T0 + 0.9375 * kept
        result(index.touch({IMAGE: (1, T0 + 2)}))
        assert last() == T0 + 2

    @pytest.mark.parametrize(
        ("time", "kept"), [(-5.0, 0.0), (1e300, 253402300799.0), (float("nan"), 0.0)]
    )
    def test_that_the_database_cannot_hold(
        self, index: CentralIndex, time: float, kept: float
    ) -> None:
        result(index.add([cached(last_accessed=time, hits=2**40)]))
        assert entries(index) == {IMAGE: cached(last_accessed=kept, hits=2**31 - 1)}


class TestFailures:
    def test_a_table_that_is_missing(
        self, sqlite_catalogue: Catalogue, directory: CacheDirectory
    ) -> None:
        index = make(sqlite_catalogue, directory)
        result(index.start())

        def thd_rename(connection: Connection, old: str, new: str) -> None:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

        sqlite_catalogue.run(thd_rename, "cached_images", "away")
        try:
            for answer in (
                index.entries(),
                index.add([cached()]),
                index.remove([IMAGE]),
                index.touch({IMAGE: (1, T0)}),
                index.nodes_with(IMAGE),
            ):
                with pytest.raises(Unavailable):
                    result(answer)
        finally:
            sqlite_catalogue.run(thd_rename, "away", "cached_images")

    def test_a_value_that_is_refused(
        self, server_catalogue: Catalogue, directory: CacheDirectory
    ) -> None:
        index = make(server_catalogue, directory)
        with pytest.raises(Unavailable):
            result(index.add([cached(size=2**70)]))


class TestTakingOver:
    """What an index in a file knew is taken over."""

    @pytest.fixture
    def earlier(self, directory: CacheDirectory) -> Iterator[SqliteIndex]:
        path = os.path.join(directory.root, "cache.db")
        earlier = SqliteIndex(directory, path, Clock(), InlineThreads())
        result(earlier.start())
        for image_id in (IMAGE, OTHER):
            write_copy(directory, image_id)
        known = cached(hits=3, last_accessed=T0 + 5, checksum="0" * 32)
        result(earlier.add([known, cached(OTHER, hits=1, size=9), cached(THIRD)]))
        yield earlier
        earlier._thd_close()

    def test_once(
        self, catalogue: Catalogue, directory: CacheDirectory, earlier: SqliteIndex
    ) -> None:
        before = {p.name: p.read_bytes() for p in Path(directory.root).glob("cache.db*")}
        index = make(catalogue, directory)
        result(index.start())
        # The third has no file.
        assert entries(index) == {
            IMAGE: cached(hits=3, last_accessed=T0 + 5, checksum="0" * 32),
            OTHER: cached(OTHER, hits=1, size=9),
        }
        # For who goes back.
        assert before == {p.name: p.read_bytes() for p in Path(directory.root).glob("cache.db*")}
        result(index.remove([IMAGE]))
        result(make(catalogue, directory).start())
        assert list(entries(index)) == [OTHER]

    def test_once_more_if_it_was_in_use_again(
        self, catalogue: Catalogue, directory: CacheDirectory, earlier: SqliteIndex
    ) -> None:
        index = make(catalogue, directory)
        result(index.start())
        result(earlier.touch({IMAGE: (4, T0 + 50)}))
        result(index.touch({OTHER: (7, T0 + 60)}))
        result(make(catalogue, directory).start())
        assert entries(index) == {
            IMAGE: cached(hits=7, last_accessed=T0 + 50, checksum="0" * 32),
            OTHER: cached(OTHER, hits=8, size=9, last_accessed=T0 + 60),
        }

    def test_what_is_newer_is_kept(
        self, catalogue: Catalogue, directory: CacheDirectory, earlier: SqliteIndex
    ) -> None:
        index = make(catalogue, directory)
        newer = cached(hits=1, last_accessed=T0 + 6)
        result(index.add([newer, cached(OTHER, hits=9, last_accessed=T0 - 1)]))
        result(index.start())
        assert entries(index) == {IMAGE: newer, OTHER: cached(OTHER, hits=1, size=9)}

    def test_for_each_node(
        self, catalogue: Catalogue, directory: CacheDirectory, earlier: SqliteIndex
    ) -> None:
        """A node may be given another URL."""
        result(make(catalogue, directory).start())
        renamed = make(catalogue, directory, ELSEWHERE)
        result(renamed.start())
        assert set(entries(renamed)) == {IMAGE, OTHER}

    def test_values_that_do_not_fit(
        self, catalogue: Catalogue, directory: CacheDirectory, earlier: SqliteIndex
    ) -> None:
        result(earlier.add([cached(checksum="x" * 33, hits=2**40, last_accessed=1e300)]))
        index = make(catalogue, directory)
        result(index.start())
        assert entries(index)[IMAGE] == cached(hits=2**31 - 1, last_accessed=253402300799.0)

    def test_many(self, catalogue: Catalogue, directory: CacheDirectory) -> None:
        many = [f"{n:08x}-0000-4000-9000-000000000000" for n in range(1100)]
        with sqlite3.connect(os.path.join(directory.root, "cache.db")) as connection:
            connection.execute(
                "CREATE TABLE cached_images (image_id, last_accessed, last_modified, size, hits,"
                " checksum)"
            )
            connection.executemany(
                "INSERT INTO cached_images VALUES (?, ?, ?, 4, 1, NULL)",
                [(image_id, T0, T0) for image_id in many],
            )
        connection.close()
        for image_id in many:
            write_copy(directory, image_id, b"")
        index = make(catalogue, directory)
        result(index.start())
        assert len(entries(index)) == 1100

    def test_a_broken_file_is_passed_over(
        self, sqlite_catalogue: Catalogue, directory: CacheDirectory
    ) -> None:
        Path(directory.root, "cache.db").write_bytes(b"nothing of the kind" * 99)
        index = make(sqlite_catalogue, directory)
        result(index.start())
        assert entries(index) == {}

    def test_another_process_does_the_same(
        self, catalogue: Catalogue, directory: CacheDirectory, index: CentralIndex
    ) -> None:
        """What is recorded while it is being taken over is not undone."""
        older = cached(hits=3, last_accessed=T0 + 5)

        def thd_race(connection: Connection) -> None:
            node = cached_images.thd_node(connection, URL)
            execute = connection.execute

            def late(statement: Any, *args: Any) -> Any:
                done = execute(statement, *args)
                if statement.is_select:
                    row = cached_images._rows(connection, node, [cached(hits=9)])[0]
                    execute(insert(table), row)
                    connection.execute = execute  # type: ignore[method-assign]
                return done

            connection.execute = late  # type: ignore[method-assign]
            try:
                cached_images.thd_merge(connection, URL, [older])
            finally:
                del connection.execute

        catalogue.run(thd_race)
        assert entries(index) == {IMAGE: cached(hits=9)}


def test_rows_of_the_original(catalogue: Catalogue, index: CentralIndex) -> None:
    """As it writes them: the checksum is left empty."""
    node = catalogue.rows(select(node_reference))[0]["node_reference_id"]
    row = {
        "image_id": IMAGE,
        "last_accessed": datetime(2026, 1, 2, 3, 4, 5),
        "last_modified": datetime(2026, 1, 2, 3, 4, 5),
        "size": 4,
        "hits": 0,
        "checksum": None,
        "node_reference_id": node,
    }
    catalogue.add_rows(table, [row])
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert entries(index) == {IMAGE: cached(last_accessed=at, last_modified=at)}
