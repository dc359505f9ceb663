"""Images of a service that really runs, and connections that really fill up."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from glance.remote.endpoint import Endpoint
from glance.remote.errors import Failed, Unreachable, Untrusted
from glance.remote.service import Trust
from glance.remote.side import Side, connect_images
from glance.remote.trouble import may_pass
from tests.certificates import Certificate
from tests.functional.remote_images import (
    FORMATS,
    MIB,
    Given,
    Taken,
    connected,
    downloaded,
    drive,
    everything,
)
from tests.functional.server import Server, eventually

#: What a service must not have taken in at once, kernel and all, with the pieces below.
IN_FLIGHT = 24 * MIB
PIECE = 256 * 1024

IMAGE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made
        assert not made.trouble()


async def until(reactor: Any, probe: Any) -> None:
    """Wait until something is so."""
    while not probe():
        await deferLater(reactor, 0.01)


def test_everything(server: Server) -> None:
    async def work(reactor: Any) -> None:
        await everything(reactor, await connected(reactor, server.url))

    drive(work)


def test_refusal_comes_before_the_data(server: Server) -> None:
    image_id = server.image(b"0123")

    async def work(reactor: Any) -> None:
        images = await connected(reactor, server.url)
        stream = Given(reactor, bytes(MIB))
        with pytest.raises(Failed) as caught:
            await images.upload(image_id, stream)
        assert caught.value.status == 409
        assert (stream.started, stream.stopped) == (False, True)

    drive(work)


def test_image_that_is_too_large() -> None:
    with Server(settings={"image_size_cap": MIB}) as server:
        image_id = server.create()

        async def work(reactor: Any) -> None:
            images = await connected(reactor, server.url)
            for waits in (True, False):
                images._transfers._waits = waits
                with pytest.raises(Failed) as caught:
                    await images.upload(image_id, Given(reactor, bytes(32 * MIB)))
                assert caught.value.status == 413
                # Without a length it is noticed in the middle.
                stream = Given(reactor, bytes(32 * MIB))
                stream.size = None
                with pytest.raises(Failed) as caught:
                    await images.upload(image_id, stream)
                assert caught.value.status == 413

        drive(work)
        server.await_status(image_id, "queued")


def test_everything_over_tls(tmp_path: Path) -> None:
    authority = Certificate("authority", authority=True)
    certificate, key = Certificate("localhost", authority).write(tmp_path, "server")
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.pem)
    context = ssl.create_default_context(cadata=authority.pem.decode())
    settings = {"cert_file": certificate, "key_file": key}
    with Server(settings=settings, tls=context) as server:
        endpoint = Endpoint("localhost", server.port, "https")

        async def work(reactor: Any) -> None:
            trust = Trust(("cafile", str(trusted)))
            images = await connect_images(reactor, Side("the test's", endpoint, trust=trust))
            await everything(reactor, images)

        drive(work)

        async def nobody(reactor: Any) -> None:
            images = await connect_images(reactor, Side("the test's", endpoint))
            with pytest.raises(Untrusted):
                await images.open_data(IMAGE)
            with pytest.raises(Untrusted):
                await images.upload(IMAGE, Given(reactor, b"0123"))

        drive(nobody)
        # That somebody hung up on it is not its mistake.
        assert not server.trouble()


class Slow:
    """A service that says it wants data, and takes it when it is told to."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.go = threading.Event()
        self.began = threading.Event()
        self.taken = 0
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1)
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.began.set()
            self.go.wait()
            try:
                while self.taken < length and (data := connection.recv(MIB)):
                    self.taken += len(data)
                if self.taken == length:
                    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                    connection.recv(1)
            except OSError:
                pass
            self.ended.set()

    def close(self) -> None:
        self.go.set()
        self._listening.close()
        self._thread.join()


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.close()


def test_slow_target_pauses_the_source(server: Server, slow: Slow) -> None:
    data = bytes(96 * MIB)
    image_id = server.image(data)

    async def work(reactor: Any) -> None:
        source = await connected(reactor, server.url, chunk_size=PIECE)
        target = await connected(reactor, slow.url, chunk_size=PIECE)
        stream = await source.open_data(image_id)
        uploading = Deferred.fromCoroutine(target.upload(image_id, stream))
        # All that fits into buffers has gone when it is paused, and no time makes that more.
        await until(reactor, lambda: stream._paused)
        seen = -1
        while seen != stream._body.received:
            seen = stream._body.received
            await deferLater(reactor, 0.2)
        assert stream._paused
        assert 0 < seen < IN_FLIGHT
        slow.go.set()
        await uploading
        assert slow.taken == len(data)

    drive(work)


def test_broken_off_in_the_middle(server: Server, slow: Slow) -> None:
    image_id = server.image(bytes(96 * MIB))

    async def work(reactor: Any) -> None:
        source = await connected(reactor, server.url, chunk_size=PIECE)
        target = await connected(reactor, slow.url, chunk_size=PIECE)
        stream = await source.open_data(image_id)
        uploading = Deferred.fromCoroutine(target.upload(image_id, stream))
        await until(reactor, lambda: stream._paused)
        uploading.cancel()
        with pytest.raises(CancelledError):
            await uploading

    drive(work)
    slow.go.set()
    assert slow.ended.wait(60)
    eventually(lambda: len(server.descriptors()) == server.idle, "the source's connection closed")


def test_cancelled_upload_leaves_the_image_queued(server: Server) -> None:
    image_id = server.create()

    async def work(reactor: Any) -> None:
        images = await connected(reactor, server.url)
        stream = Given(reactor, bytes(8 * MIB))
        stream.size = 16 * MIB
        # It never ends, and never has all.
        stream._piece = MIB
        uploading = Deferred.fromCoroutine(images.upload(image_id, stream))
        await until(reactor, lambda: stream.given >= 4 * MIB)
        uploading.cancel()
        with pytest.raises(CancelledError):
            await uploading

    drive(work)
    server.await_status(image_id, "queued")

    async def again(reactor: Any) -> None:
        images = await connected(reactor, server.url)
        await images.upload(image_id, Given(reactor, b"0123"))
        assert await downloaded(images, image_id) == b"0123"

    drive(again)


@pytest.mark.parametrize("victim", ["source", "target"])
def test_service_that_dies_in_the_middle(victim: str) -> None:
    with Server() as source, Server() as target:
        servers = {"source": source, "target": target}
        image_id = source.image(bytes(96 * MIB))

        async def work(reactor: Any) -> None:
            one = await connected(reactor, source.url, chunk_size=PIECE)
            other = await connected(reactor, target.url, chunk_size=PIECE)
            await other.create({"id": image_id, **FORMATS})
            stream = await one.open_data(image_id)
            uploading = Deferred.fromCoroutine(other.upload(image_id, stream))
            # Nothing more of the stream comes before the victim is gone.
            await until(reactor, lambda: stream._body is not None and stream._body.received)
            stream.pause()
            servers[victim].kill()
            stream.resume()
            with pytest.raises(Unreachable) as caught:
                await uploading
            assert may_pass(caught.value)
            assert f":{servers[victim].port}" in caught.value.message

        drive(work)


def test_short_requests_pass_by_long_transfers(server: Server) -> None:
    image_id = server.image(bytes(8 * MIB))

    async def work(reactor: Any) -> None:
        images = await connected(reactor, server.url, chunk_size=PIECE)
        # More than there are turns for short requests.
        streams = [await images.open_data(image_id) for _ in range(70)]
        for stream in streams:
            stream.pause()
        waiting = [stream.start(Taken()) for stream in streams]
        assert (await images.show(image_id))["status"] == "active"
        for stream in streams:
            stream.resume()
        for one in waiting:
            await one

    drive(work)
