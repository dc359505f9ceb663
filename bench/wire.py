"""HTTP/1.1, just enough of it, over blocking sockets.

Written out rather than taken from ``http.client`` because the measuring side must cost little and
must see the bytes as they come: a download is compared while it arrives.
"""

import json
import socket
import struct
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from bench.identity import Identity
from bench.processes import Tree, listeners
from bench.stats import Spec

JSON = b"application/json"


class WireError(Exception):
    """The service answered otherwise than a measurement can use, or not at all."""


class Head(NamedTuple):
    """The head of a response, and what of the body came with it."""

    status: int
    headers: dict[bytes, bytes]
    rest: bytes


class Target:
    """One service under measurement: where it is, and which processes it is made of."""

    def __init__(self, spec: Spec, identity: Identity, database_pids: Iterable[int] = ()) -> None:
        """Find the service.

        :param identity: who makes the requests.
        :raises WireError: when nothing listens there.
        """
        self.name, self.host, self.port = spec
        self.identity = identity
        self.tree = Tree(listeners(self.port))
        if not self.tree.roots:
            raise WireError(f"{self.name}: nothing listens on port {self.port}")
        pids = set(database_pids)
        self.database = Tree(pids) if pids else None

    def cpu(self) -> tuple[float, float]:
        """Return the CPU seconds used so far by the service and by its database, if known."""
        return self.tree.cpu(), self.database.cpu() if self.database else 0.0

    def head(
        self, method: str, path: str, headers: bytes = b"", length: int | None = None
    ) -> bytes:
        """Return the bytes of a request's head."""
        host = f"{self.host}:{self.port}"
        out = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n".encode()
        if length is not None:
            headers += b"Content-Length: %d\r\n" % length
        return out + self.identity.headers + headers + b"\r\n"

    def request(self, method: str, path: str, body: Any = None, kind: bytes = JSON) -> bytes:
        """Return the bytes of a whole request, the body as JSON."""
        if body is None:
            return self.head(method, path)
        data = json.dumps(body).encode()
        return self.head(method, path, b"Content-Type: " + kind + b"\r\n", len(data)) + data

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        expect: Collection[int] = (200, 201, 204),
        kind: bytes = JSON,
    ) -> Any:
        """Do one request on a connection of its own and return the JSON of the answer.

        :raises WireError: when the status is not an expected one.
        """
        with socket.create_connection((self.host, self.port), timeout=300) as sock:
            sock.sendall(self.request(method, path, body, kind))
            head = read_head(sock)
            payload = b"" if head.status in (204, 304) else read_body(sock, head)
        if head.status not in expect:
            raise WireError(f"{self.name}: {method} {path}: {head.status} {payload[:300]!r}")
        return json.loads(payload) if payload else None

    def stream(self) -> socket.socket:
        """Connect for bulk data: blocking, so that sendfile works, but never for ever."""
        sock = socket.create_connection((self.host, self.port), timeout=60)
        sock.settimeout(None)
        for side in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, side, struct.pack("ll", 600, 0))
        return sock


def _receive(sock: socket.socket, where: str) -> bytes:
    got = sock.recv(65536)
    if not got:
        raise WireError(f"the connection was closed {where}")
    return got


def read_head(sock: socket.socket) -> Head:
    """Read a response's head, passing over interim ones (100 Continue)."""
    buf = b""
    while True:
        while b"\r\n\r\n" not in buf:
            buf += _receive(sock, "before the head of the response was whole")
        raw, buf = buf.split(b"\r\n\r\n", 1)
        first, *lines = raw.split(b"\r\n")
        status = int(first.split()[1])
        if status >= 200:
            fields = (line.partition(b":") for line in lines)
            return Head(status, {k.strip().lower(): v.strip() for k, _, v in fields}, buf)


def is_chunked(head: Head) -> bool:
    """Tell whether the body comes in chunks."""
    return head.headers.get(b"transfer-encoding", b"").lower() == b"chunked"


def read_body(sock: socket.socket, head: Head) -> bytes:
    """Read the rest of a body, however it is framed."""
    body = head.rest
    if is_chunked(head):
        while (done := unchunk(body)) is None:
            body += _receive(sock, "inside a chunked body")
        return done
    if b"content-length" in head.headers:
        need = int(head.headers[b"content-length"])
        while len(body) < need:
            body += _receive(sock, "inside a body")
        return body[:need]
    while got := sock.recv(65536):
        body += got
    return body


def unchunk(buf: bytes) -> bytes | None:
    """Return the chunked body in ``buf`` once it is whole, else ``None``."""
    out, at = b"", 0
    while (eol := buf.find(b"\r\n", at)) >= 0:
        size = int(buf[at:eol].split(b";")[0], 16)
        at = eol + 2
        if len(buf) < at + size + 2:
            return None
        if not size:
            return out
        out += buf[at : at + size]
        at += size + 2
    return None
