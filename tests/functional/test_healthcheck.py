"""What a load balancer gets to know, with parts that are gone or do not answer."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.server import Server, eventually

READY = "/healthcheck/ready"

#: A driver whose probe never answers while a certain file exists.
HANGING = '''
"""A store like the one for files, that can be made to hang."""

import os

from twisted.internet.defer import Deferred

from glance.stores import file

options = file.options


def make(store_id, section, reactor):
    return HangingStore(store_id, section, reactor)


class HangingStore(file.FileStore):
    driver = "hanging"

    def probe(self):
        if os.path.exists(self.directories[0] + "/hang"):
            return Deferred()
        return super().probe()
'''
PLUGIN = """
from glance.stores.drivers import LazyFactory

hanging_store = LazyFactory("hanging", "hanging_store")
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("plugins")
    (place / "hanging_store.py").write_text(HANGING)
    folder = place / "twisted" / "plugins"
    folder.mkdir(parents=True)
    (folder / "hanging_plugin.py").write_text(PLUGIN)
    return place


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """Directories of two stores."""
    return [tmp_path / "fast", tmp_path / "archive"]


@pytest.fixture
def server_with_stores(plugins: Path, stores: list[Path]) -> Iterator[Server]:
    """A service with two stores that hang on demand."""
    groups = {
        "glance_store": {"default_backend": "fast"},
        **{path.name: {"filesystem_store_datadir": path} for path in stores},
    }
    settings = {"enabled_backends": "fast:hanging,archive:hanging"}
    with Server(settings=settings, options=groups, plugins=plugins) as server:
        yield server
        assert server.trouble() == []


def states(server: Server) -> tuple[int, str, str, dict[str, str]]:
    answer = server.request("GET", READY)
    told = answer.json
    return answer.status, told["status"], told["catalogue"], told["stores"]


WELL = (200, "ready", "ok", {"fast": "ok", "archive": "ok"})


class TestReady:
    def test_well(self, server: Server) -> None:
        answer = server.request("GET", READY)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json == {
            "status": "ready",
            "catalogue": "ok",
            "stores": {"file": "ok"},
            "rotation": "in",
        }
        assert server.request("HEAD", READY).status == 200
        assert server.request("POST", READY).status == 200

    def test_stores_that_hang(self, server_with_stores: Server, stores: list[Path]) -> None:
        server = server_with_stores
        assert states(server) == WELL
        hang = {path.name: path / "hang" for path in stores}
        hang["archive"].touch()
        degraded = (200, "degraded", "ok", {"fast": "ok", "archive": "no answer"})
        eventually(lambda: states(server) == degraded, "a store that hangs is noticed")
        hang["fast"].touch()
        both = (503, "not ready", "ok", {"fast": "no answer", "archive": "no answer"})
        eventually(lambda: states(server) == both, "the other store as well")
        # Everything else goes on.
        assert server.request("GET", "/healthcheck").status == 200
        assert server.request("GET", "/healthcheck/live").status == 200
        assert server.request("GET", "/v2/images?limit=0").status == 200

    def test_store_that_is_gone(self, server_with_stores: Server, stores: list[Path]) -> None:
        server = server_with_stores
        stores[0].rename(stores[0].with_name("away"))
        gone = (503, "not ready", "ok", {"fast": "failed", "archive": "ok"})
        eventually(lambda: states(server) == gone, "a store that is gone is noticed")
        answer = server.request("GET", READY)
        assert str(stores[0].parent).encode() not in answer.body
        assert str(stores[0]) in server.log_text()
        stores[0].with_name("away").rename(stores[0])
        eventually(lambda: states(server) == WELL, "its return is noticed")

    def test_catalogue_that_is_gone(self, fresh_server: Server) -> None:
        server = fresh_server
        database = server.state / "glance.sqlite"
        with sqlite3.connect(database) as connection:
            connection.execute("ALTER TABLE images RENAME TO away")
        connection.close()
        failed = (503, "not ready", "failed", {"file": "ok"})
        eventually(lambda: states(server) == failed, "a broken catalogue is noticed")
        answer = server.request("GET", READY)
        assert b"images" not in answer.body


class TestFiles:
    def test_out_of_rotation(self, tmp_path: Path) -> None:
        path = tmp_path / "disabled"
        with Server(options={"healthcheck": {"disable_by_file_path": path}}) as server:
            assert server.request("GET", "/healthcheck").status == 200
            path.touch()
            answer = server.request("GET", "/healthcheck")
            assert (answer.status, answer.body) == (503, b"DISABLED BY FILE")
            answer = server.request("GET", READY)
            assert (answer.status, answer.json["rotation"]) == (503, "out")
            assert server.request("GET", "/healthcheck/live").status == 200
            assert server.request("GET", "/v2/images?limit=0").status == 200
            path.unlink()
            assert server.request("GET", "/healthcheck").status == 200

    def test_backends(self, tmp_path: Path) -> None:
        marker = tmp_path / "marker"
        options = {"backends": "enable_by_files", "enable_by_file_paths": marker, "detailed": True}
        with Server(options={"healthcheck": options}) as server:
            accept = {"Accept": "application/json"}
            answer = server.request("GET", "/healthcheck", headers=accept)
            reason = {"class": "enable_by_files", "details": "", "reason": "FILE PATH MISSING"}
            assert (answer.status, answer.json) == (503, {"detailed": True, "reasons": [reason]})
            marker.touch()
            assert server.request("GET", "/healthcheck", headers=accept).status == 200

    def test_one_of_two_ports(self, tmp_path: Path) -> None:
        with Server(settings={"internal_bind_port": 0}) as server:
            port = server.port
        path = tmp_path / "disabled"
        path.touch()
        options = {"backends": "disable_by_files_ports", "disable_by_file_paths": f"{port}:{path}"}
        settings = {"internal_bind_port": port}
        with Server(settings=settings, options={"healthcheck": options}) as server:
            assert server.request("GET", "/healthcheck").status == 200
            assert server.request("GET", "/healthcheck", port=port).status == 503


def test_who_may_ask() -> None:
    options = {"allowed_source_ranges": "10.0.0.0/8"}
    with Server(options={"healthcheck": options}) as server:
        for path in ("/healthcheck", READY, "/healthcheck/live"):
            answer = server.request("GET", path, headers={"X-Forwarded-For": "10.0.0.1"})
            assert answer.status == 403
        assert server.request("GET", "/v2/images?limit=0").status == 200


def test_through_a_proxy() -> None:
    with Server(options={"healthcheck": {"ignore_proxied_requests": True}}) as server:
        headers = {"X-Forwarded-For": "10.0.0.1"}
        assert server.request("GET", "/healthcheck").status == 200
        assert server.request("GET", "/healthcheck", headers=headers).status == 403
