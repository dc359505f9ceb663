"""Two ports of one service: one shows where data is, the other does not."""

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.functional.server import Answer, Server

SHOWN = {"show_image_direct_url": True, "show_multiple_locations": True}
PATCH = "application/openstack-images-v2.1-json-patch"


@pytest.fixture(scope="module", params=[0, 2], ids=["alone", "workers"])
def two_ports(request: pytest.FixtureRequest) -> Iterator[Server]:
    # What the options of the usual port say does not count beside an internal port.
    settings = {"internal_bind_port": 0, **SHOWN}
    with Server(settings=settings, arguments=("--workers", str(request.param))) as server:
        yield server
        assert server.trouble() == []


def ask(server: Server, path: str, *, internal: bool) -> Answer:
    return server.request("GET", path, port=server.internal_port if internal else None)


def test_locations(two_ports: Server) -> None:
    server = two_ports
    image_id = server.image(b"hello")
    url = f"file://{server.images}/{image_id}"
    # More than once, for each process to have its turn.
    for _ in range(10):
        for path in (f"/v2/images/{image_id}", f"/v2/images?limit=1&id=in:{image_id}"):
            inside = ask(server, path, internal=True).json
            outside = ask(server, path, internal=False).json
            for found in inside.get("images", [inside]):
                assert found["direct_url"] == url
                assert [location["url"] for location in found["locations"]] == [url]
            for found in outside.get("images", [outside]):
                assert not {"direct_url", "locations"} & found.keys()


def test_changes(two_ports: Server) -> None:
    server = two_ports
    image_id = server.image(b"hello")
    change = [{"op": "replace", "path": "/name", "value": "x"}]
    headers = {"Content-Type": PATCH}
    path = f"/v2/images/{image_id}"

    def patched(port: int) -> Answer:
        return server.request("PATCH", path, json.dumps(change).encode(), headers, port)

    assert "locations" not in patched(server.port).json
    assert "locations" in patched(server.internal_port).json
    created = server.request("POST", "/v2/images", {"name": "x"}, port=server.internal_port)
    assert created.json["locations"] == []
    assert "locations" not in server.request("POST", "/v2/images", {"name": "x"}).json


def test_both_serve_everything(two_ports: Server) -> None:
    server = two_ports
    image_id = server.image(b"hello")
    answer = ask(server, f"/v2/images/{image_id}/file", internal=True)
    assert answer.body == b"hello"
    for internal in (True, False):
        assert ask(server, "/healthcheck/ready", internal=internal).status == 200
    answer = ask(server, "/versions", internal=True)
    href = answer.json["versions"][0]["links"][0]["href"]
    assert href == f"http://127.0.0.1:{server.internal_port}/v2/"


def test_internal_options() -> None:
    settings = {"internal_bind_port": 0, "internal_show_multiple_locations": False}
    with Server(settings=settings) as server:
        image_id = server.image(b"hello")
        found = ask(server, f"/v2/images/{image_id}", internal=True).json
        assert "direct_url" in found
        assert "locations" not in found


def test_one_port_shows_what_its_options_say() -> None:
    with Server(settings=SHOWN) as server:
        found = server.show(server.image(b"hello"))
        assert {"direct_url", "locations"} <= found.keys()


def test_nothing_is_left_listening() -> None:
    with Server(settings={"internal_bind_port": 0}, arguments=("--workers", "2")) as server:
        ports = server.port, server.internal_port
        assert server.stop() == 0
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("workers", [0, 2])
def test_address_that_others_reach(refused: Callable[..., str], workers: int) -> None:
    told = refused(internal_bind_port=0, internal_bind_host="0.0.0.0", workers=workers)
    assert told.startswith("[DEFAULT] internal_bind_host = 0.0.0.0 would let anyone")


def test_port_in_use(refused: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(internal_bind_port=port)
    assert told.startswith(f"Cannot listen on 127.0.0.1 port {port}")
    assert "internal_bind_port" in told
