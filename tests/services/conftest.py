"""Fixtures over the databases that the service supports and the servers that it works with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.services.databases import DatabaseServer, MariaDB, PostgreSQL
from tests.services.keystone import Keystone
from tests.services.memcached import Memcached
from tests.services.servers import Server

ServerT = TypeVar("ServerT", bound=Server)


def _running(kind: type[ServerT]) -> Iterator[ServerT]:
    # Not below pytest's own directory, which other sessions tidy. The processes of one
    # pytest-xdist session know it by the same name.
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"p{os.getpid()}")
    server = kind(Path(tempfile.gettempdir(), f"glance-{kind.name}-{os.geteuid()}-{session}"))
    server.enter()
    yield server
    server.leave()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseServer]:
    """A private PostgreSQL server."""
    yield from _running(PostgreSQL)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    """A private MariaDB server."""
    yield from _running(MariaDB)


@pytest.fixture(scope="session")
def keystone() -> Iterator[Keystone]:
    """A private Keystone, which other tests use too."""
    yield from _running(Keystone)


@pytest.fixture
def own_keystone(keystone: Keystone) -> Iterator[Keystone]:
    """A Keystone for one test, which may stop it or freeze it."""
    with keystone.twin() as twin:
        yield twin


@pytest.fixture(scope="session")
def memcached() -> Iterator[Memcached]:
    """A private memcached, which other tests use too."""
    yield from _running(Memcached)


@pytest.fixture
def own_memcached(memcached: Memcached) -> Iterator[Memcached]:
    """A memcached for one test, which may stop it, freeze it or empty it."""
    with memcached.twin() as twin:
        yield twin


@pytest.fixture
def postgresql_url(postgresql: DatabaseServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with postgresql.database() as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb: DatabaseServer) -> Iterator[str]:
    """The URL of an empty MariaDB database."""
    with mariadb.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/glance.sqlite"


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.service),
        pytest.param("mariadb", marks=pytest.mark.service),
    ]
)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, on each engine in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))
