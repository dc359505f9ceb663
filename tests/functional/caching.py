"""What tests of the image cache need: a store that gives out what it is told to, a look inside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.functional.server import Server, eventually
from tests.functional.wire import Wire

PIECE = 64 * 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origins

    def do_GET(self) -> None:
        origin = self.server.things[self.path]
        asked = self.headers["Range"]
        first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0  # type: ignore[index]
        origin.asked.append(first)
        size = len(origin.data)
        if origin.broken:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - first))
        self.end_headers()
        try:
            self._send(origin, first)
        except OSError:
            self.close_connection = True

    def _send(self, origin: Origin, at: int) -> None:
        while at < len(origin.data):
            stop = min(origin.await_more(at), at + PIECE)
            self.wfile.write(origin.data[at:stop])
            at = stop

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Origins(ThreadingHTTPServer):
    """A web server, on which things are that give out as much as tests allow."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.things: dict[str, Origin] = {}
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Origins:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        for thing in self.things.values():
            thing.break_off()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients may go away."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def put(self, data: bytes) -> Origin:
        """Put one more thing there."""
        return self.add(Origin(data))

    def add(self, thing: Origin) -> Origin:
        """Put something there."""
        path = f"/{len(self.things)}"
        thing.port = self.port
        thing.url = f"http://127.0.0.1:{self.port}{path}"
        self.things[path] = thing
        return thing


class Origin:
    """One thing on a web server: one of its own, where it is used as a context.

    :ivar asked: the first byte that each request asked for.
    :ivar broken: whether requests for it are refused.
    """

    def __init__(self, data: bytes) -> None:
        self.url = ""
        self.port = 0
        self.data = data
        self.allowed = 0
        self.asked: list[int] = []
        self.broken = False
        self._epoch = 0
        self._changed = threading.Condition()
        self._alone: Origins | None = None

    def __enter__(self) -> Origin:
        self._alone = Origins()
        self._alone.add(self)
        self._alone.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        assert self._alone is not None
        self._alone.__exit__(*args)

    def let(self, size: int | None = None) -> None:
        """Allow so many bytes in all; by default all."""
        with self._changed:
            self.allowed = len(self.data) if size is None else size
            self._changed.notify_all()

    def break_off(self) -> None:
        """Cut the answers that are under way."""
        with self._changed:
            self._epoch += 1
            self._changed.notify_all()

    def await_more(self, at: int) -> int:
        """Wait until more than that is allowed; return how much is."""
        with self._changed:
            epoch = self._epoch
            while self.allowed <= at and self._epoch == epoch:
                self._changed.wait()
            if self._epoch != epoch:
                raise OSError("told to break off")
            return self.allowed

    @property
    def begun_at(self) -> int:
        """The first byte of the last request that did not ask for all."""
        return [first for first in self.asked if first][-1]


class Cache:
    """A service with an image cache, seen from inside the node."""

    def __init__(self, server: Server, place: Path) -> None:
        self.server = server
        self.place = place

    def add(self, *urls: str, data: bytes, checksum: bool = True) -> str:
        """Have an active image in the catalogue whose data is elsewhere; return its id."""
        image_id = self.server.create()
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        sha512 = hashlib.sha512(data).hexdigest()
        hashes = (md5, "sha512", sha512) if checksum else (None, None, None)
        path = self.server.state / "glance.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
            database.execute(
                "UPDATE images SET status = 'active', size = ?, checksum = ?, os_hash_algo = ?,"
                " os_hash_value = ? WHERE id = ?",
                (len(data), *hashes, image_id),
            )
            for url in urls:
                database.execute(
                    "INSERT INTO image_locations (image_id, value, meta_data, status, created_at,"
                    " updated_at, deleted) VALUES (?, ?, ?, 'active', ?, ?, 0)",
                    (image_id, url, json.dumps({}), *["2026-01-01 00:00:00.000000"] * 2),
                )
            database.commit()
        return image_id

    def begin(self, image_id: str) -> Wire:
        """Begin a download, and read the head of the answer."""
        wire = Wire(self.server)
        wire.head("GET", f"/v2/images/{image_id}/file", *self._token())
        return wire

    def _token(self) -> list[str]:
        token = self.server.token
        return [] if token is None else [f"X-Auth-Token: {token}"]

    # What is there.

    def fills(self) -> list[str]:
        """Return the locks of all copies that are being written, or were by who died."""
        return [name for name in os.listdir(self.place / "locks") if name.endswith(".fill")]

    def size_of_partial(self, image_id: str) -> int:
        try:
            return (self.place / "incomplete" / image_id).stat().st_size
        except FileNotFoundError:
            return -1

    def has(self, image_id: str, where: str = "") -> bool:
        return (self.place / where / image_id).exists()

    def await_copy(self, image_id: str, data: bytes) -> None:
        """Wait until there is a complete copy, and nothing else, and check it."""
        eventually(lambda: self.has(image_id), "a complete copy")
        assert (self.place / image_id).read_bytes() == data
        assert not self.has(image_id, "incomplete")
        self.await_quiet(image_id)

    def await_quiet(self, image_id: str) -> None:
        """Wait until nobody has the right to write a copy."""
        lock = self.place / "locks" / f"{image_id}.fill"
        eventually(lambda: not lock.exists(), "nobody holds a claim")

    def states(self, image_id: str) -> list[str]:
        """Return where there is something of an image."""
        return [where for where in ("", "incomplete", "invalid") if self.has(image_id, where)]

    def users(self, image_id: str) -> list[int]:
        """Return the workers that have an unfinished or complete copy open."""
        paths = {str(self.place / "incomplete" / image_id), str(self.place / image_id)}
        return [pid for pid in self._processes() if paths & {p for p, _ in _opened(pid)}]

    def filler(self, image_id: str) -> int:
        """Return the worker that writes a copy."""
        path = str(self.place / "incomplete" / image_id)
        found = [
            pid
            for pid in self._processes()
            if any(p == path and writing for p, writing in _opened(pid))
        ]
        assert len(found) == 1, found
        return found[0]

    def _processes(self) -> list[int]:
        return self.server.workers() or [self.server.pid]

    @contextlib.contextmanager
    def readers(
        self, image_id: str, count: int, *, everywhere: bool = True
    ) -> Iterator[list[Wire]]:
        """Begin so many downloads.

        :param everywhere: more, until every worker has one.
        """
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(self.begin(image_id)) for _ in range(count)]

            def met() -> bool:
                if len(self.users(image_id)) == len(self._processes()):
                    return True
                wires.append(stack.enter_context(self.begin(image_id)))
                return False

            if everywhere:
                eventually(met, "every worker has a reader")
            yield wires


def _opened(pid: int) -> list[tuple[str, bool]]:
    """Return the files that a process has open, and whether for writing."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                target = os.readlink(f"/proc/{pid}/fd/{entry}")
                info = Path(f"/proc/{pid}/fdinfo/{entry}").read_text()
                flags = int(re.search(r"flags:\s+(\d+)", info)[1], 8)  # type: ignore[index]
                found.append((target, flags & os.O_ACCMODE != os.O_RDONLY))
    return found


@contextlib.contextmanager
def caching(
    origin: Origin | None = None,
    *,
    workers: int = 2,
    checked: bool = True,
    place: Path | None = None,
    **more: Any,
) -> Iterator[Cache]:
    """Run a service with an image cache.

    :param origin: where it may fetch images.
    :param checked: whether its log must be free of what nobody foresaw.
    :param place: a directory that is there already.
    :param more: for :class:`Server`.
    """
    server = Server(arguments=("--workers", str(workers)), **more)
    place = place or server.home / "cache"
    server.configure({"DEFAULT": {"image_cache_dir": place, "workers": workers}})
    if origin is not None:
        server.configure(
            {
                "import_filtering_opts": {
                    "allowed_hosts": "[127.0.0.1]",
                    "allowed_ports": f"[{origin.port}]",
                }
            }
        )
    with server:
        yield Cache(server, place)
        if checked:
            assert server.trouble() == []
