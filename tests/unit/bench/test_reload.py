"""Which failures are put down to a killed worker, and what the clients' chances come to."""

import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from bench import clients
from bench.clients import LARGEST, SMALLEST, Downloader, Failure, Lister, Records
from bench.reload import Kill, Result, _judge_failures, main


def judged(*failures: Failure) -> list[str]:
    result = Result()
    killed = [Kill(100.0, {5000, 5001}, 0.1, 0.1), Kill(200.0, {6000}, 0.1, 0.1)]
    _judge_failures(list(failures), killed, result)
    return result.faults


def test_failures_of_killed_workers() -> None:
    assert (
        judged(Failure("list", "reset", 5000, 100.1), Failure("upload", "reset", 6000, 200.5)) == []
    )


@pytest.mark.parametrize(("port", "at"), [(5000, 99.0), (5000, 200.0), (7000, 100.1), (0, 100.1)])
def test_failures_of_nobody(port: int, at: float) -> None:
    (fault,) = judged(Failure("list", "500", port, at))
    assert fault == "list on a connection of no killed worker: 500"


def test_sizes_are_within_bounds_and_of_all_orders() -> None:
    sizes = [clients._size(random.Random(n)) for n in range(500)]
    assert min(sizes) >= SMALLEST
    assert max(sizes) <= LARGEST
    assert len([size for size in sizes if size < 100 * SMALLEST]) > 100
    assert len([size for size in sizes if size > LARGEST / 100]) > 100


def test_nobody_to_kill() -> None:
    with pytest.raises(SystemExit):
        main(["--workers", "0", "--kills", "1"])


class Handler(BaseHTTPRequestHandler):
    """Answers wrongly in one way or another."""

    protocol_version = "HTTP/1.1"
    answer = b""
    length = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.length or len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "length", "failed"),
    [
        (b"12345", 0, None),
        (b"12x45", 0, "Unexpected: other bytes from 0 on"),
        (b"1234", 0, "Unexpected: 4 of 5 bytes"),
        (b"123", 5, "Unexpected: 3 of 5 bytes"),
        (b"123456", 0, "Unexpected: other bytes from 0 on"),
    ],
)
def test_every_byte_counts(
    server: int, monkeypatch: pytest.MonkeyPatch, answer: bytes, length: int, failed: str | None
) -> None:
    monkeypatch.setattr(Handler, "answer", answer)
    monkeypatch.setattr(Handler, "length", length)
    records = Records(memoryview(b"0123456789"), images={"i": (1, 5)})
    right = Downloader(server, records, 1, keep=False).download("i", slow=False)
    assert right == (failed is None)
    if failed is not None:
        (failure,) = records.failures
        assert failure.port
        assert failed in failure.how or "IncompleteRead" in failure.how


def test_connection_refused() -> None:
    records = Records(memoryview(b""))
    client = Lister(1, records, 1, keep=True)
    assert client.ask("list", "GET", "/") is None
    assert records.failures[0].how.startswith("ConnectionRefusedError")
