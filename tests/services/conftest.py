"""Fixtures over the databases that the service supports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.databases import MariaDB, PostgreSQL, Server


def _session_directory(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    # Under pytest-xdist each process has a directory of its own below the session's.
    return base.parent if base.name.startswith("popen-") else base


def _running(server: Server) -> Iterator[Server]:
    server.enter()
    yield server
    server.leave()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A private PostgreSQL server."""
    yield from _running(PostgreSQL(_session_directory(tmp_path_factory)))


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A private MariaDB server."""
    yield from _running(MariaDB(_session_directory(tmp_path_factory)))


@pytest.fixture
def postgresql_url(postgresql: Server) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with postgresql.database() as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb: Server) -> Iterator[str]:
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
