"""The load on metadata calls: one epoll loop that keeps so many requests in flight.

Closed loop: a connection sends its next request when the last is answered.  A latency runs from the
moment a request could be sent (setting up a new connection included, where the server closes
them) to its last byte.
"""

import errno
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from bench.stats import Figures, quantile
from bench.wire import Target, unchunk

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
_SILENCE = 120  # seconds without any event after which the cell is given up
_ENOUGH = 1000  # failures without an answer in between after which the cell is given up

#: A request: its bytes, and a key by which its answer is known.
Request = tuple[bytes, Any]


class Reply(NamedTuple):
    """An answer: the key of its request, the status, the body."""

    key: Any
    status: int
    body: bytes


def drive(
    target: Target,
    requests: Iterable[Request],
    concurrency: int,
    seconds: float,
    expect: Collection[int] = (200,),
    check: Callable[[Any, bytes], bool] | None = None,
) -> tuple[Figures, list[Reply]]:
    """Load the target for so many seconds, or until the requests run out.

    :param expect: the statuses that count as success.
    :param check: asked afterwards, outside the measured time, whether a body is the right one.
    """
    load = _Load(target, requests, seconds, expect)
    cpu, database = target.cpu()
    mine, began = time.process_time(), time.perf_counter()
    load.run(concurrency)
    wall, mine = time.perf_counter() - began, time.process_time() - mine
    cpu_after, database_after = target.cpu()

    bad, replies = load.bad, load.replies
    good = [reply for reply in replies if reply.status in expect]
    if check is not None:
        wrong = sum(not check(reply.key, reply.body) for reply in good)
        if wrong:
            bad["wrong body"] = wrong
    count = len(replies)
    ordered = sorted(load.latencies)

    def each(spent: float) -> float | None:
        return 1000 * spent / count if count else None

    return {
        "rps": (len(good) - bad.get("wrong body", 0)) / wall,
        "p50_ms": _ms(quantile(ordered, 0.5)),
        "p99_ms": _ms(quantile(ordered, 0.99)),
        "cpu_ms": each(cpu_after - cpu),
        "db_cpu_ms": each(database_after - database) if target.database else None,
        "client_cpu_ms": each(mine),
        "n": count,
        "bad": bad,
    }, replies


def _ms(value: float | None) -> float | None:
    """Turn seconds into milliseconds."""
    return None if value is None else 1000 * value


class _Conn:
    __slots__ = ("buf", "item", "out", "reused", "sock", "started")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.item: Request | None = None
        self.out = self.buf = b""
        self.started = 0.0
        self.reused = False  # the request in flight went out on a kept-alive connection


class _Load:
    """One run of the loop."""

    def __init__(
        self, target: Target, requests: Iterable[Request], seconds: float, expect: Collection[int]
    ) -> None:
        self.address = (target.host, target.port)
        self.source = iter(requests)
        self.seconds = seconds
        self.expect = expect
        self.latencies: list[float] = []
        self.replies: list[Reply] = []
        self.bad: dict[str, int] = {}
        self.conns: dict[int, _Conn] = {}
        self.again: deque[_Conn] = deque()  # connections to open anew, kept out of the call stack
        self.row = 0  # failures in a row

    def run(self, concurrency: int) -> None:
        self.deadline = time.perf_counter() + self.seconds
        with select.epoll() as self.epoll:
            for _ in range(concurrency):
                self.next(_Conn())
            while self.conns or self.again:
                while self.again:
                    self.open(self.again.popleft())
                if not self.conns:
                    continue
                events = self.epoll.poll(_SILENCE)
                if not events:
                    self.give_up("timeout")
                for fd, event in events:
                    conn = self.conns.get(fd)
                    if conn is not None:
                        self.happened(conn, event)

    def give_up(self, why: str) -> None:
        self.bad[why] = self.bad.get(why, 0) + len(self.conns)
        for conn in list(self.conns.values()):
            self.close(conn)
        self.again.clear()
        self.deadline = 0.0

    def next(self, conn: _Conn) -> None:
        """Take the next request, if there is one and time is left."""
        conn.item = next(self.source, None) if time.perf_counter() < self.deadline else None
        if conn.item is None:
            self.close(conn)
            return
        conn.started = time.perf_counter()
        if conn.sock is None:
            self.again.append(conn)
        else:
            conn.reused = True
            conn.out, conn.buf = conn.item[0], b""
            self.send(conn)

    def open(self, conn: _Conn) -> None:
        assert conn.item is not None
        conn.out, conn.buf, conn.reused = conn.item[0], b"", False
        conn.sock = sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.conns[sock.fileno()] = conn
        if sock.connect_ex(self.address) in (0, errno.EINPROGRESS):
            self.epoll.register(sock.fileno(), select.EPOLLOUT)
        else:
            self.lost(conn, "connect")

    def close(self, conn: _Conn) -> None:
        if conn.sock is not None:
            self.conns.pop(conn.sock.fileno(), None)
            conn.sock.close()
            conn.sock = None

    def lost(self, conn: _Conn, why: str) -> None:
        """Count a failure; but a kept-alive connection closed while idle only gets another try."""
        stale = conn.reused and not conn.buf
        self.close(conn)
        if stale:
            self.again.append(conn)
            return
        self.bad[why] = self.bad.get(why, 0) + 1
        self.row += 1
        if self.row >= _ENOUGH:
            self.give_up("given up")
        else:
            self.next(conn)

    def happened(self, conn: _Conn, event: int) -> None:
        assert conn.sock is not None
        if conn.out:
            if event & (select.EPOLLERR | select.EPOLLHUP):
                self.lost(conn, "reset")
            else:
                self.send(conn)
            return
        try:
            got = conn.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError as e:
            self.lost(conn, type(e).__name__)
            return
        conn.buf += got
        if not self.whole(conn, closed=not got) and not got:
            self.lost(conn, "closed")

    def send(self, conn: _Conn) -> None:
        assert conn.sock is not None
        try:
            conn.out = conn.out[conn.sock.send(conn.out) :]
        except BlockingIOError:
            pass
        except OSError as e:
            self.lost(conn, type(e).__name__)
            return
        self.epoll.modify(conn.sock.fileno(), select.EPOLLOUT if conn.out else select.EPOLLIN)

    def whole(self, conn: _Conn, closed: bool) -> bool:
        """Take the answer if all of it is there, and go on to the next request."""
        end = conn.buf.find(b"\r\n\r\n")
        if end < 0:
            return False
        head, at = conn.buf[:end].lower(), end + 4
        status = int(head[9:12])
        if b"\r\ntransfer-encoding: chunked" in head:
            body = unchunk(conn.buf[at:])
            if body is None:
                return False
        elif match := _LENGTH.search(head):
            body = conn.buf[at : at + int(match[1])]
            if len(body) < int(match[1]):
                return False
        elif status in (204, 304):
            body = b""
        elif closed:
            body = conn.buf[at:]
        else:
            return False
        assert conn.item is not None
        self.latencies.append(time.perf_counter() - conn.started)
        self.replies.append(Reply(conn.item[1], status, body))
        self.row = 0
        if status not in self.expect:
            self.bad[str(status)] = self.bad.get(str(status), 0) + 1
        if closed or b"\r\nconnection: close" in head or head.startswith(b"http/1.0"):
            self.close(conn)
        self.next(conn)
        return True
