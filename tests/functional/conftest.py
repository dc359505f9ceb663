"""Running services for the functional tests.

Most tests share one service of their pytest process and look after images of their own in it. When
they are done its log must hold no traceback: whatever clients do, nothing in it is unforeseen.
"""

from collections.abc import Iterator

import pytest

from tests.functional.server import Server


def _checked(server: Server) -> Iterator[Server]:
    with server:
        yield server
        assert server.trouble() == []


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One service of one process, shared."""
    yield from _checked(Server())


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    """One service of one process for one test, which may kill it."""
    yield from _checked(Server())


@pytest.fixture
def server_with_workers() -> Iterator[Server]:
    """A parent with two worker processes for one test."""
    yield from _checked(Server(arguments=("--workers", "2")))
