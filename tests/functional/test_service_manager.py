"""What service managers rely on: messages, sockets that they open, process numbers in files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.server import PATIENCE, Server, eventually
from tests.functional.test_cli_options import TWISTD
from tests.functional.test_reload import checked
from tests.functional.wire import Wire, begun

LIST = "/v2/images?limit=1"


#: Runs a program with descriptors from 3 on, as the service manager does.
HAND_OVER = """
import fcntl, os, sys
copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1:3]]
for number, copy in enumerate(copies, 3):
    os.dup2(copy, number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """Hears what a service says of itself."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(str(folder / "notify"))
        self.environ = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "600000"}

    def hear(self, first: str) -> list[str]:
        """Wait for a message that begins so."""
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            if lines[0] == first:
                return lines


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.socket.close()


@pytest.mark.parametrize("workers", [2, 0])
def test_messages(manager: Manager, workers: int) -> None:
    server = Server(arguments=("--workers", str(workers)), environ=manager.environ)
    with checked(server):
        assert manager.hear("READY=1")[1].startswith("STATUS=")
        manager.hear("WATCHDOG=1")
        server.signal(signal.SIGHUP)
        assert manager.hear("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
        assert "given up" not in manager.hear("READY=1")[1]
        manager.hear("WATCHDOG=1")
        (server.home / "policy.yaml").write_text("get_image: [\n")
        server.signal(signal.SIGHUP)
        manager.hear("RELOADING=1")
        assert "given up" in manager.hear("READY=1")[1]
        server.signal(signal.SIGTERM)
        manager.hear("STOPPING=1")
        assert server.wait() == 0


def test_watchdog_hears_nothing_when_all_workers_hang(manager: Manager) -> None:
    with Server(arguments=("--workers", "1"), environ=manager.environ) as server:
        manager.hear("WATCHDOG=1")
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        manager.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            while True:
                manager.hear("WATCHDOG=1")
        manager.socket.settimeout(PATIENCE)
        os.kill(worker, signal.SIGCONT)
        manager.hear("WATCHDOG=1")


@pytest.mark.parametrize("workers", [2, 0])
def test_sockets_that_stay_open(workers: int) -> None:
    """Clients wait in their queue while the service is away."""
    with (
        socket.create_server(("127.0.0.1", 0)) as main,
        socket.create_server(("127.0.0.1", 0)) as internal,
    ):
        numbers = internal.fileno(), main.fileno()
        server = Server(
            settings={"internal_bind_port": 1, "workers": workers},
            launcher=(sys.executable, "-c", HAND_OVER, *map(str, numbers)),
            descriptors=numbers,
            environ={"LISTEN_FDS": "2", "LISTEN_FDNAMES": "internal:glance-api.socket"},
        )
        with checked(server):
            assert server.port == main.getsockname()[1]
            assert server.internal_port == internal.getsockname()[1]
            image_id = server.image(b"data")
            assert (
                "direct_url"
                in server.request("GET", f"/v2/images/{image_id}", port=server.internal_port).json
            )
            server.reload()
            assert server.request("GET", LIST).status == 200
            with begun(server, server.create()) as upload:
                server.signal(signal.SIGTERM)
                eventually(lambda: "Port" in server.log_text(), "the end begins")
                upload.send(b"0\r\n\r\n")
                assert upload.answer().status == 204
                assert server.wait() == 0
            with Wire(server) as early:
                early.head("GET", LIST)
                server.start()
                assert early.answer().status == 200


@pytest.mark.parametrize("workers", [2, 0])
def test_daemon_of_twistd(tmp_path: Path, workers: int) -> None:
    with Server() as server:
        # Its environment and what it knows of a service, without the program.
        server.break_off()
        pidfile, log = tmp_path / "api.pid", tmp_path / "api.log"
        command = [sys.executable, "-c", TWISTD, f"--pidfile={pidfile}", f"--logfile={log}"]
        command += ["glance-api", "--verbose", "--workers", str(workers)]
        command += ["--state-dir", str(server.state), "--bind-port", str(server.port)]
        subprocess.run(command, cwd=tmp_path, env=server._env, check=True, timeout=PATIENCE)
        pid = int(pidfile.read_text())
        try:
            eventually(lambda: log.read_text().count("Accepting requests") == (workers or 1), "it")
            image_id = server.create()
            with begun(server, image_id) as upload:
                os.kill(pid, signal.SIGHUP)
                eventually(
                    lambda: log.read_text().count("Accepting requests") == 2 * (workers or 1),
                    "the reload",
                )
                assert pidfile.read_text() == str(pid)
                os.kill(pid, signal.SIGTERM)
                eventually(lambda: "(TCP Port" in log.read_text(), "the end begins")
                upload.send(b"0\r\n\r\n")
                assert upload.answer().status == 204
            eventually(lambda: not server.alive(pid), "the daemon's end")
            assert not pidfile.exists()
            assert " ERROR " not in log.read_text()
            assert "Traceback" not in log.read_text()
        finally:
            if server.alive(pid):
                os.kill(pid, signal.SIGKILL)
