"""Two processes of a node, and the threads of one, at work on one index."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from glance.cache.layout import CacheDirectory
from glance.cache.sqlite_index import SqliteIndex
from glance.cache.xattr_index import XattrIndex
from tests.services.catalogue.support import PATIENCE, PumpedReactor
from tests.unit.cache.index_doubles import (
    IMAGE,
    OTHER,
    T0,
    InlineThreads,
    cached,
    make_directory,
    result,
    write_copy,
)
from tests.unit.cache.test_xattr_index import has_attributes

TURNS = 60


def make(kind: str, root: str, reactor: Any = None, threads: Any = None) -> Any:
    directory = CacheDirectory(root)
    reactor = reactor or Clock()
    if kind == "xattr":
        return XattrIndex(directory, reactor, threads)
    return SqliteIndex(directory, f"{root}/cache.db", reactor, threads)


def _process(kind: str, root: str, barrier: Any) -> None:
    index = make(kind, root, threads=InlineThreads())
    barrier.wait(PATIENCE)
    result(index.start())
    for n in range(TURNS):
        result(index.touch({IMAGE: (1, T0 + n), OTHER: (2, T0)}))
        assert len(result(index.entries())) == 2


@pytest.fixture(params=["sqlite", "xattr"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "xattr" and not has_attributes(tmp_path):
        pytest.skip(f"the file system of {tmp_path} has no user attributes")
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> str:
    directory = make_directory(tmp_path)
    for image_id in (IMAGE, OTHER):
        write_copy(directory, image_id)
    return directory.root


def test_processes_lose_no_hit(kind: str, root: str) -> None:
    index = make(kind, root, threads=InlineThreads())
    result(index.start())
    result(index.add([cached(), cached(OTHER)]))
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=_process, args=(kind, root, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0]
    assert {e.image_id: e for e in result(index.entries())} == {
        IMAGE: cached(hits=2 * TURNS, last_accessed=T0 + TURNS - 1),
        OTHER: cached(OTHER, hits=4 * TURNS),
    }
    if kind == "sqlite":
        index._thd_close()


def test_threads_lose_no_hit(kind: str, root: str) -> None:
    reactor = PumpedReactor()
    indexes = [make(kind, root, reactor) for _ in range(2)]
    assert reactor.results(index.start() for index in indexes) == [None, None]
    reactor.results([indexes[0].add([cached(), cached(OTHER)])])
    answers = [
        answer
        for n in range(TURNS)
        for index in indexes
        for answer in (index.touch({IMAGE: (1, T0 + n)}), index.entries())
    ]
    outcomes = reactor.results(answers)
    assert not [each for each in outcomes if isinstance(each, Exception)]
    (entries,) = reactor.results([indexes[1].entries()])
    hits = {e.image_id: e.hits for e in entries}
    assert hits == {IMAGE: 2 * TURNS, OTHER: 0}
    assert reactor.results(index.stop() for index in indexes) == [None, None]
