"""A proxy between a client and a service that does to requests whatever a test has planned.

Each request goes through connections of its own. What befalls it follows from its method, its path
and how often it was made before, never from the time, so that a run can be repeated.
"""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType

PIECE = 64 * 1024
#: A state of TCP as Linux has it.
_ESTABLISHED = 1
#: Seconds that a client has to take the end of an answer.
_LINGER = 5.0
#: What the client says of the connection, which is ours to say.
_OURS = re.compile(rb"\r\n(?:connection|keep-alive):[^\r]*", re.IGNORECASE)
_DATA = re.compile(r"/v2/images/[^/]+/file")


@dataclass(frozen=True)
class Asked:
    """A request.

    :param path: without its query.
    :param attempt: how many there were before of this method and path.
    """

    method: str
    path: str
    attempt: int = 0

    @property
    def is_data(self) -> bool:
        """Whether an image's data goes with it, in the one direction or the other."""
        return _DATA.fullmatch(self.path) is not None


@dataclass(frozen=True)
class Fault:
    """What befalls a request.

    :param kind: ``reset``: nobody takes it. ``status``: it is answered by the proxy. ``cut``: its
        connections are reset when so much of the data went through. ``stall``: no more of it goes
        through then, as long as the client has patience. ``corrupt``: the byte there is another.
        ``mute``: the service does what it is told to, and its answer is lost.
    :param after: bytes of the request's body, or of the answer's for GET.
    """

    kind: str
    after: int = 0
    status: int = 503


RESET = Fault("reset")
MUTE = Fault("mute")
BUSY = Fault("status")

Plan = Callable[[Asked], Fault | None]


def honest(asked: Asked) -> Fault | None:
    """Let everything through."""
    return None


def each(method: str, path: str, *faults: Fault | None) -> Plan:
    """Have the first request of a method and path suffer the first fault, and so on.

    :param path: a regular expression of whole paths; each path that fits begins anew.
    """
    pattern = re.compile(path)

    def plan(asked: Asked) -> Fault | None:
        if asked.method == method and pattern.fullmatch(asked.path) and asked.attempt < len(faults):
            return faults[asked.attempt]
        return None

    return plan


def several(*plans: Plan) -> Plan:
    """Follow the first plan that has something to say."""

    def plan(asked: Asked) -> Fault | None:
        return next(filter(None, (one(asked) for one in plans)), None)

    return plan


def flapping(seed: int, share: float, times: int, kinds: Iterable[Fault]) -> Plan:
    """Have a share of all requests suffer one fault or another.

    :param seed: what it all follows from.
    :param times: how often a request is tried that may be hit; later ones go through.
    """
    choices = list(kinds)

    def plan(asked: Asked) -> Fault | None:
        # By what it is rather than by its turn: several are under way at the same time.
        chance = random.Random(f"{seed} {asked.method} {asked.path} {asked.attempt}")
        if asked.attempt >= times or chance.random() >= share:
            return None
        return chance.choice(choices)

    return plan


class Proxy:
    """Stands before a service.

    :param port: the service's, on the loopback.
    :param headers: added to every request, in place of the client's of the same names.
    """

    def __init__(self, port: int, *, headers: Mapping[str, str] | None = None) -> None:
        self._service = port
        self._headers = dict(headers or {})
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._alarm: tuple[int, Callable[[], object]] | None = None
        #: Decides what befalls a request.
        self.plan: Plan = honest
        #: Every request, in its order.
        self.asked: list[Asked] = []
        #: The heads of all requests, as the client sent them.
        self.heads: list[bytes] = []
        #: What was done to requests.
        self.done: list[tuple[Asked, Fault]] = []
        #: Bytes of images' data that went through.
        self.data = 0
        self.port = 0

    def __enter__(self) -> Proxy:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        """The address as the program's arguments have it."""
        return f"127.0.0.1:{self.port}"

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Be gone: nobody listens, and open connections are reset."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Closing alone would leave the other thread in accept(), and the port taken.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            left = list(self._open)
        for one in left:
            _break_off(one)
            with contextlib.suppress(OSError):
                # For the thread that waits for it.
                one.shutdown(socket.SHUT_RDWR)

    def alarm(self, count: int, act: Callable[[], object]) -> None:
        """Have something done once so many more bytes of images' data have gone through."""
        with self._lock:
            self._alarm = (self.data + count, act)

    def count(self, method: str, path: str) -> int:
        """Return how many requests there were of a method, whose paths fit an expression."""
        return sum(
            one.method == method and bool(re.fullmatch(path, one.path)) for one in self.asked
        )

    # What goes on in threads of its own.

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(client)
        try:
            # Clients and services go away as they like.
            with contextlib.suppress(OSError):
                self._pass_on(client)
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()

    def _pass_on(self, client: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = client.recv(PIECE)
            if not piece:
                return
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        asked = self._note(head)
        fault = self.plan(asked)
        if fault is not None:
            with self._lock:
                self.done.append((asked, fault))
        if fault is not None and fault.kind == "reset":
            _break_off(client)
        elif fault is not None and fault.kind == "status":
            _answer(client, fault.status)
        else:
            with socket.create_connection(("127.0.0.1", self._service)) as service:
                service.sendall(self._rewritten(head))
                _Exchange(self, client, service, asked, fault).run(rest)

    def _note(self, head: bytes) -> Asked:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        path = target.partition("?")[0]
        with self._lock:
            asked = Asked(method, path, self._counts[method, path])
            self._counts[method, path] += 1
            self.asked.append(asked)
            self.heads.append(head)
        return asked

    def _rewritten(self, head: bytes) -> bytes:
        head = _OURS.sub(b"", head)
        for name in self._headers:
            head = re.sub(rb"(?i)\r\n" + re.escape(name.encode()) + rb":[^\r]*", b"", head)
        added = {**self._headers, "Connection": "close"}
        lines = b"".join(f"\r\n{name}: {value}".encode() for name, value in added.items())
        return head + lines + b"\r\n\r\n"

    def moved(self, count: int) -> None:
        """Count bytes of data; whoever wants to know of them is told before they go on."""
        act = None
        with self._lock:
            self.data += count
            if self._alarm is not None and self.data >= self._alarm[0]:
                act = self._alarm[1]
                self._alarm = None
        if act is not None:
            act()


class _Exchange:
    """One request and its answer, passed on piece by piece."""

    def __init__(
        self,
        proxy: Proxy,
        client: socket.socket,
        service: socket.socket,
        asked: Asked,
        fault: Fault | None,
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._service = service
        self._asked = asked
        self._fault = fault
        #: Whether what comes from the service is what the fault's count is about.
        self._downwards = asked.method == "GET"
        self._head = b""
        self._in_body = not self._downwards
        self._seen = 0
        #: Whether the service takes no more.
        self._deaf = False

    def run(self, rest: bytes) -> None:
        """Pass on all there is.

        :param rest: what came of the body together with the head.
        """
        if rest and not self._up(rest):
            return
        while True:
            ends = [self._service] if self._deaf else [self._client, self._service]
            for end in select.select(ends, [], [])[0]:
                piece = end.recv(PIECE)
                if not piece and end is self._service:
                    _linger(self._client)
                if not piece or not (self._up if end is self._client else self._down)(piece):
                    return

    def _up(self, piece: bytes) -> bool:
        if self._downwards:
            return self._send(self._service, piece)
        return self._part(piece, self._service)

    def _down(self, piece: bytes) -> bool:
        if self._fault is not None and self._fault.kind == "mute":
            # It has been done.
            return self._break()
        if self._downwards and not self._in_body:
            self._head += piece
            head, found, piece = self._head.partition(b"\r\n\r\n")
            if not found:
                return True
            self._in_body = True
            self._send(self._client, head + found)
        if not piece:
            return True
        return (
            self._part(piece, self._client) if self._downwards else self._send(self._client, piece)
        )

    def _part(self, piece: bytes, to: socket.socket) -> bool:
        """Pass on a part of the body that counts; tell whether to go on."""
        start, self._seen = self._seen, self._seen + len(piece)
        fault = self._fault
        if fault is None or fault.kind == "mute" or not start <= fault.after < self._seen:
            return self._count(piece, to)
        at = fault.after - start
        if fault.kind == "corrupt":
            return self._count(piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :], to)
        self._count(piece[:at], to)
        if fault.kind == "stall":
            while not _gone(self._client):
                time.sleep(0.02)
        return self._break()

    def _count(self, piece: bytes, to: socket.socket) -> bool:
        if self._asked.is_data:
            self._proxy.moved(len(piece))
        return self._send(to, piece)

    def _send(self, to: socket.socket, piece: bytes) -> bool:
        try:
            to.sendall(piece)
        except OSError:
            if to is self._client:
                return False
            # It takes no more, and may have said why.
            self._deaf = True
        return True

    def _break(self) -> bool:
        for one in (self._client, self._service):
            _break_off(one)
        return False


def _gone(client: socket.socket) -> bool:
    """Whether the other side has closed the connection, whatever lies unread in it."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED


def _answer(client: socket.socket, status: int) -> None:
    # What it still sends is taken, or it would never read the answer.
    body = b'{"message": "the proxy of a test"}'
    client.sendall(
        b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%s" % (status, len(body), body)
    )
    _linger(client)


def _linger(client: socket.socket) -> None:
    """Take what the client still sends: to close at once would reset what it has not read."""
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(_LINGER)
        while client.recv(PIECE):
            pass


def _break_off(one: socket.socket) -> None:
    """Let the connection be reset when it is closed."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
