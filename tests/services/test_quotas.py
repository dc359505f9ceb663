"""Quotas with two workers on a database server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.functional.quota_scenarios import (
    KINDS,
    SETTINGS,
    WORKERS,
    QuotaScenarios,
    check_all_but_one,
    owner,
)
from tests.functional.server import Server

__all__ = ["owner"]

SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.service),
    pytest.param("mariadb", marks=pytest.mark.service),
]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with ExitStack() as stack:
        url = stack.enter_context(request.getfixturevalue(request.param).database())
        server = Server(
            settings=SETTINGS, arguments=WORKERS, options={"database": {"connection": url}}
        )
        yield stack.enter_context(server)
        assert server.trouble() == []


class TestOnServers(QuotaScenarios):
    """See :mod:`tests.functional.quota_scenarios`."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("count", range(2, 17))
    def test_all_but_one(self, server: Server, owner: str, count: int, kind: str) -> None:
        check_all_but_one(server, owner, count, kind)
