"""Clients that load a service while it is reloaded or loses workers, and believe nothing.

Each has connections of its own, new ones or kept, and checks every byte that it gets. What fails is
noted with the connection it failed on, and nothing is tried again. Only where a kept connection
turns out to be closed before anything is sent on it, a new one is made, as clients do, and counted.
"""

import contextlib
import hashlib
import http.client
import json
import math
import os
import random
import select
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

KIB, MIB = 1 << 10, 1 << 20
#: The bytes that all images are cut from.
POOL_SIZE = 48 * MIB
SMALLEST, LARGEST = 1 * KIB, 16 * MIB
#: One in so many transfers is slow, so that it lasts for several reloads.
SLOW = 8
SLOW_TIME = 6.0
#: Images that are kept; more are deleted again.
KEPT = 40

#: Seconds without a byte after which a client gives up.
PATIENCE = 120.0

OCTETS = {"Content-Type": "application/octet-stream"}


class Failure(NamedTuple):
    """A request that failed: what it was, how, on which local port, and when."""

    what: str
    how: str
    port: int
    at: float


class Unexpected(Exception):
    """An answer that is not right."""


@dataclass
class Records:
    """What all clients have seen.

    :ivar images: by id of each image that was created, where its data stands in the pool: offset
        and size.
    :ivar complete: ids of the images whose upload was answered.
    """

    pool: memoryview
    images: dict[str, tuple[int, int]] = field(default_factory=dict)
    complete: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    stale: int = 0
    failures: list[Failure] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def data(self, image_id: str) -> memoryview:
        """Return what an image's data is to be."""
        offset, size = self.images[image_id]
        return self.pool[offset : offset + size]


class Connection(http.client.HTTPConnection):
    """One connection, which remembers its own port when it is closed."""

    local = 0

    def connect(self) -> None:
        super().connect()
        self.local = self.sock.getsockname()[1]


class Client:
    """Makes requests, one after the other.

    :param keep: use a connection for many requests.
    """

    def __init__(self, port: int, records: Records, seed: int, *, keep: bool) -> None:
        self.random = random.Random(seed)
        self._port = port
        self.records = records
        self._keep = keep
        self._connection: Connection | None = None
        self.going_on = True

    def run(self) -> None:
        """Work until told to stop."""
        while self.going_on:
            self.turn()
            # No client goes on for ever without a pause.
            time.sleep(self.random.random() * 0.05)
        self.forget()

    def turn(self) -> None:
        """Do one thing."""
        raise NotImplementedError

    def forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self,
        what: str,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        expect: int = 200,
    ) -> http.client.HTTPResponse | None:
        """Send a request and read the head of its answer; ``None`` if that failed.

        :param body: bytes, or an iterator of bytes.
        """
        self.forget_if_closed()
        if self._connection is None:
            self._connection = Connection("127.0.0.1", self._port, timeout=PATIENCE)
        connection = self._connection
        try:
            # One that is refused early may be answered before it is whole.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            if answer.status != expect:
                raise Unexpected(f"{answer.status} {answer.read()[:200]!r}")
            return answer
        except (OSError, http.client.HTTPException, Unexpected) as e:
            return self.failed(what, e)

    def forget_if_closed(self) -> None:
        """See whether the server has closed a kept connection, as clients do before they use it."""
        if self._connection is None or self._connection.sock is None:
            self._connection = None
        elif select.select([self._connection.sock], [], [], 0)[0]:
            with self.records.lock:
                self.records.stale += 1
            self.forget()

    def failed(self, what: str, error: Exception) -> None:
        """Note a failure."""
        local = 0 if self._connection is None else self._connection.local
        with self.records.lock:
            how = f"{type(error).__name__}: {error}"
            self.records.failures.append(Failure(what, how, local, time.monotonic()))
        self.forget()

    def done(self, what: str, answer: http.client.HTTPResponse, moved: int = 0) -> None:
        """Note a success."""
        with self.records.lock:
            self.records.done[what] += 1
            self.records.moved += moved
        if not self._keep or answer.will_close:
            self.forget()

    def rest(self, what: str, answer: http.client.HTTPResponse) -> bytes | None:
        """Read the body of an answer; ``None`` if that failed."""
        try:
            return answer.read()
        except (OSError, http.client.HTTPException) as e:
            return self.failed(what, e)


class Lister(Client):
    """Reads lists and single images."""

    def turn(self) -> None:
        limit = self.random.choice((1, 5, 25))
        what = "list"
        answer = self.ask(what, "GET", f"/v2/images?limit={limit}")
        if answer is None or (body := self.rest(what, answer)) is None:
            return
        try:
            found = json.loads(body)["images"]
            if len(found) > limit:
                raise Unexpected(f"{len(found)} images instead of {limit}")
        except (ValueError, KeyError, Unexpected) as e:
            self.failed(what, e)
            return
        self.done(what, answer)


class Uploader(Client):
    """Creates images, sends their data, and deletes some."""

    def turn(self) -> None:
        image = {"disk_format": "raw", "container_format": "bare", "name": "load"}
        json_type = {"Content-Type": "application/json"}
        made = self.ask(
            "create", "POST", "/v2/images", json.dumps(image).encode(), json_type, expect=201
        )
        if made is None or (body := self.rest("create", made)) is None:
            return
        image_id = str(json.loads(body)["id"])
        size = _size(self.random)
        offset = self.random.randrange(POOL_SIZE - size)
        with self.records.lock:
            self.records.images[image_id] = offset, size
        self.done("create", made)
        if self.upload(image_id):
            self.check(image_id)
            self.delete_some()

    def upload(self, image_id: str) -> bool:
        data = self.records.data(image_id)
        slow = self.random.randrange(SLOW) == 0
        headers = dict(OCTETS)
        if self.random.random() < 0.5:
            headers["Content-Length"] = str(len(data))

        def pieces() -> Iterator[bytes]:
            piece = max(4 * KIB, len(data) // 40) if slow else 256 * KIB
            for start in range(0, len(data), piece):
                yield bytes(data[start : start + piece])
                if slow:
                    time.sleep(SLOW_TIME / 40)

        path = f"/v2/images/{image_id}/file"
        answer = self.ask("upload", "PUT", path, pieces(), headers, expect=204)
        if answer is None or self.rest("upload", answer) is None:
            return False
        self.done("upload", answer, len(data))
        return True

    def check(self, image_id: str) -> None:
        answer = self.ask("show", "GET", f"/v2/images/{image_id}")
        if answer is None or (body := self.rest("show", answer)) is None:
            return
        shown = json.loads(body)
        data = self.records.data(image_id)
        right = shown["status"] == "active" and shown["size"] == len(data)
        if not right or shown["os_hash_value"] != hashlib.sha512(data).hexdigest():
            self.failed("show", Unexpected(f"not what was uploaded: {shown}"))
            return
        self.done("show", answer)
        with self.records.lock:
            self.records.complete.append(image_id)

    def delete_some(self) -> None:
        with self.records.lock:
            complete = self.records.complete
            if len(complete) <= KEPT:
                return
            image_id = complete.pop(self.random.randrange(KEPT // 2))
        answer = self.ask("delete", "DELETE", f"/v2/images/{image_id}", expect=204)
        if answer is not None and self.rest("delete", answer) is not None:
            self.done("delete", answer)
            with self.records.lock:
                del self.records.images[image_id]


class Downloader(Client):
    """Reads images and compares every byte."""

    def turn(self) -> None:
        with self.records.lock:
            # The newest are the last to be deleted.
            newest = self.records.complete[-KEPT // 2 :]
        if newest:
            self.download(self.random.choice(newest))

    def download(self, image_id: str, *, slow: bool | None = None) -> bool:
        what = "download"
        answer = self.ask(what, "GET", f"/v2/images/{image_id}/file")
        if answer is None:
            return False
        expected = self.records.data(image_id)
        if slow is None:
            slow = self.random.randrange(SLOW) == 0
        piece = max(4 * KIB, len(expected) // 40) if slow else 256 * KIB
        at = 0
        try:
            while got := answer.read(piece):
                if got != expected[at : at + len(got)]:
                    raise Unexpected(f"other bytes from {at} on")
                at += len(got)
                if slow:
                    time.sleep(SLOW_TIME / 40)
            if at != len(expected):
                raise Unexpected(f"{at} of {len(expected)} bytes")
        except (OSError, http.client.HTTPException, Unexpected) as e:
            self.failed(what, e)
            return False
        self.done(what, answer, at)
        return True


def _size(chance: random.Random) -> int:
    """Return a size; each order of magnitude is as likely."""
    return int(math.exp(chance.uniform(math.log(SMALLEST), math.log(LARGEST))))


class Load:
    """All clients, each in a thread.

    :param count: of each kind; every other one keeps its connection.
    """

    def __init__(self, port: int, count: int, seed: int) -> None:
        self.records = Records(memoryview(os.urandom(POOL_SIZE)))
        self._clients: list[Client] = [
            kind(port, self.records, seed * 1000 + n * 10 + k, keep=bool(n % 2))
            for n in range(count)
            for k, kind in enumerate((Lister, Uploader, Downloader))
        ]
        self._threads = [threading.Thread(target=client.run) for client in self._clients]

    def start(self) -> None:
        """Begin, and wait until there is something to download."""
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE
        while len(self.records.complete) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self) -> None:
        """Let every client finish what it does."""
        for client in self._clients:
            client.going_on = False
        for thread in self._threads:
            thread.join()


def answers_within(port: int, patience: float) -> float | None:
    """Return after how many seconds a new connection is answered, ``None`` if it is not."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
        try:
            connection.request("GET", "/v2/images?limit=1")
            if connection.getresponse().status == 200:
                return time.monotonic() - began
        except (OSError, http.client.HTTPException):
            time.sleep(0.005)
        finally:
            connection.close()
    return None
