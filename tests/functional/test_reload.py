"""Configurations that change while the service runs, and nobody notices."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Certificate
from tests.functional.configured import ConfiguredServer, free_port
from tests.functional.server import PATIENCE, Server, eventually
from tests.functional.wire import MIB, Wire, begun, data_of

BIG = 12 * MIB
LIST = "/v2/images?limit=1"


@contextlib.contextmanager
def checked(server: Server) -> Iterator[Server]:
    with server:
        yield server
        assert server.trouble() == []


def everybody(server: Server) -> set[int]:
    return {server.pid, *server.templates(), *server.workers()}


def settled(server: Server, workers: int) -> bool:
    """Whether nothing is left of the generation before."""
    templates = 1 if workers else 0
    return len(server.templates()) == templates and len(server.workers()) == workers


@pytest.mark.parametrize("workers", [2, 0])
def test_nobody_is_cut_off(workers: int) -> None:
    with checked(Server(arguments=("--workers", str(workers)))) as server, ExitStack() as stack:
        big = server.image(data_of(BIG))
        small = server.image(b"small")
        eventually(lambda: settled(server, workers), "workers")
        before = everybody(server)
        uploaded = server.create()
        upload = stack.enter_context(begun(server, uploaded, data=data_of(MIB)))
        download = stack.enter_context(Wire(server, receive_buffer=8192))
        download.head("GET", f"/v2/images/{big}/file")
        _, headers = download.answered()
        # They wait behind the download.
        for _ in range(3):
            download.head("GET", f"/v2/images/{small}")
        idle, partial = (stack.enter_context(Wire(server)) for _ in range(2))
        idle.head("GET", LIST)
        assert idle.answer().status == 200
        partial.head("GET", LIST)
        assert partial.answer().status == 200
        partial.send(b"GET /v2/images HTTP/1.1\r\nHo")

        server.reload()
        assert server.request("GET", LIST).status == 200
        assert idle.ended()
        partial.send(b"st: x\r\n\r\n")
        answer = partial.answer()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        upload.chunk(data_of(MIB + 1))
        upload.send(b"0\r\n\r\n")
        assert upload.answer().status == 204
        assert download.read(int(headers["Content-Length"])) == data_of(BIG)
        for _ in range(3):
            answer = download.answer()
            assert answer.json["id"] == small
        assert download.ended()
        assert server.download(uploaded).body == data_of(MIB) + data_of(MIB + 1)
        eventually(lambda: settled(server, workers), "nothing left of the old ones")
        if workers:
            assert everybody(server) & before == {server.pid}
        # The parent of workers has the port only.
        idle_now = 1 if workers else server.idle
        eventually(lambda: len(server.descriptors()) == idle_now, "no descriptor left")


def test_many_reloads_at_once() -> None:
    with checked(Server(arguments=("--workers", "1"))) as server:
        for _ in range(5):
            server.signal(signal.SIGHUP)
        server.reload()
        eventually(lambda: settled(server, 1), "one generation")
        assert server.request("GET", LIST).status == 200


def test_terminal_that_hangs_up() -> None:
    """All processes get the signal, also those that have just begun."""
    with checked(Server(arguments=("--workers", "1"), own_group=True)) as server:
        eventually(lambda: settled(server, 1), "the worker")
        before = set(everybody(server))
        os.killpg(server.pid, signal.SIGHUP)
        eventually(lambda: set(everybody(server)) - before, "another template")
        os.killpg(server.pid, signal.SIGHUP)
        server.reload()
        eventually(lambda: settled(server, 1), "one generation")
        assert server.request("GET", LIST).status == 200
        assert " ERROR " not in server.log_text()


class TestChanges:
    def test_port_and_number_of_workers(self) -> None:
        with checked(ConfiguredServer({"workers": 2})) as server, ExitStack() as stack:
            data = data_of(MIB)
            image_id = server.create()
            upload = stack.enter_context(begun(server, image_id, data=data))
            waiting = stack.enter_context(Wire(server))
            old, new = server.port, free_port()
            server.write(bind_port=new, workers=3)
            server.reload()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", old), PATIENCE)
            # It had no answer yet, so it may still ask.
            waiting.head("GET", LIST)
            assert waiting.answer().status == 200
            upload.send(b"0\r\n\r\n")
            assert upload.answer().status == 204
            server.port = new
            assert server.download(image_id).body == data
            eventually(lambda: settled(server, 3), "three workers")

            # Whatever is wrong, everything stays.
            before = everybody(server)
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                server.write(bind_port=port)
                server.reload()
            server.write(bind_port=new, workers=0)
            server.reload()
            server.break_file()
            server.reload()
            given_up = re.findall(r"ERROR .* everything stays as it was: (.*)", server.log_text())
            assert [line.partition(" (")[0] for line in given_up] == [
                f"Cannot listen on 127.0.0.1 port {port}: Address already in use",
                "[DEFAULT]workers cannot become 0 by a reload; restart the service.",
                "[DEFAULT]bind_port",
            ]
            assert everybody(server) == before
            assert server.download(image_id).body == data

            # Nor does a file that is wrong keep a worker from being replaced.
            (victim, *_) = server.workers()
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: settled(server, 3) and victim not in server.workers(), "another")
            eventually(lambda: "in place of process" in server.log_text(), "the log's word")
            assert server.request("GET", LIST).status == 200

    @pytest.mark.parametrize("workers", [0, 1])
    def test_file_that_is_gone(self, workers: int) -> None:
        """A service of somebody's does not turn into one of its own, which lets everybody in."""
        with checked(ConfiguredServer({"workers": workers})) as server:
            image_id = server.image(b"data")
            away = server.file.rename(server.file.with_suffix(".away"))
            server.reload()
            (given_up,) = re.findall(r"ERROR .*Reload given up.*", server.log_text())
            assert f"No configuration file is found any more; it was {server.file}." in given_up
            assert server.download(image_id).body == b"data"
            if workers:
                # Nor when the files are read anew for another reason.
                (template,) = server.templates()
                os.kill(template, signal.SIGKILL)
                eventually(
                    lambda: "any more; starting it anew" in server.log_text(),
                    "the refusal",
                )
            away.rename(server.file)
            eventually(lambda: settled(server, workers), "it goes on")
            assert server.download(image_id).body == b"data"

    def test_policy_that_is_wrong(self) -> None:
        """It stands in a file of its own."""
        with checked(Server(arguments=("--workers", "1"))) as server:
            (server.home / "policy.yaml").write_text("get_image: [\n")
            server.reload()
            (given_up,) = re.findall(r"ERROR .*Reload given up.*", server.log_text())
            assert "policy.yaml" in given_up
            (server.home / "policy.yaml").write_text("get_images: '!'\n")
            server.reload()
            # The old worker may accept until it is told to drain, a moment later.
            eventually(lambda: server.request("GET", LIST).status == 403, "the policy as it is")

    @pytest.mark.parametrize("workers", [0, 1])
    def test_certificate(self, tmp_path: Path, workers: int) -> None:
        authority = Certificate("authority", authority=True)
        first, second = (Certificate("server", authority) for _ in range(2))
        context = ssl.create_default_context(cadata=authority.pem.decode())

        def shown(server: Server) -> int:
            with server.socket() as connection:
                assert isinstance(connection, ssl.SSLSocket)
                found = connection.getpeercert()
                assert found is not None
                return int(str(found["serialNumber"]), 16)

        certificate, key = first.write(tmp_path, "server")
        settings = {"cert_file": certificate, "key_file": key, "workers": workers}
        with checked(Server(settings=settings, tls=context)) as server:
            image_id = server.image(b"data")
            assert shown(server) == first.certificate.serial_number
            with Wire(server) as kept:
                kept.head("GET", LIST)
                assert kept.answer().status == 200
                second.write(tmp_path, "server")
                server.reload()
                # Those of before may accept for a moment yet.
                assert kept.ended()
                eventually(lambda: shown(server) == second.certificate.serial_number, "the second")
            Path(key).write_bytes(first.key_pem())
            server.reload()
            (given_up,) = re.findall(r"ERROR .*Reload given up.*", server.log_text())
            assert "is not the key of" in given_up
            assert shown(server) == second.certificate.serial_number
            assert server.download(image_id).body == b"data"


class TestDeaths:
    def test_template(self) -> None:
        """Its workers finish what they have; others take their place."""
        with checked(Server(arguments=("--workers", "2"))) as server:
            image_id = server.create()
            eventually(lambda: settled(server, 2), "workers")
            before = set(server.workers())
            (template,) = server.templates()
            # A reactor made before the fork would be one that the workers share.
            inodes = [os.readlink(fd) for fd in Path(f"/proc/{template}/fd").iterdir()]
            assert "anon_inode:[eventpoll]" not in inodes
            # One that held its sibling's link would keep that from noticing the template's end.
            link_and_port = 2
            eventually(
                lambda: [len(server.descriptors(pid)) for pid in before] == [link_and_port] * 2,
                "no sockets but these, once clients are gone",
            )
            with begun(server, image_id) as upload:
                os.kill(template, signal.SIGKILL)
                eventually(lambda: set(server.workers()) - before, "another generation")
                assert server.request("GET", LIST).status == 200
                upload.send(b"0\r\n\r\n")
                assert upload.answer().status == 204
            for pid in before:
                eventually(lambda pid=pid: not server.alive(pid), "the worker's end")

    def test_parent(self) -> None:
        with checked(Server(arguments=("--workers", "2"))) as server:
            image_id = server.create()
            eventually(lambda: settled(server, 2), "workers")
            workers = server.workers()
            with begun(server, image_id) as upload:
                server.kill()
                busy = eventually(
                    lambda: (
                        [pid for pid in workers if server.alive(pid)][1:] == []
                        and [pid for pid in workers if server.alive(pid)]
                    ),
                    "the end of the one that has nothing to do",
                )
                upload.send(b"0\r\n\r\n")
                assert upload.answer().status == 204
            eventually(lambda: not server.alive(busy[0]), "the other one's end")
            server.start()
            assert server.status(image_id) == "active"
