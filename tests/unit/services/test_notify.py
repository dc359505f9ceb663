"""What the service manager hears, and what children do not inherit."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glance.services.notify import LONGEST_STATUS, Notifier


class Manager:
    """A socket as the service manager's."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": address, "HOME": "/"}

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"@glance-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "n")
    manager = Manager(name)
    yield manager
    manager.socket.close()


def test_messages(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environ)
    assert manager.environ == {"HOME": "/"}
    notifier.ready("4 workers serve")
    assert manager.heard() == ["READY=1", "STATUS=4 workers serve"]
    notifier.reloading()
    first, second = manager.heard()
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()
    notifier.stopping()
    assert manager.heard() == ["STOPPING=1"]
    notifier.alive()
    assert manager.heard() == ["WATCHDOG=1"]


def test_service_manager_that_is_slow(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that it never heard of would be taken for one that failed."""

    class Sender(socket.socket):
        def sendto(self, *args: Any) -> int:
            if self.gettimeout():
                # While we wait it takes something.
                manager.heard()
            return super().sendto(*args)

    notifier = Notifier.from_environment(manager.environ)
    monkeypatch.setattr(socket, "socket", Sender)

    def hear_all() -> list[str]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(manager.heard()[0])
        return found

    for tell, first in (
        (notifier.ready, "READY=1"),
        (notifier.reloading, "RELOADING=1"),
        (notifier.stopping, "STOPPING=1"),
    ):
        # None of these is waited for: there will be more of them.
        for _ in range(10000):
            notifier.alive()
        tell()
        assert hear_all()[-1] == first


def test_a_status_cannot_begin_a_line_and_has_an_end(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environ)
    notifier.status("bad\nREADY=1")
    assert manager.heard() == ["STATUS=bad READY=1"]
    notifier.status("ä" * 1000)
    (line,) = manager.heard()
    assert line == "STATUS=" + "ä" * (LONGEST_STATUS // 2)


def test_a_daemon_names_its_process(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    notifier = Notifier.from_environment(manager.environ)
    monkeypatch.setattr(os, "getpid", lambda: 4711)
    notifier.ready()
    assert manager.heard() == ["READY=1", "MAINPID=4711"]


def test_nobody_listens(tmp_path: Path) -> None:
    Notifier.from_environment({}).ready()
    Notifier(str(tmp_path / "gone")).ready("nobody hears it")


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_watchdog(variables: dict[str, str], seconds: float | None) -> None:
    environ = dict(variables)
    assert Notifier.from_environment(environ).watchdog_time == seconds
    assert environ == {}
