"""Driving what asks for another service's images, and what it can do with any of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from unittest import mock
from uuid import uuid4

import pytest
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.protocols import tls
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.remote.endpoint import read_endpoint
from glance.remote.errors import Absent, Failed
from glance.remote.images import RemoteImages
from glance.remote.side import Pace, Side, connect_images
from glance.remote.streams import IByteStream
from tests.functional.server import PATIENCE

T = TypeVar("T")

MIB = 1024 * 1024
FORMATS = {"disk_format": "raw", "container_format": "bare"}


def drive(work: Callable[[Any], Awaitable[T]]) -> T:
    """Run a coroutine in a reactor of its own, and return what it returns.

    :param work: makes it, given the reactor.
    """
    reactor: Any = EPollReactor()
    results: list[Any] = []

    def done(result: Any) -> None:
        results.append(result)
        # What is told to end in this turn is ended in the next one.
        reactor.callLater(0, reactor.stop)

    def begin() -> None:
        Deferred.fromCoroutine(work(reactor)).addBoth(done)  # type: ignore[arg-type]

    reactor.callWhenRunning(begin)
    late = reactor.callLater(PATIENCE, reactor.stop)
    # What Twisted sends a client's bytes with, and its TLS, else belong to the one reactor.
    cooperator = task.Cooperator(scheduler=lambda function: reactor.callLater(0, function))
    with (
        mock.patch.object(task, "_theCooperator", cooperator),
        mock.patch.object(tls, "_get_default_clock", lambda: reactor),
    ):
        reactor.run(installSignalHandlers=False)
    if late.active():
        late.cancel()
    for selectable in reactor.removeAll():
        selectable.connectionLost(Failure(ConnectionAbortedError()))
    assert results, f"not done within {PATIENCE} s"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


async def connected(reactor: Any, url: str, **pace: Any) -> RemoteImages:
    """Make what asks the service at a URL, without a token."""
    return await connect_images(reactor, Side("the test's", read_endpoint(url)), Pace(**pace))


@implementer(IByteStream)
class Given:
    """A stream of bytes that are there already.

    :param pieces: of how many bytes each.
    """

    def __init__(self, reactor: Any, data: bytes, piece: int = 300_000) -> None:
        self.size: int | None = len(data)
        self.offset = 0
        self.given = 0
        self.started = self.stopped = False
        self._reactor = reactor
        self._data = data
        self._piece = piece
        self._paused = False
        self._done: Deferred[None] | None = None

    def start(self, receiver: Any) -> Deferred[None]:
        self.started = True
        self._receiver = receiver
        self._done = Deferred(lambda _: self.stop())
        self._go_on()
        return self._done

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._reactor.callLater(0, self._go_on)

    def stop(self) -> None:
        self.stopped = True

    def _go_on(self) -> None:
        while not (self._paused or self.stopped):
            piece = self._data[self.given : self.given + self._piece]
            if not piece:
                self.stopped = True
                assert self._done is not None
                self._done.callback(None)
                return
            self.given += len(piece)
            self._receiver.write(piece)


class Taken:
    """Takes a stream's bytes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data


async def downloaded(images: RemoteImages, image_id: str, offset: int = 0) -> bytes:
    """Return an image's data."""
    stream = await images.open_data(image_id, offset)
    taken = Taken()
    await stream.start(taken)
    assert stream.size is None or len(taken.data) == stream.size
    return bytes(taken.data)


async def everything(reactor: Any, images: RemoteImages) -> None:
    """Do all that can be done with the images of a service that lets us do everything."""
    data = random.Random(7).randbytes(3 * MIB + 11)
    ids = [str(uuid4()) for _ in range(3)]
    shared, hidden, community = ids
    made = await images.create(
        {"id": shared, "name": "ä", "visibility": "shared", "tags": ["t"], "k": "v", **FORMATS}
    )
    assert (made["id"], made["status"]) == (shared, "queued")
    await images.create({"id": hidden, "os_hidden": True, "visibility": "public", **FORMATS})
    await images.create({"id": community, "visibility": "community", **FORMATS})
    with pytest.raises(Failed) as caught:
        await images.create({"id": shared, **FORMATS})
    assert caught.value.status == 409

    # Data.
    assert await downloaded(images, shared) == b""
    await images.upload(shared, Given(reactor, data))
    found = await images.show(shared)
    assert (found["status"], found["size"]) == ("active", len(data))
    assert found["checksum"] == hashlib.md5(data).hexdigest()
    assert await downloaded(images, shared) == data
    assert await downloaded(images, shared, MIB) == data[MIB:]
    unknown = Given(reactor, data)
    unknown.size = None
    await images.upload(hidden, unknown)
    assert (await images.show(hidden))["checksum"] == found["checksum"]
    await images.upload(community, Given(reactor, b""))
    assert (await images.show(community))["size"] == 0

    # From one image of it to another one.
    copy = str(uuid4())
    await images.create({"id": copy, **FORMATS})
    await images.upload(copy, await images.open_data(shared))
    assert (await images.show(copy))["os_hash_value"] == found["os_hash_value"]

    # Refusals, with and without being asked first.
    for waits in (True, False):
        images._transfers._waits = waits
        stream = Given(reactor, bytes(48 * MIB))
        with pytest.raises(Failed) as caught:
            await images.upload(shared, stream)
        assert caught.value.status == 409
        with pytest.raises(Absent):
            await images.upload(str(uuid4()), Given(reactor, data))
    images._transfers._waits = True

    # Members.
    await images.add_member(shared, "p1")
    await images.add_member(shared, "p2")
    await images.remove_member(shared, "p2")
    assert await images.members(shared) == {"p1": "pending"}
    await images.set_member_status(shared, "p1", "accepted")
    assert await images.members(shared) == {"p1": "accepted"}

    # Changes, and the list.
    patch = [{"op": "replace", "path": "/name", "value": "b"}, {"op": "remove", "path": "/k"}]
    changed = await images.patch(shared, patch)
    assert changed["name"] == "b"
    assert "k" not in changed
    listed = [one["id"] async for page in images.pages() for one in page.images]
    assert {*ids, copy} <= {*listed}
    assert len(listed) == len({*listed})
    tagged = [one["id"] async for page in images.pages({"tag": ["t"]}) for one in page.images]
    assert tagged == [shared]
    assert isinstance(await images.takes_digests(), bool)
    for image_id in (*ids, copy):
        await images.delete(image_id)
    with pytest.raises(Absent):
        await images.show(shared)
