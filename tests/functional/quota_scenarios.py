"""What must hold of quotas with many clients at once, whatever processes and database serve them.

The classes that run this supply a fixture ``server``: two workers with a ``user_storage_quota`` of
:data:`QUOTA`. Every test has an owner of its own.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar
from uuid import uuid4

import pytest

from tests.functional.server import Answer, Server, eventually
from tests.functional.wire import Wire, begun

QUOTA = 100_000
SETTINGS = {"user_storage_quota": f"{QUOTA}B", "image_tag_quota": 9}
WORKERS = ("--workers", "2")

T = TypeVar("T")

KNOWN, CHUNKED, MIXED = KINDS = "known", "chunked", "mixed"


@pytest.fixture
def owner() -> str:
    return str(uuid4())


class Upload:
    """One client's upload, in two halves.

    :param size: bytes of data.
    :param known: whether the client says so before.
    """

    def __init__(self, server: Server, owner: str, size: int, known: bool) -> None:
        self.image_id = server.create(owner=owner)
        self._known = known
        self._data = random.Random(size).randbytes(size)
        self._wire = Wire(server)

    def begin(self) -> None:
        length = f"Content-Length: {len(self._data)}"
        self._wire.put(self.image_id, length if self._known else "Transfer-Encoding: chunked")
        self._send(self._data[: len(self._data) // 2])

    def end(self) -> Answer:
        with self._wire as wire:
            self._send(self._data[len(self._data) // 2 :])
            if not self._known:
                wire.chunk(b"")
            return wire.answer()

    def _send(self, data: bytes) -> None:
        if self._known:
            self._wire.send(data)
        elif data:
            self._wire.chunk(data)


def at_once(works: Iterable[Callable[[], T]]) -> list[T]:
    """Do all of some things at the same time; return what each gives."""
    works = list(works)
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(work) for work in works]]


def stored(server: Server, owner: str) -> int:
    """Return the bytes of an owner's active images."""
    found = server.request("GET", f"/v2/images?owner={owner}&status=active&limit=1000")
    return sum(image["size"] for image in found.json["images"])


def room(server: Server, owner: str) -> None:
    """Check that exactly what is not stored is left: nothing is reserved for nobody."""
    left = QUOTA - stored(server, owner)
    too_many = server.create(owner=owner)
    refused = server.upload(too_many, bytes(left + 1))
    assert refused.status == 413
    assert f"so {left} are left" in refused.body.decode()
    assert server.upload(too_many, bytes(left)).status == 204
    assert stored(server, owner) == QUOTA


def lengths(kind: str, count: int) -> Iterator[bool]:
    """Say of each of some uploads whether its length is known."""
    return (kind == KNOWN or (kind == MIXED and n % 2 == 0) for n in range(count))


def check_all_but_one(server: Server, owner: str, count: int, kind: str) -> None:
    """Of N uploads at once into room for N-1, N-1 succeed."""
    size = QUOTA // (count - 1)
    assert size * count > QUOTA
    uploads = [Upload(server, owner, size, known) for known in lengths(kind, count)]
    at_once(upload.begin for upload in uploads)
    if kind == CHUNKED:
        # All are let in, so the last one is found out when all its data is there.
        for upload in uploads:
            server.await_status(upload.image_id, "saving")
    answers = at_once(upload.end for upload in uploads)
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [204] * (count - 1) + [413]
    for upload, answer in zip(uploads, answers, strict=True):
        expected = "active" if answer.status == 204 else "queued"
        assert server.status(upload.image_id) == expected
        left = [upload.image_id] if answer.status == 204 else []
        assert server.stored(upload.image_id) == left
    assert stored(server, owner) == size * (count - 1)


class QuotaScenarios:
    def test_deletions_at_the_same_time(self, server: Server, owner: str) -> None:
        """What is stored never exceeds the quota, and what is deleted makes room."""
        size, clients, turns = QUOTA // 4, 8, 6

        def work(client: int) -> list[int]:
            chance = random.Random(client)
            statuses = []
            for _ in range(turns):
                upload = Upload(server, owner, size, chance.random() < 0.5)
                upload.begin()
                if chance.random() < 0.2:
                    # During the upload, or just after it.
                    path = f"/v2/images/{upload.image_id}"
                    answers = at_once([lambda p=path: server.request("DELETE", p), upload.end])
                    assert answers[0].status in (204, 409), answers[0]
                    assert answers[1].status in (204, 404, 410, 413), answers[1]
                    continue
                statuses.append(upload.end().status)
                assert stored(server, owner) <= QUOTA
                if statuses[-1] == 204 and chance.random() < 0.6:
                    gone = server.request("DELETE", f"/v2/images/{upload.image_id}")
                    assert gone.status == 204
            return statuses

        statuses = {s for one in at_once(lambda c=c: work(c) for c in range(clients)) for s in one}
        assert statuses <= {204, 413}
        assert 204 in statuses
        room(server, owner)

    def test_a_deleted_image_makes_room_at_once(self, server: Server, owner: str) -> None:
        first = server.image(bytes(QUOTA), owner=owner)
        second = server.create(owner=owner)
        refused = server.upload(second, b"x")
        assert refused.status == 413
        assert f"{QUOTA} are taken, so 0 are left" in refused.body.decode()
        assert server.request("DELETE", f"/v2/images/{first}").status == 204
        assert server.upload(second, bytes(QUOTA)).status == 204

    def test_an_image_deleted_during_its_upload_makes_room(
        self, server: Server, owner: str
    ) -> None:
        first, second = server.create(owner=owner), server.create(owner=owner)
        with begun(server, first, f"Content-Length: {QUOTA}", data=bytes(10)):
            assert server.upload(second, b"x").status == 413
            assert server.request("DELETE", f"/v2/images/{first}").status == 204
            assert server.upload(second, bytes(QUOTA)).status == 204

    def test_a_client_that_goes_away_makes_room(self, server: Server, owner: str) -> None:
        first = server.create(owner=owner)
        with begun(server, first, f"Content-Length: {QUOTA}", data=bytes(10)):
            pass
        server.await_status(first, "queued")
        room(server, owner)

    def test_a_worker_that_is_killed_makes_room(self, server: Server, owner: str) -> None:
        images = [server.create(owner=owner) for _ in range(4)]
        share = QUOTA // len(images)
        workers = eventually(lambda: len(server.workers()) == 2 and server.workers(), "workers")
        with ExitStack() as stack:
            for image_id in images:
                head = f"Content-Length: {share}"
                stack.enter_context(begun(server, image_id, head, data=bytes(10)))
            assert server.upload(server.create(owner=owner), b"x").status == 413
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            eventually(
                lambda: len(server.workers()) == 2 and not set(server.workers()) & set(workers),
                "new workers",
            )
            for image_id in images:
                server.await_status(image_id, "queued")
        room(server, owner)

    def test_owners_do_not_share(self, server: Server, owner: str) -> None:
        server.image(bytes(QUOTA), owner=owner)
        server.image(bytes(QUOTA), owner=f"{owner}2")

    def test_tags_at_once(self, server: Server, owner: str) -> None:
        """The quota of one image holds as exactly."""
        image_id = server.create(owner=owner)
        paths = [f"/v2/images/{image_id}/tags/t{n}" for n in range(12)]
        answers = at_once(lambda p=path: server.request("PUT", p) for path in paths)
        assert sorted(answer.status for answer in answers) == [204] * 9 + [413] * 3
        assert len(server.show(image_id)["tags"]) == 9
