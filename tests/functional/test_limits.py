"""What clients cannot do to the service: send too much, too slowly, or in two ways at once."""

import contextlib
import gzip
import json
import re
import select
import socket
from collections.abc import Iterator

import pytest

from tests.functional.server import Answer, Server, eventually
from tests.functional.wire import Wire

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HEAD = b"GET /v2/images?limit=0 HTTP/1.1\r\nHost: x\r\n"
UPLOAD = b"PUT /v2/images/x/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"


def refusal(server: Server, *data: bytes) -> Answer:
    """Send something that is refused; return the answer, after which the connection ends."""
    with Wire(server) as wire:
        for piece in data:
            wire.send(piece)
        answer = wire.answer()
        assert answer.headers["Connection"] == "close"
        assert REQUEST_ID.fullmatch(answer.headers["x-openstack-request-id"])
        assert answer.headers["Content-Type"].startswith("text/plain")
        # Or the service would wait for what else there is to come.
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.ended()
    return answer


class TestRefusals:
    """Each in an answer that says why, however much is still to come."""

    @pytest.mark.parametrize(
        ("status", "data"),
        [
            (414, b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n"),
            (414, b"x" * 100_000),
            (431, HEAD + b"X: " + b"x" * 20000 + b"\r\n\r\n"),
            (431, HEAD + b"X: " + b"x" * 100_000),
            (431, HEAD + (b"X: " + b"x" * 10000 + b"\r\n") * 10),
            (431, HEAD + b"X: x\r\n" * 300 + b"\r\n"),
            (431, HEAD + b"X-OpenStack-Request-ID: " + b"x" * 100 + b"\r\n\r\n"),
            (400, b"nonsense\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\n\r\n"),
            (400, HEAD + b"Host: y\r\n\r\n"),
            (400, HEAD + b"X : y\r\n\r\n"),
            (400, HEAD + b"X: y\r\n z\r\n\r\n"),
            (400, HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (411, UPLOAD + b"\r\n"),
            (501, UPLOAD + b"Transfer-Encoding: identity\r\n\r\n"),
            (413, b"POST /v2/images HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"),
            (
                400,
                b"POST /v2/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n",
            ),
        ],
    )
    def test_status(self, server: Server, status: int, data: bytes) -> None:
        with Wire(server) as wire:
            wire.send(data)
            answer = wire.answer()
        assert answer.status == status
        assert REQUEST_ID.fullmatch(answer.headers["x-openstack-request-id"])
        assert b"x" * 100 not in answer.body

    def test_the_log_knows_it(self, server: Server) -> None:
        answer = refusal(server, HEAD.replace(b"images", b"noted"), b"X: " + b"x" * 20000)
        name = answer.headers["x-openstack-request-id"]
        logged = rf'\[- {name}[^\]]*\] 127.0.0.1 "GET /v2/noted\?limit=0 HTTP/1.1" 431 '
        assert re.search(logged, server.log_text())

    def test_request_id_of_the_client(self, server: Server) -> None:
        with Wire(server) as wire:
            wire.send(UPLOAD + b"X-OpenStack-Request-ID: mine\r\n\r\n")
            assert wire.answer().headers["x-openstack-request-id"] == "req-mine"

    def test_what_follows_is_no_request(self, server: Server) -> None:
        with Wire(server) as wire:
            wire.send(HEAD + b"X : y\r\n\r\n" + HEAD.replace(b"images", b"smuggled") + b"\r\n")
            assert wire.answer().status == 400
            assert wire.ended()
        assert "smuggled" not in server.log_text()

    def test_form(self, server: Server) -> None:
        with Wire(server) as wire:
            wire.send(HEAD + b"Accept: application/json\r\nX: y\r\nX : y\r\n\r\n")
            answer = wire.answer()
        assert (answer.status, answer.json["code"]) == (400, "400 Bad Request")

    def test_lines_as_long_as_may_be(self, server: Server) -> None:
        header = b"X-Auth-Token: "
        with Wire(server) as wire:
            wire.send(HEAD + header + b"x" * (16384 - len(header)) + b"\r\n\r\n")
            assert wire.answer().status == 200


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[Server]:
    """A service that waits for nobody."""
    settings = {
        "http_head_timeout": 1,
        "json_body_timeout": 1,
        "http_idle_timeout": 2,
        "max_header_line": 1000,
        "max_header_size": 2000,
        "max_header_count": 20,
    }
    with Server(settings=settings) as server:
        yield server
        assert server.trouble() == []


class TestSlowClients:
    """Those of a test are slow side by side: it takes no longer than the longest clock.

    What else clocks do is for tests/unit/api/test_channel.py, which turns them itself.
    """

    def test_drop_by_drop(self, hasty_server: Server) -> None:
        server = hasty_server
        image_id = server.create()
        begun = {
            "line": b"GET /",
            "header": HEAD + b"X: ",
            "body": b"POST /v2/images HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        }
        with contextlib.ExitStack() as stack:
            upload = stack.enter_context(Wire(server))
            upload.put(image_id, "Transfer-Encoding: chunked")
            slow = {name: stack.enter_context(Wire(server)) for name in begun}
            for name, wire in slow.items():
                wire.send(begun[name])
            waiting = {wire.socket: wire for wire in slow.values()}
            drops = 0
            # A byte now and then, until the service has said what it thinks of that.
            while waiting and drops < 600:
                for wire in waiting.values():
                    wire.send(b"x")
                upload.chunk(b"x")
                drops += 1
                for answered in select.select([*waiting], [], [], 0.1)[0]:
                    del waiting[answered]
            for wire in slow.values():
                answer = wire.answer()
                assert answer.status == 408
                assert REQUEST_ID.fullmatch(answer.headers["x-openstack-request-id"])
                assert wire.ended()
            # Image data may take its time.
            upload.send(b"0\r\n\r\n")
            assert upload.answer().status == 204
        assert server.show(image_id)["size"] == drops

    def test_idle(self, hasty_server: Server) -> None:
        with Wire(hasty_server) as unused, Wire(hasty_server) as used:
            used.send(HEAD + b"\r\n")
            assert used.answer().status == 200
            assert unused.ended()
            assert used.ended()

    def test_options_count(self, hasty_server: Server) -> None:
        assert refusal(hasty_server, b"GET /" + b"x" * 1000).status == 414
        assert refusal(hasty_server, HEAD + b"X: " + b"x" * 1000).status == 431
        assert refusal(hasty_server, HEAD + (b"X: " + b"x" * 900 + b"\r\n") * 3).status == 431
        assert refusal(hasty_server, HEAD + b"X: x\r\n" * 20 + b"\r\n").status == 431


class TestPipelining:
    def test_answers_come_in_order(self, server: Server) -> None:
        names = [f"pipelined-{n}" for n in range(300)]
        with Wire(server) as wire:
            wire.send(
                b"".join(
                    b"GET /v2/images/%s HTTP/1.1\r\nHost: x\r\n\r\n" % n.encode() for n in names
                )
            )
            for name in names:
                answer = wire.answer()
                assert answer.status == 404
                assert name.encode() in answer.body

    def test_one_who_reads_no_answers(self, fresh_server: Server) -> None:
        server = fresh_server
        # So that answers are worth more than questions.
        request = b"GET /versions HTTP/1.1\r\nHost: x\r\n\r\n"
        server.forget_peak()
        before = server.resident()
        with Wire(server, receive_buffer=8192) as wire:
            wire.socket.settimeout(1)
            sent = 0
            try:
                while sent < 50_000_000:
                    wire.send(request * 1000)
                    sent += 1000 * len(request)
            except TimeoutError:
                pass
            # Most of it stays with the client.
            assert sent < 50_000_000
            assert server.resident() - before < 16_000_000
            assert server.request("GET", "/healthcheck").status == 200


def test_number_of_connections() -> None:
    with Server(settings={"max_connections": 2}) as server:
        with Wire(server) as one, Wire(server) as two:
            for wire in (one, two):
                wire.send(HEAD + b"\r\n")
                assert wire.answer().status == 200
            with Wire(server) as three:
                three.send(HEAD + b"\r\n")
                two.send(HEAD + b"\r\n")
                assert two.answer().status == 200
                three.socket.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    three.socket.recv(1)
                three.socket.settimeout(60)
                assert len(server.descriptors()) == server.idle + 2
                one.close()
                assert three.socket.recv(9) == b"HTTP/1.1 "
                assert len(server.descriptors()) == server.idle + 2
        eventually(lambda: len(server.descriptors()) == server.idle, "all are gone")
        with contextlib.ExitStack() as stack:
            # At once, and after them one by one as others go.
            wires = [stack.enter_context(Wire(server)) for _ in range(40)]
            for wire in wires:
                wire.send(HEAD + b"\r\n")
                assert wire.answer().status == 200
                assert len(server.descriptors()) <= server.idle + 2
                wire.close()
        assert server.trouble() == []


@pytest.fixture(scope="module")
def small_server() -> Iterator[Server]:
    """A service that compresses, with enough images for a page that takes a thread to do it."""
    with Server(settings={"gzip_responses": True}) as server:
        for number in range(120):
            server.create(name=f"image {number}", description="x" * 300)
        yield server
        assert server.trouble() == []


class TestCompression:
    @pytest.mark.parametrize("limit", [5, 25, 120])
    def test_lists(self, small_server: Server, limit: int) -> None:
        path = f"/v2/images?limit={limit}"
        plain = small_server.request("GET", path)
        small = small_server.request("GET", path, headers={"Accept-Encoding": "gzip, deflate"})
        assert "Content-Encoding" not in plain.headers
        assert plain.headers["Vary"] == small.headers["Vary"] == "Accept-Encoding"
        assert small.headers["Content-Encoding"] == "gzip"
        assert len(small.body) == int(small.headers["Content-Length"]) < len(plain.body)
        assert json.loads(gzip.decompress(small.body)) == plain.json
        assert len(plain.json["images"]) == limit

    def test_refused_by_the_client(self, small_server: Server) -> None:
        headers = {"Accept-Encoding": "gzip;q=0"}
        answer = small_server.request("GET", "/v2/images", headers=headers)
        assert "Content-Encoding" not in answer.headers
        assert answer.json["images"]

    def test_small_answers(self, small_server: Server) -> None:
        headers = {"Accept-Encoding": "gzip"}
        answer = small_server.request("GET", "/v2/images?limit=0", headers=headers)
        assert "Content-Encoding" not in answer.headers

    def test_image_data(self, small_server: Server) -> None:
        data = bytes(100_000)
        image_id = small_server.image(data)
        answer = small_server.download(image_id, **{"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in answer.headers
        assert answer.body == data

    def test_off(self, server: Server) -> None:
        headers = {"Accept-Encoding": "gzip"}
        answer = server.request("GET", "/v2/schemas/images", headers=headers)
        assert len(answer.body) > 1024
        assert "Content-Encoding" not in answer.headers
        assert "Vary" not in answer.headers
