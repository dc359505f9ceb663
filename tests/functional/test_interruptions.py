"""Processes that die and disks that fill in the middle of an upload: no operator's hand needed."""

import contextlib
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.functional.server import OCTETS, Server, eventually
from tests.functional.wire import MIB, Wire, begun, data_of

ROOM = 32 * MIB
JSON_HEAD = ("Content-Type: application/json", "Content-Length: 2")


def check_usable(server: Server, image_id: str) -> None:
    """The image comes back by itself, the partial file goes, and a new upload succeeds."""
    server.await_status(image_id, "queued")
    eventually(lambda: server.stored(image_id) == [], "nothing left in the store")
    data = data_of(2 * MIB + 1)
    assert server.upload(image_id, data).status == 204
    assert server.download(image_id).body == data
    assert server.stored(image_id) == [image_id]


class TestProcesses:
    def test_killed_and_started_again(self, fresh_server: Server) -> None:
        server = fresh_server
        kept = server.image(b"finished before")
        image_id = server.create()
        with begun(server, image_id):
            server.kill()
        assert len(server.stored(image_id)) == 1
        server.start()
        check_usable(server, image_id)
        assert server.download(kept).body == b"finished before"

    def test_killed_while_idle(self, fresh_server: Server) -> None:
        kept = fresh_server.image(b"finished before")
        fresh_server.kill()
        fresh_server.start()
        assert fresh_server.download(kept).body == b"finished before"

    def test_stopped_in_the_middle(self, fresh_server: Server) -> None:
        """SIGINT does not wait for the client, and leaves nothing behind."""
        image_id = fresh_server.create()
        with begun(fresh_server, image_id):
            assert fresh_server.break_off() == 0
        assert fresh_server.stored(image_id) == []
        fresh_server.start()
        assert fresh_server.status(image_id) == "queued"
        check_usable(fresh_server, image_id)

    def test_stopped_in_the_middle_of_a_download(self, fresh_server: Server) -> None:
        image_id = fresh_server.image(data_of(32 * MIB))
        with Wire(fresh_server, receive_buffer=8192) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            assert wire.answered()[0] == 200
            assert fresh_server.break_off() == 0
            assert len(wire.read(32 * MIB)) < 32 * MIB

    def test_worker_killed_while_the_other_serves_on(self, server_with_workers: Server) -> None:
        server = server_with_workers
        workers = eventually(lambda: len(server.workers()) == 2 and server.workers(), "workers")
        image_id = server.create()
        with begun(server, image_id) as wire:
            busy = [pid for pid in workers if any(image_id in f for f in server.descriptors(pid))]
            os.kill(busy[0], signal.SIGKILL)
            assert wire.ended()
            for _ in range(20):
                assert server.request("GET", "/v2/images").status == 200
        assert len(busy) == 1
        check_usable(server, image_id)
        eventually(lambda: len(server.workers()) == 2, "another worker in its place")
        assert busy[0] not in server.workers()
        assert set(workers) & set(server.workers())

    def test_workers_end_with_a_parent_that_was_killed(self, server_with_workers: Server) -> None:
        server = server_with_workers
        server.request("GET", "/v2/images")
        workers = eventually(lambda: len(server.workers()) == 2 and server.workers(), "workers")
        server.kill()
        for pid in workers:
            eventually(lambda pid=pid: not server.alive(pid), "the worker's end")

    def test_stopped_workers_leave_no_process(self, server_with_workers: Server) -> None:
        server = server_with_workers
        workers = eventually(lambda: len(server.workers()) == 2 and server.workers(), "workers")
        assert server.stop() == 0
        assert not [pid for pid in workers if server.alive(pid)]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("workers", [0, 2])
    def test_all_told_to_end_at_once(self, workers: int, number: signal.Signals) -> None:
        """As by Ctrl-C at a terminal, and by service managers."""
        with Server(arguments=("--workers", str(workers)), own_group=True) as server:
            eventually(lambda: len(server.workers()) == workers, "workers")
            assert server.stop_all(number) == 0
            assert server.trouble() == []
            assert not {"CRITICAL", "ERROR", "KeyboardInterrupt"} & set(server.log_text().split())

    def test_catalogue_locked_by_another_process(self, fresh_server: Server) -> None:
        """What waits for a SQLite file keeps nobody from reading, nor the service from ending."""
        server = fresh_server
        image_id = server.create()
        other = sqlite3.connect(server.state / "glance.sqlite", isolation_level=None)
        with contextlib.closing(other), ExitStack() as waiting:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(10):
                wire = waiting.enter_context(Wire(server))
                wire.head("POST", "/v2/images", *JSON_HEAD)
                wire.send(b"{}")
            assert server.status(image_id) == "queued"
            assert server.break_off() == 0
            other.execute("ROLLBACK")
        server.start()
        assert server.status(image_id) == "queued"


@pytest.fixture(scope="module")
def small_server() -> Iterator[Server]:
    """A service with very little room."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system to fill")
    with Server(room=ROOM) as server:
        yield server
        assert server.trouble() == []


class TestFullDisk:
    def test_declared_length_beyond_the_room_is_refused_at_once(self, small_server: Server) -> None:
        image_id = small_server.create()
        with Wire(small_server) as wire:
            wire.put(image_id, f"Content-Length: {ROOM}", "Expect: 100-continue")
            assert wire.answer().status == 413
        check_usable(small_server, image_id)

    def test_disk_that_fills_on_the_way(self, small_server: Server) -> None:
        image_id = small_server.create()
        pieces = (bytes(MIB) for _ in range(2 * ROOM // MIB))
        path = f"/v2/images/{image_id}/file"
        assert small_server.request("PUT", path, pieces, OCTETS).status == 413
        check_usable(small_server, image_id)


@pytest.fixture(scope="module")
def impatient_server() -> Iterator[Server]:
    """A service that soon gives up on clients without progress."""
    with Server(settings={"client_socket_timeout": 2}) as server:
        yield server
        assert server.trouble() == []


class TestSilence:
    """Clients that neither go on nor go away."""

    # The greater of these is enough for the client to be held back meanwhile.
    @pytest.mark.parametrize("sent", [1, 20 * MIB])
    def test_uploader(self, impatient_server: Server, sent: int) -> None:
        image_id = impatient_server.create()
        with Wire(impatient_server) as wire:
            wire.put(image_id, "Transfer-Encoding: chunked")
            wire.chunk(bytes(sent))
            assert wire.ended()
        check_usable(impatient_server, image_id)

    def test_reader(self, impatient_server: Server) -> None:
        server = impatient_server
        image_id = server.image(data_of(32 * MIB))
        with Wire(server, receive_buffer=8192) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            assert wire.answered()[0] == 200
            eventually(lambda: len(server.descriptors()) == server.idle, "nothing left open")

    def test_connection_without_a_request(self, impatient_server: Server) -> None:
        with Wire(impatient_server) as wire:
            wire.head("GET", "/versions")
            assert wire.answer().status == 200
            assert wire.ended()

    def test_head_that_never_ends(self, impatient_server: Server) -> None:
        with Wire(impatient_server) as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            assert wire.answer().status == 408
            assert wire.ended()
