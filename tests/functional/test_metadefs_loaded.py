"""The embedded default's catalogue has metadata definitions from the beginning, and only then."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.functional.server import Server


def count(server: Server) -> int:
    with closing(sqlite3.connect(server.state / "glance.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM metadef_namespaces").fetchone()[0])


def test_loaded_once() -> None:
    with Server() as server:
        assert count(server) == 33
        assert server.stop() == 0
        with closing(sqlite3.connect(server.state / "glance.sqlite")) as connection, connection:
            for part in ("properties", "objects", "namespace_resource_types", "namespaces"):
                connection.execute(f"DELETE FROM metadef_{part}")
        server.start()
        assert count(server) == 0
        assert server.trouble() == []
