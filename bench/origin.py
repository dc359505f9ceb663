"""A web server that image data is fetched from: it counts what it is asked, and fails when told to.

It stands for the store behind a cache, and runs in threads of the measuring process.
"""

import contextlib
import hashlib
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 1 << 20
#: Bytes that say in corrupt data which answer they came with.
MARK_SIZE = 8

#: What may go wrong. All but the last end the answer badly; that one only takes its time.
REFUSED, OTHER_LENGTH, CORRUPT, TRUNCATED, RESET, STALLED = (
    "refused",
    "other length",
    "corrupt",
    "truncated",
    "reset",
    "stalled",
)
KINDS = (REFUSED, OTHER_LENGTH, CORRUPT, TRUNCATED, RESET, STALLED)


class Fault(NamedTuple):
    """What goes wrong with one answer.

    :ivar share: of the bytes that are right before it does.
    :ivar seconds: that a stalled answer stands still.
    """

    kind: str
    share: float
    seconds: float


#: Tells what goes wrong with the nth answer of a name, if anything.
Plan = Callable[[str, int], Fault | None]


@dataclass
class Asked:
    """One GET: of what, whether of a part, when, and what went wrong with it.

    :ivar number: from 1 on; corrupt data holds it.
    :ivar spoilt: where in the whole corrupt data began, and what it was.
    """

    number: int
    name: str
    part: bool
    fault: Fault | None
    began: float
    ended: float | None = None
    spoilt: tuple[int, bytes] | None = None

    def overlaps(self, first: float, last: float) -> bool:
        """Tell whether it was being answered at any time between two moments."""
        return self.began <= last and (self.ended is None or self.ended >= first)


@dataclass(frozen=True)
class Content:
    """What stands under a name, and its hashes, as a catalogue wants them."""

    data: memoryview
    md5: str
    sha512: str

    @classmethod
    def of(cls, data: memoryview) -> "Content":
        """Work the hashes out."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return cls(data, md5, hashlib.sha512(data).hexdigest())


def seeded(seed: int, share: float) -> Plan:
    """Return a plan in which that share of all answers goes wrong, the same ones each time."""

    def plan(name: str, count: int) -> Fault | None:
        chance = random.Random(f"{seed} {name} {count}")
        if chance.random() >= share:
            return None
        return Fault(chance.choice(KINDS), chance.random(), chance.uniform(0.2, 1.5))

    return plan


def mark(number: int) -> bytes:
    """Return what corrupt data of an answer holds, and no other data."""
    return hashlib.sha256(f"answer {number}".encode()).digest()[:MARK_SIZE]


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Origin"

    def do_HEAD(self) -> None:
        content = self.server.contents.get(self.path)
        if content is None:
            self._head(404, Content_Length=0)
        else:
            self._head(200, Content_Length=len(content.data), ETag=f'"{content.md5}"')

    def do_GET(self) -> None:
        content = self.server.contents.get(self.path)
        if content is None:
            self._head(404, Content_Length=0)
            return
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        asked = self.server.note(self.path, match is not None)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError):
                self._answer(asked, content, match)
                return
            # Whoever asked has gone.
            self.close_connection = True
        finally:
            asked.ended = time.monotonic()

    def _answer(self, asked: Asked, content: Content, match: re.Match[str] | None) -> None:
        fault = asked.fault
        kind = None if fault is None else fault.kind
        size = len(content.data)
        if kind == REFUSED:
            self._head(503, Content_Length=0)
            return
        headers: dict[str, object] = {"ETag": f'"{content.md5}"', "Accept-Ranges": "bytes"}
        first, last = 0, size - 1
        if match is not None:
            first, last = int(match[1]), min(int(match[2] or last), last)
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        data = content.data[first : last + 1]
        headers["Content-Length"] = len(data) + (kind == OTHER_LENGTH)
        self._head(206 if match else 200, **headers)
        if fault is None:
            self._send(data)
        else:
            self._send_badly(asked, fault, data, first)

    def _send_badly(self, asked: Asked, fault: Fault, data: memoryview, first: int) -> None:
        at = int(fault.share * len(data))
        self._send(data[:at])
        if fault.kind == STALLED:
            time.sleep(fault.seconds)
            self._send(data[at:])
            return
        if fault.kind == CORRUPT:
            wrong = mark(asked.number)[: len(data) - at]
            asked.spoilt = first + at, wrong
            self._send(memoryview(wrong))
            self._send(data[at + len(wrong) :])
            return
        if fault.kind == OTHER_LENGTH:
            self._send(data[at:])
            self._send(memoryview(b"!"))
            return
        self.close_connection = True
        if fault.kind == RESET:
            # Closed with a linger time of nothing, a connection is reset.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def _head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def _send(self, data: memoryview) -> None:
        for at in range(0, len(data), _PIECE):
            self.connection.sendall(data[at : at + _PIECE])

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Origin(ThreadingHTTPServer):
    """The server.

    :param plan: what goes wrong; nothing without one.
    :param port: 0 for any.
    :ivar contents: by path.
    :ivar asked: every GET, in order.
    :ivar watcher: told of each one before it is answered.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, plan: Plan | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Pages)
        self.plan = plan
        self.contents: Mapping[str, Content] = {}
        self.asked: list[Asked] = []
        self.watcher: Callable[[Asked], None] = lambda asked: None
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "Origin":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str) -> str:
        """Return the URL of what stands at a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def put(self, path: str, content: Content) -> str:
        """Have something stand at a path; return its URL."""
        self.contents = {**self.contents, path: content}
        return self.url(path)

    def remove(self, path: str) -> None:
        """Have nothing stand at a path any more."""
        self.contents = {name: there for name, there in self.contents.items() if name != path}

    def note(self, name: str, part: bool) -> Asked:
        """Note a GET, and decide what is to go wrong with it."""
        with self._lock:
            count = self._counts[name] = self._counts.get(name, 0) + 1
            fault = None if self.plan is None else self.plan(name, count)
            asked = Asked(len(self.asked) + 1, name, part, fault, time.monotonic())
            self.asked.append(asked)
        self.watcher(asked)
        return asked

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who fetches may go away at any time."""
