"""Clients that do what a plan says to a cache, and believe nothing."""

import contextlib
import http.client
import json
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType

from bench.chaos_plan import Operation, is_own, part_of
from bench.chaos_world import Image, Try, World
from bench.clients import OCTETS, PATIENCE, Connection, Unexpected

_PIECE = 64 * 1024
#: Readers of a storm.
_STORM = 6
_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
_JSON = {"Content-Type": "application/json"}
_TARGETS = ("cache", "queue", "")
#: What other operations there are, and what does them.
Others = Mapping[str, Callable[[Operation], None]]


class _Asking:
    """A connection for one request; judges what goes wrong while it is there.

    :param attempt: what is judged.
    """

    def __init__(self, port: int, world: World, attempt: Try) -> None:
        self._connection = Connection("127.0.0.1", port, timeout=PATIENCE)
        self._world = world
        self._attempt = attempt

    def __enter__(self) -> "_Asking":
        return self

    def __call__(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        # One that is refused early may be answered before it is whole.
        with contextlib.suppress(BrokenPipeError):
            self._connection.request(method, path, body, dict(headers or {}))
        return self._connection.getresponse()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._connection.close()
        if not isinstance(value, OSError | http.client.HTTPException | Unexpected):
            return False
        self._attempt.port = self._connection.local
        self._attempt.ended = time.monotonic()
        self._world.failed(self._attempt, f"{type(value).__name__}: {value}")
        return True


class Client:
    """Does operations, one after the other.

    :param operations: shared with other clients.
    :param others: for what is done to processes rather than by requests.
    """

    def __init__(
        self, port: int, world: World, operations: Iterator[Operation], others: Others
    ) -> None:
        self._port = port
        self._world = world
        self._operations = operations
        self._others = others
        self._by_kind: dict[str, Callable[[Operation], None]] = {
            "download": self.download,
            "storm": self._storm,
            "range": self._range,
            "abort": self._abort,
            "queue": lambda op: self._on_copy("queue", "PUT", op, 202),
            "drop": lambda op: self._on_copy("drop", "DELETE", op, 204),
            "list": self._list,
            "clear": self._clear,
            "prune": lambda op: self._simple("prune", "POST", "/v2/cache/prune", op),
            "clean": lambda op: self._simple("clean", "POST", "/v2/cache/clean", op),
            "replace": self.replace,
        }

    def run(self) -> None:
        """Work until the plan is done or something is wrong."""
        for operation in self._operations:
            if not self._world.going_on:
                return
            try:
                do = self._by_kind.get(operation.kind) or self._others[operation.kind]
                do(operation)
            except Exception as e:  # a mistake of this program's, and no reason to go on
                self._world.fault(operation.number, f"{operation.kind}: {type(e).__name__}: {e}")
                raise

    # Requests.

    def _asking(self, attempt: Try) -> "_Asking":
        return _Asking(self._port, self._world, attempt)

    def _try(self, what: str, operation: Operation, image: Image | None = None) -> Try:
        return Try(what, operation.number, image, time.monotonic())

    def _simple(self, what: str, method: str, path: str, operation: Operation) -> None:
        with self._asking(self._try(what, operation)) as ask:
            answer = ask(method, path)
            self._expect(answer, 200)
            answer.read()
            self._world.count(what)

    def _expect(self, answer: http.client.HTTPResponse, *statuses: int) -> None:
        if answer.status not in statuses:
            raise Unexpected(f"{answer.status} {answer.read()[:300]!r}")

    # Downloads.

    def _image(self, operation: Operation) -> Image:
        with self._world.lock:
            return self._world.slots[operation.slot]

    def download(self, operation: Operation) -> None:
        """Download all of an image."""
        image = self._image(operation)
        attempt = self._try("download", operation, image)
        path = f"/v2/images/{image.image_id}/file"
        with self._asking(attempt) as ask:
            answer = ask("GET", path)
            self._expect(answer, 200)
            self._compare(attempt, answer, 0, image.size)
            world = self._world
            world.count("download")
            if image.source and not world.fetched_during(image, attempt.began, time.monotonic()):
                world.count("download from the cache")

    def _compare(
        self, attempt: Try, answer: http.client.HTTPResponse, first: int, size: int
    ) -> None:
        got = bytearray()
        while piece := answer.read(_PIECE):
            got += piece
        if len(got) != size:
            raise Unexpected(f"{len(got)} of {size} bytes")
        assert attempt.image is not None
        # By memcmp: comparing memoryviews goes item by item.
        if not got.startswith(attempt.image.content.data[first : first + size]):
            self._world.differs(attempt, memoryview(got), first)

    def _storm(self, operation: Operation) -> None:
        threads = [threading.Thread(target=self.download, args=(operation,)) for _ in range(_STORM)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._world.count("storm")

    def _range(self, operation: Operation) -> None:
        image = self._image(operation)
        first, last = part_of(image.size, operation)
        attempt = self._try("range", operation, image)
        headers = {"Range": f"bytes={first}-{last}"}
        path = f"/v2/images/{image.image_id}/file"
        with self._asking(attempt) as ask:
            answer = ask("GET", path, None, headers)
            self._expect(answer, 206)
            said = answer.headers["Content-Range"]
            if said != f"bytes {first}-{last}/{image.size}":
                raise Unexpected(f"Content-Range: {said}")
            self._compare(attempt, answer, first, last - first + 1)
            self._world.count("range")

    def _abort(self, operation: Operation) -> None:
        """Go away in the middle, or even before the answer."""
        image = self._image(operation)
        attempt = self._try("abort", operation, image)
        path = f"/v2/images/{image.image_id}/file"
        if operation.second < 0.1:
            connection = Connection("127.0.0.1", self._port, timeout=PATIENCE)
            connection.request("GET", path)
            select.select([], [], [], operation.first * 0.05)
            connection.close()
            self._world.count("abort")
            return
        with self._asking(attempt) as ask:
            answer = ask("GET", path)
            self._expect(answer, 200)
            got = answer.read(int(operation.first * image.size))
            if image.content.data[: len(got)] != got:
                self._world.differs(attempt, memoryview(got), 0, broken_off=True)
            self._world.count("abort")

    # The cache.

    def _on_copy(self, what: str, method: str, operation: Operation, expect: int) -> None:
        image = self._image(operation)
        attempt = self._try(what, operation, image)
        with self._asking(attempt) as ask:
            answer = ask(method, f"/v2/cache/{image.image_id}")
            self._expect(answer, expect)
            answer.read()
            self._world.count(what)

    def _list(self, operation: Operation) -> None:
        with self._asking(self._try("list", operation)) as ask:
            answer = ask("GET", "/v2/cache")
            self._expect(answer, 200)
            listed = json.loads(answer.read())
            images = self._world.images
            for entry in listed["cached_images"]:
                image = images.get(entry["image_id"])
                if image is not None and entry["size"] != image.size:
                    raise Unexpected(f"a size that is another: {entry}")
            self._world.count("list")

    def _clear(self, operation: Operation) -> None:
        target = _TARGETS[int(operation.first * len(_TARGETS))]
        headers = {"X-Image-Cache-Clear-Target": target} if target else {}
        attempt = self._try("clear", operation)
        with self._asking(attempt) as ask:
            answer = ask("DELETE", "/v2/cache", None, headers)
            self._expect(answer, 204)
            self._world.count("clear")

    # Images.

    def replace(self, operation: Operation) -> None:
        """Have another image in a place, and delete the one that was there."""
        image = self._make(operation)
        if image is None:
            return
        before = self._world.put(image)
        if before is not None:
            self._delete(operation, before)
        self._world.count("replace")

    def _make(self, operation: Operation) -> Image | None:
        world = self._world
        content, name = world.next_content(operation.slot)
        fields = {"disk_format": "raw", "container_format": "bare", "name": name}
        made = None
        attempt = self._try("create", operation)
        with self._asking(attempt) as ask:
            answer = ask("POST", "/v2/images", json.dumps(fields), _JSON)
            self._expect(answer, 201)
            made = str(json.loads(answer.read())["id"])
        if made is None:
            return None
        own = is_own(operation.slot)
        image = Image(made, operation.slot, content, "" if own else name)
        world.know(image)
        whole = self._upload(operation, image) if own else self._locate(operation, image)
        return image if whole else None

    def _upload(self, operation: Operation, image: Image) -> bool:
        path = f"/v2/images/{image.image_id}/file"
        attempt = self._try("upload", operation)
        with self._asking(attempt) as ask:
            answer = ask("PUT", path, bytes(image.content.data), OCTETS)
            self._expect(answer, 204)
            return True
        return False

    def _locate(self, operation: Operation, image: Image) -> bool:
        content = image.content
        location = {
            "url": self._world.origin.put(image.source, content),
            "metadata": {},
            "validation_data": {
                "checksum": content.md5,
                "os_hash_algo": "sha512",
                "os_hash_value": content.sha512,
            },
        }
        change = json.dumps([{"op": "add", "path": "/locations/-", "value": location}])
        attempt = self._try("locate", operation)
        path = f"/v2/images/{image.image_id}"
        with self._asking(attempt) as ask:
            answer = ask("PATCH", path, change, _PATCH)
            self._expect(answer, 200)
            answer.read()
            return True
        return False

    def _delete(self, operation: Operation, image: Image) -> None:
        image.leaving = time.monotonic()
        attempt = self._try("delete", operation)
        path = f"/v2/images/{image.image_id}"
        with self._asking(attempt) as ask:
            answer = ask("DELETE", path)
            self._expect(answer, 204)
            self._world.count("delete")
