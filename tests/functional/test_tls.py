"""The service over TLS: the same data, by another way out; and who is let in."""

import contextlib
import http.client
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificate
from tests.functional.server import OCTETS, Server, eventually
from tests.functional.wire import MIB, Wire, data_of, pieces_of

AUTHORITY = Certificate("authority", authority=True)
#: Greater than what all the buffers on the way hold.
SIZE = 40 * MIB

Refused = Callable[..., str]


def client(certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
    """Return how a client speaks that knows the authority, and maybe shows a certificate."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def options(folder: Path) -> dict[str, object]:
    certificate, key = Certificate("localhost", AUTHORITY).write(folder, "server")
    return {"cert_file": certificate, "key_file": key}


@pytest.fixture(scope="module")
def tls_server(options: dict[str, object]) -> Iterator[Server]:
    settings = {**options, "json_body_limit": 10000}
    with Server(settings=settings, tls=client()) as server:
        yield server
        assert server.trouble() == []


@pytest.fixture(scope="module")
def data() -> bytes:
    return data_of(SIZE)


@pytest.fixture(scope="module")
def image_id(tls_server: Server, data: bytes) -> str:
    return tls_server.image(data)


class TestUploads:
    @pytest.mark.parametrize("size", [0, 1, 5 * MIB + 1])
    @pytest.mark.parametrize("chunked", [True, False])
    def test_whole(self, tls_server: Server, size: int, chunked: bool) -> None:
        server, data = tls_server, data_of(size)
        image_id = server.create()
        body = pieces_of(data, 100_000) if chunked else data
        answer = server.request("PUT", f"/v2/images/{image_id}/file", body, OCTETS)
        assert answer.status == 204
        assert server.download(image_id).body == data

    def test_asked_for(self, tls_server: Server) -> None:
        image_id = tls_server.create()
        with Wire(tls_server) as wire:
            wire.put(image_id, "Content-Length: 5", "Expect: 100-continue")
            assert wire.answered()[0] == 100
            wire.send(b"hello")
            assert wire.answer().status == 204

    def test_refused_before_it_is_sent(self, tls_server: Server) -> None:
        with Wire(tls_server) as wire:
            wire.put("nonsense", f"Content-Length: {SIZE}")
            answer = wire.answer()
            assert answer.status == 404
            assert answer.headers["Connection"] == "close"

    def test_refused_while_it_is_sent(self, tls_server: Server) -> None:
        with Wire(tls_server) as wire:
            wire.put("nonsense", f"Content-Length: {4 * MIB}")
            wire.send(bytes(4 * MIB))
            assert wire.answer().status == 404
            assert wire.ended()

    @pytest.mark.parametrize("orderly", [True, False])
    def test_client_that_goes_away(self, tls_server: Server, orderly: bool) -> None:
        server = tls_server
        image_id = server.create()
        with Wire(server) as wire:
            wire.put(image_id, f"Content-Length: {SIZE}")
            wire.send(bytes(MIB))
            eventually(lambda: server.stored(image_id), "a partial file")
            if orderly:
                assert isinstance(wire.socket, ssl.SSLSocket)
                wire.socket.setblocking(False)
                with contextlib.suppress(ssl.SSLWantReadError, OSError):
                    wire.socket.unwrap()
        server.await_status(image_id, "queued")
        eventually(lambda: not server.stored(image_id), "nothing left of it")
        assert server.upload(image_id, b"hello").status == 204


class TestDownloads:
    def test_whole(self, tls_server: Server, image_id: str, data: bytes) -> None:
        answer = tls_server.download(image_id)
        assert answer.status == 200
        assert answer.headers["Content-Length"] == str(SIZE)
        assert answer.body == data

    def test_head(self, tls_server: Server, image_id: str) -> None:
        answer = tls_server.request("HEAD", f"/v2/images/{image_id}/file")
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(SIZE))

    @pytest.mark.parametrize(
        ("asked", "part"),
        [
            ("bytes=0-0", slice(0, 1)),
            (f"bytes={MIB - 1}-{9 * MIB}", slice(MIB - 1, 9 * MIB + 1)),
            ("bytes=-1000000", slice(-1_000_000, None)),
            (f"bytes={SIZE - 5}-", slice(SIZE - 5, None)),
        ],
    )
    def test_part(
        self, tls_server: Server, image_id: str, data: bytes, asked: str, part: slice
    ) -> None:
        answer = tls_server.download(image_id, Range=asked)
        assert answer.status == 206
        assert answer.body == data[part]

    def test_one_after_the_other_on_one_connection(
        self, tls_server: Server, image_id: str, data: bytes
    ) -> None:
        connection = tls_server.connection()
        try:
            for first in (0, MIB, 7 * MIB):
                headers = {"Range": f"bytes={first}-{first + MIB}"}
                connection.request("GET", f"/v2/images/{image_id}/file", headers=headers)
                answer = connection.getresponse()
                assert answer.read() == data[first : first + MIB + 1]
                connection.request("GET", "/v2/images?limit=0")
                assert connection.getresponse().read().startswith(b'{"images":[]')
        finally:
            connection.close()

    def test_slow_reader_gets_every_byte(
        self, tls_server: Server, image_id: str, data: bytes
    ) -> None:
        with Wire(tls_server, receive_buffer=64 * 1024) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            assert wire.answered()[0] == 200
            received = bytearray()
            while len(received) < SIZE:
                # Long enough, and often enough, for the service to run into the full socket.
                if len(received) % (8 * MIB) < MIB:
                    time.sleep(0.02)
                received += wire.read(MIB)
        assert received == data

    def test_memory_stays_bounded(self, tls_server: Server, image_id: str) -> None:
        server = tls_server
        server.forget_peak()
        before = server.resident()
        with Wire(server, receive_buffer=64 * 1024) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            assert wire.answered()[0] == 200
            # What follows waits in the kernel and not in the process.
            wire.socket.settimeout(0.2)
            sent = 0
            try:
                while sent < SIZE:
                    sent += wire.socket.send(bytes(64 * 1024))
            except (TimeoutError, ssl.SSLWantWriteError):
                pass
            assert sent < SIZE
            assert server.resident() - before < SIZE / 2
        eventually(lambda: len(server.descriptors()) == server.idle, "nothing left open")

    @pytest.mark.parametrize("orderly", [True, False])
    def test_reader_that_goes_away(self, tls_server: Server, image_id: str, orderly: bool) -> None:
        server = tls_server
        for _ in range(5):
            with Wire(server, receive_buffer=64 * 1024) as wire:
                wire.head("GET", f"/v2/images/{image_id}/file")
                assert wire.answered()[0] == 200
                if not orderly:
                    linger = b"\1\0\0\0\0\0\0\0"
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        eventually(lambda: len(server.descriptors()) == server.idle, "nothing left open")

    def test_data_cut_off_under_the_reader(self, tls_server: Server) -> None:
        server, data = tls_server, data_of(SIZE - 1)
        image_id = server.image(data)
        with Wire(server, receive_buffer=64 * 1024) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            assert wire.answered()[0] == 200
            os.truncate(server.images / image_id, SIZE // 2)
            received = wire.read(SIZE)
        # Never more than there was, and never all: the client must notice.
        assert len(received) < len(data)
        assert data.startswith(received)


class TestEverythingElse:
    def test_links(self, tls_server: Server) -> None:
        answer = tls_server.request("GET", "/versions")
        assert answer.json["versions"][0]["links"][0]["href"] == f"{tls_server.url}/v2/"
        answer = tls_server.request("POST", "/v2/images", {"name": "x"})
        assert answer.headers["Location"].startswith(tls_server.url + "/v2/images/")

    def test_too_large_a_body(self, tls_server: Server) -> None:
        assert tls_server.request("POST", "/v2/images", bytes(MIB)).status == 413

    def test_no_http_2(self, tls_server: Server) -> None:
        context = client()
        context.set_alpn_protocols(["h2", "http/1.1"])
        connection = http.client.HTTPSConnection("127.0.0.1", tls_server.port, context=context)
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
        assert connection.sock.version() == "TLSv1.3"
        connection.close()

    @pytest.mark.parametrize(
        "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\0\5junk!"]
    )
    def test_client_that_speaks_no_tls(self, tls_server: Server, data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", tls_server.port), timeout=60) as plain:
            plain.sendall(data)
            while received := plain.recv(65536):
                # An alert, at most.
                assert received.startswith(b"\x15")
        assert tls_server.request("GET", "/versions").status == 200

    def test_curl(self, tls_server: Server, folder: Path) -> None:
        (folder / "ca.crt").write_bytes(AUTHORITY.pem)
        command = ["curl", "-sS", "--cacert", str(folder / "ca.crt")]
        done = subprocess.run(
            [*command, f"{tls_server.url}/healthcheck"], capture_output=True, check=True
        )
        assert done.stdout == b"OK"


def test_silent_clients(options: dict[str, object]) -> None:
    settings = {**options, "client_socket_timeout": 2}
    with Server(settings=settings, tls=client()) as server:
        image_id = server.image(data_of(SIZE))
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        with plain, Wire(server, receive_buffer=8192) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            assert wire.answered()[0] == 200
            # This one never even greets; both are waited for at once.
            with contextlib.suppress(ConnectionResetError):
                assert plain.recv(1) == b""
            eventually(lambda: len(server.descriptors()) == server.idle, "nothing left open")
        assert server.trouble() == []


def test_workers(options: dict[str, object], data: bytes) -> None:
    settings = {**options, "internal_bind_port": 0}
    with Server(settings=settings, arguments=("--workers", "2"), tls=client()) as server:
        image_id = server.image(data)
        for port in (server.port, server.internal_port):
            answer = server.request("GET", f"/v2/images/{image_id}/file", port=port)
            assert answer.body == data
        assert server.trouble() == []


@pytest.fixture(scope="module")
def strict_server(options: dict[str, object], folder: Path) -> Iterator[Server]:
    """A service that wants to see a certificate, and a client that has one."""
    path = folder / "authorities.crt"
    path.write_bytes(AUTHORITY.pem)
    ours = Certificate("client", AUTHORITY).write(folder, "client")
    with Server(settings={**options, "ca_file": path}, tls=client(ours)) as server:
        yield server
        assert server.trouble() == []


class TestClientCertificates:
    def test_one_of_the_authority(self, strict_server: Server) -> None:
        assert strict_server.request("GET", "/v2/images?limit=0").status == 200

    @pytest.mark.parametrize("kind", ["none", "stranger's", "self-made"])
    def test_others(self, strict_server: Server, folder: Path, kind: str) -> None:
        shown = {
            "none": lambda: None,
            "stranger's": lambda: Certificate(
                "client", Certificate("authority", authority=True)
            ).write(folder, "other"),
            "self-made": lambda: Certificate("client").write(folder, "other"),
        }[kind]()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", strict_server.port, context=client(shown), timeout=60
        )
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connection.request("GET", "/healthcheck")
            connection.getresponse()
        connection.close()


class TestFaults:
    def test_missing_file(self, refused: Refused, options: dict[str, object]) -> None:
        told = refused(**{**options, "key_file": "/nonexistent/file"})
        assert told == (
            "[DEFAULT]key_file: /nonexistent/file cannot be read: no such file or directory."
        )

    @pytest.mark.parametrize("workers", [0, 2])
    def test_key_of_another_certificate(
        self, refused: Refused, options: dict[str, object], folder: Path, workers: int
    ) -> None:
        _, key = Certificate("other").write(folder, "stray")
        told = refused(**{**options, "key_file": key, "workers": workers})
        assert told.startswith(f"[DEFAULT]key_file: {key} is not the key of the first certificate")

    def test_one_without_the_other(self, refused: Refused, options: dict[str, object]) -> None:
        told = refused(cert_file=options["cert_file"])
        assert "[DEFAULT]key_file must be set as well" in told

    def test_authorities_without_tls(self, refused: Refused, options: dict[str, object]) -> None:
        told = refused(ca_file=options["cert_file"])
        assert "[DEFAULT]cert_file and [DEFAULT]key_file must be set as well" in told
