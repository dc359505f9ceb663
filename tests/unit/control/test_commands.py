"""Commands against processes that need not be waited for."""

import signal
from pathlib import Path
from typing import Any

import pytest

from glance.control import commands
from glance.control.commands import DRAIN_TIME, QUICK_TIME, REMINDER, Control
from glance.control.pidfile import PidFile, Places
from glance.control.processes import Sighting, State
from glance.control.servers import Server
from glance.control.starting import Starter

TOY = Server("glance-toy", "glance", reloadable=True)
ABSENT = Server("glance-doll", "doll.tap", absence="no dolls here")


class FakeProcess:
    """A process.

    :param patience: what waiting for its end answers, time after time.
    """

    pid = 7

    def __init__(self, *patience: bool) -> None:
        self.patience = list(patience)
        self.done: list[object] = []
        self.closed = False

    def signal(self, number: signal.Signals) -> bool:
        self.done.append(number.name)
        return True

    def wait(self, timeout: float) -> bool:
        self.done.append(timeout)
        return self.patience.pop(0)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "FakeProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Desk:
    """Carries commands out, and notes what is said."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.control = Control(
            Starter(None),
            Places(tmp_path, tmp_path),
            self.said.append,
            self.warned.append,
        )
        self.pid_file = PidFile(tmp_path / "glance-toy.pid")
        self._monkeypatch = monkeypatch

    def run(self, command: str, process: FakeProcess) -> int:
        seen: Any = Sighting(State.RUNNING, process.pid, process)  # type: ignore[arg-type]
        self._monkeypatch.setattr(commands, "look", lambda name, pid_file: seen)
        code = self.control.run(command, [TOY])
        assert process.closed
        assert process.patience == []
        return code


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_stop(desk: Desk) -> None:
    process = FakeProcess(True)
    assert desk.run("stop", process) == 0
    assert process.done == ["SIGTERM", DRAIN_TIME]
    assert desk.said == ["Stopping glance-toy (pid 7) with signal(15)"]


def test_stop_becomes_quick(desk: Desk) -> None:
    process = FakeProcess(False, True)
    assert desk.run("stop", process) == 0
    assert process.done == ["SIGTERM", DRAIN_TIME, "SIGINT", QUICK_TIME]
    assert DRAIN_TIME == 15


def test_stop_gives_up(desk: Desk) -> None:
    desk.pid_file.path.write_text("7")
    process = FakeProcess(False, False)
    assert desk.run("stop", process) == 1
    assert desk.warned == ["glance-toy (pid 7) is still running / giving up"]
    assert desk.pid_file.read() == 7


def test_what_a_killed_server_leaves_is_removed(desk: Desk) -> None:
    desk.pid_file.path.write_text("7")
    assert desk.run("stop", FakeProcess(True)) == 0
    assert desk.pid_file.read() is None


def test_file_of_the_next_server_stays(desk: Desk) -> None:
    desk.pid_file.path.write_text("8")
    assert desk.run("stop", FakeProcess(True)) == 0
    assert desk.pid_file.read() == 8


def test_shutdown_is_patient(desk: Desk) -> None:
    process = FakeProcess(False, False, True)
    assert desk.run("shutdown", process) == 0
    assert process.done == ["SIGTERM", REMINDER, REMINDER, REMINDER]
    assert desk.said[1:] == [
        "glance-toy (pid 7) is finishing what it has under way, 10 s now",
        "glance-toy (pid 7) is finishing what it has under way, 20 s now",
    ]


def test_restart_does_not_start_what_did_not_stop(desk: Desk) -> None:
    assert desk.run("restart", FakeProcess(False, False)) == 1
    assert not any("Starting" in line for line in desk.said)


def test_reload(desk: Desk) -> None:
    process = FakeProcess(False)
    assert desk.run("reload", process) == 0
    assert process.done[0] == "SIGHUP"


def test_status(desk: Desk) -> None:
    assert desk.run("status", FakeProcess()) == 0
    assert desk.said == ["glance-toy (pid 7) is running..."]


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_server_that_is_not_there(desk: Desk, command: str) -> None:
    assert desk.control.run(command, [ABSENT]) == 3
    assert (desk.said, desk.warned) == ([], ["glance-doll: no dolls here."])


def test_all_without_those_that_are_not_there(desk: Desk) -> None:
    assert desk.control.run("status", [TOY, ABSENT]) == 0
    assert desk.said == ["Skipping glance-doll: no dolls here.", "glance-toy is stopped"]


class TestNothingToDo:
    """``all`` leaves out what would have nothing to do; a server named alone is started."""

    NEEDY = Server("glance-cache", "glance", needs="image_cache_dir")

    @pytest.fixture
    def config(self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        self.started: list[str] = []

        def start(control: Control, server: Server) -> None:
            self.started.append(server.name)

        monkeypatch.setattr(Control, "_launch", start)
        desk.control.config = tmp_path / "x.conf"
        desk.control.config.write_text("[database]\nconnection = sqlite:///x\n")
        return desk.control.config

    @pytest.mark.parametrize("command", ["start", "restart"])
    def test_all(self, desk: Desk, config: Path, command: str) -> None:
        assert desk.control.run(command, [TOY, self.NEEDY]) == 0
        assert self.started == ["glance-toy"]
        assert "Skipping glance-cache: [DEFAULT]image_cache_dir is not set." in desk.said

    def test_alone(self, desk: Desk, config: Path) -> None:
        assert desk.control.run("start", [self.NEEDY]) == 0
        assert self.started == ["glance-cache"]

    def test_where_it_has_work(self, desk: Desk, config: Path) -> None:
        config.write_text(f"[DEFAULT]\nimage_cache_dir = /x\n{config.read_text()}")
        assert desk.control.run("start", [TOY, self.NEEDY]) == 0
        assert self.started == ["glance-toy", "glance-cache"]

    def test_configuration_that_cannot_be_used(self, desk: Desk, config: Path) -> None:
        """Whoever is started by it says what is wrong."""
        config.write_text("[DEFAULT]\nimage_cache_max_size = much\n")
        assert desk.control.run("start", [TOY, self.NEEDY]) == 0
        assert self.started == ["glance-toy", "glance-cache"]
