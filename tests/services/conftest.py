"""Fixtures over the databases that the service supports."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.databases import MariaDB, PostgreSQL, Server


def _running(kind: type[Server]) -> Iterator[Server]:
    # Not below pytest's own directory, which other sessions tidy. The processes of one
    # pytest-xdist session know it by the same name.
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"p{os.getpid()}")
    server = kind(Path(tempfile.gettempdir(), f"glance-{kind.name}-{os.geteuid()}-{session}"))
    server.enter()
    yield server
    server.leave()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A private PostgreSQL server."""
    yield from _running(PostgreSQL)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """A private MariaDB server."""
    yield from _running(MariaDB)


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
