"""The end of a service: what is under way is finished, or broken off when there is no more time."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack

import pytest

from tests.functional.server import Server, eventually
from tests.functional.test_interruptions import check_usable
from tests.functional.test_reload import BIG, LIST, checked
from tests.functional.wire import MIB, Wire, begun, data_of

READY = "/healthcheck/ready"


def refused(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), 0.2):
            return False
    except (ConnectionRefusedError, TimeoutError):
        return True


@pytest.mark.parametrize("workers", [2, 0])
def test_sigterm_finishes_what_is_under_way(workers: int) -> None:
    with checked(Server(arguments=("--workers", str(workers)))) as server, ExitStack() as stack:
        image_id = server.create()
        big = server.image(data_of(BIG))
        upload = stack.enter_context(begun(server, image_id, data=data_of(MIB)))
        download = stack.enter_context(Wire(server, receive_buffer=8192))
        download.head("GET", f"/v2/images/{big}/file")
        _, headers = download.answered()
        # Nothing was asked on it yet, so it may still be used.
        asking = stack.enter_context(Wire(server))
        asking.head("GET", LIST)
        assert asking.answer().status == 200

        server.signal(signal.SIGTERM)
        eventually(lambda: refused(server), "the port's end")
        # A second one changes nothing; nor does one to reload.
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGHUP)
        assert download.read(int(headers["Content-Length"])) == data_of(BIG)
        upload.chunk(data_of(MIB + 1))
        upload.send(b"0\r\n\r\n")
        assert upload.answer().status == 204
        assert server.wait() == 0
        server.start()
        assert server.download(image_id).body == data_of(MIB) + data_of(MIB + 1)


@pytest.mark.parametrize("workers", [1, 0])
def test_not_ready_while_ending(workers: int) -> None:
    with checked(Server(arguments=("--workers", str(workers)))) as server, ExitStack() as stack:
        upload = stack.enter_context(begun(server, server.create()))
        asking = stack.enter_context(Wire(server))
        asking.head("GET", READY)
        assert asking.answer().status == 200
        asking.send(b"GET ")
        server.signal(signal.SIGTERM)
        eventually(lambda: refused(server), "the port's end")
        asking.send(f"{READY} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = asking.answer()
        assert (answer.status, answer.json["rotation"]) == (503, "out")
        assert answer.headers["Connection"] == "close"
        upload.send(b"0\r\n\r\n")
        assert upload.answer().status == 204
        assert server.wait() == 0


@pytest.mark.parametrize("workers", [2, 0])
def test_what_is_not_finished_in_time_is_undone(workers: int) -> None:
    settings = {"graceful_shutdown_timeout": 1, "workers": workers}
    with checked(Server(settings=settings)) as server:
        image_id = server.create()
        with begun(server, image_id) as upload:
            assert server.stop() == 0
            assert upload.answer().status == 503
        assert server.stored(image_id) == []
        assert "1 connection(s) still in use at the deadline" in server.log_text()
        server.start()
        check_usable(server, image_id)


@pytest.mark.parametrize("workers", [1, 0])
def test_sigint_ends_a_drain(workers: int) -> None:
    with checked(Server(arguments=("--workers", str(workers)))) as server:
        image_id = server.create()
        with begun(server, image_id):
            server.signal(signal.SIGTERM)
            eventually(lambda: refused(server), "the port's end")
            assert server.break_off() == 0
        assert server.stored(image_id) == []


def test_connections_in_the_queue_are_served() -> None:
    """They were accepted by the kernel, so their clients have not been refused."""
    settings = {"workers": 1, "graceful_shutdown_timeout": 30}
    with checked(Server(settings=settings)) as server, ExitStack() as stack:
        eventually(lambda: len(server.workers()) == 1, "the worker")
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        waiting = [stack.enter_context(Wire(server)) for _ in range(20)]
        for wire in waiting:
            wire.head("GET", "/versions")
        server.signal(signal.SIGTERM)
        eventually(lambda: refused(server), "the port's end")
        os.kill(worker, signal.SIGCONT)
        for wire in waiting:
            assert wire.answer().status == 200
        assert server.wait() == 0
