"""Fixtures over catalogues: one database for all tests of a module, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from glance.db import schema
from glance.db.engine import make_engine
from tests.services.catalogue.support import Catalogue, Crowd

SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.service),
    pytest.param("mariadb", marks=pytest.mark.service),
]


def _made(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    with ExitStack() as stack:
        if kind == "sqlite":
            factory = request.getfixturevalue("tmp_path_factory")
            url = f"sqlite:///{factory.mktemp('catalogue')}/glance.sqlite"
        else:
            url = stack.enter_context(request.getfixturevalue(kind).database())
        engine = make_engine(url)
        schema.thd_sync(engine)
        engine.dispose()
        yield url


@pytest.fixture(scope="module", params=["sqlite", *SERVERS])
def catalogue_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a catalogue, on each engine in turn."""
    yield from _made(request.param, request)


@pytest.fixture(scope="module")
def sqlite_catalogue_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a catalogue on SQLite."""
    yield from _made("sqlite", request)


@pytest.fixture(scope="module", params=SERVERS)
def server_catalogue_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a catalogue on each server in turn."""
    yield from _made(request.param, request)


def _opened(url: str) -> Iterator[Catalogue]:
    catalogue = Catalogue(make_engine(url, sqlite_synchronous=False))
    catalogue.empty()
    yield catalogue
    catalogue.close()


@pytest.fixture
def catalogue(catalogue_url: str) -> Iterator[Catalogue]:
    """An empty catalogue, on each engine in turn."""
    yield from _opened(catalogue_url)


@pytest.fixture
def sqlite_catalogue(sqlite_catalogue_url: str) -> Iterator[Catalogue]:
    """An empty catalogue on SQLite."""
    yield from _opened(sqlite_catalogue_url)


@pytest.fixture
def server_catalogue(server_catalogue_url: str) -> Iterator[Catalogue]:
    """An empty catalogue on each server in turn."""
    yield from _opened(server_catalogue_url)


@pytest.fixture
def crowd(catalogue: Catalogue, catalogue_url: str) -> Iterator[Crowd]:
    crowd = Crowd(catalogue_url)
    yield crowd
    crowd.stop()
