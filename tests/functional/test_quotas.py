"""Quotas with two workers on one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

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


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(settings=SETTINGS, arguments=WORKERS) as server:
        yield server
        assert server.trouble() == []


class TestOnSqlite(QuotaScenarios):
    """See :mod:`tests.functional.quota_scenarios`."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("count", [2, 5, 16])
    def test_all_but_one(self, server: Server, owner: str, count: int, kind: str) -> None:
        check_all_but_one(server, owner, count, kind)


def test_an_identifier_is_not_used_again(server: Server) -> None:
    """Not even when other software has purged the catalogue of it."""
    image_id = server.image(b"data")
    chosen = {"id": image_id, "disk_format": "raw", "container_format": "bare"}
    assert server.request("DELETE", f"/v2/images/{image_id}").status == 204
    assert server.request("POST", "/v2/images", chosen).status == 409
    with closing(sqlite3.connect(server.state / "glance.sqlite")) as purging, purging:
        for table in ("image_properties", "image_tags", "image_locations", "image_members"):
            purging.execute(f"DELETE FROM {table} WHERE image_id = ?", (image_id,))
        assert purging.execute("DELETE FROM images WHERE id = ?", (image_id,)).rowcount == 1
    refused = server.request("POST", "/v2/images", chosen)
    assert refused.status == 409
    assert "existed once" in refused.body.decode()
