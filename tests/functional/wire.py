"""HTTP spoken byte by byte, for what a client library would smooth over."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
from collections.abc import Iterator
from types import TracebackType

from tests.functional.server import OCTETS, Answer, Server, eventually

MIB = 1024 * 1024


def data_of(size: int) -> bytes:
    """Return that many bytes, always the same ones, that no one would guess."""
    return random.Random(size).randbytes(size)


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Wire:
    """One connection."""

    def __init__(self, server: Server, *, receive_buffer: int | None = None) -> None:
        if receive_buffer is None:
            self.socket = server.socket()
        else:
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            plain.settimeout(60)
            plain.connect(("127.0.0.1", server.port))
            self.socket = (
                server.tls.wrap_socket(plain, server_hostname="127.0.0.1") if server.tls else plain
            )
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, method: str, path: str, *headers: str) -> None:
        """Send a request's line and headers."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        self.send("\r\n".join(lines).encode())

    def put(self, image_id: str, *headers: str) -> None:
        """Send the head of an upload."""
        octets = [f"{name}: {value}" for name, value in OCTETS.items()]
        self.head("PUT", f"/v2/images/{image_id}/file", *octets, *headers)

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def answered(self) -> tuple[int, http.client.HTTPMessage]:
        """Read the head of an answer, also of one that only says "100 Continue"."""
        line = self._file.readline()
        assert line, "the connection was closed without an answer"
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        return int(status), http.client.parse_headers(self._file)

    def read(self, length: int) -> bytes:
        """Read bytes of a body; fewer only where the connection ends."""
        with contextlib.suppress(ConnectionResetError):
            return self._file.read(length)
        return b""

    def answer(self, method: str = "GET") -> Answer:
        """Read an answer whole."""
        status, headers = self.answered()
        bodiless = method == "HEAD" or status in (204, 304)
        length = 0 if bodiless else int(headers["Content-Length"])
        body = self.read(length)
        assert len(body) == length
        return Answer(status, headers, body)

    def ended(self) -> bool:
        """Whether the server has closed the connection with nothing more to say."""
        return self.read(1) == b""


@contextlib.contextmanager
def begun(server: Server, image_id: str, *headers: str, data: bytes = bytes(MIB)) -> Iterator[Wire]:
    """Begin an upload, and wait until the service is in the middle of it.

    :param headers: ``Content-Length`` or nothing, which makes it chunked.
    :param data: its first part.
    """
    with Wire(server) as wire:
        wire.put(image_id, *headers or ["Transfer-Encoding: chunked"])
        if headers:
            wire.send(data)
        else:
            wire.chunk(data)
        eventually(lambda: server.stored(image_id), "a partial file")
        assert server.status(image_id) == "saving"
        assert image_id not in server.stored(image_id)
        yield wire
