"""The service keeps to its description on database servers too, which are stricter than SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.functional.cloud import Cloud
from tests.functional.fuzzing import QUOTAS, Fuzzing, description, session, strategies

__all__ = ["description", "session", "strategies"]

SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.service),
    pytest.param("mariadb", marks=pytest.mark.service),
]


@pytest.fixture(scope="module", params=SERVERS)
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with ExitStack() as stack:
        url = stack.enter_context(request.getfixturevalue(request.param).database())
        cloud = Cloud(settings=QUOTAS, options={"database": {"connection": url}}, cache=True)
        yield stack.enter_context(cloud)
        assert cloud.server.trouble() == []


class TestFuzzing(Fuzzing):
    """See :mod:`tests.functional.fuzzing`."""
