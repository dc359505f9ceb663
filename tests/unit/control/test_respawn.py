import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glance.control.errors import ControlError
from glance.control.pidfile import PidFile
from glance.control.respawn import (
    LONGEST_PAUSE,
    STEADY,
    Throttle,
    Verdict,
    Watcher,
    catch,
    judge,
)
from glance.control.servers import Server

TOY = Server("glance-toy", "toy")


@pytest.mark.parametrize(
    ("code", "came_up", "written", "verdict"),
    [
        # Its pid file is still there.
        (0, True, 7, Verdict.AGAIN),
        (1, True, 7, Verdict.AGAIN),
        (-9, True, 7, Verdict.AGAIN),
        # It was removed: by twistd in an orderly end, or by somebody who then killed it.
        (0, True, None, Verdict.STOPPED),
        (-15, True, None, Verdict.STOPPED),
        (-9, True, None, Verdict.STOPPED),
        # An orderly end, for a reason.
        (1, True, None, Verdict.AGAIN),
        # There never was one.
        (1, False, None, Verdict.AGAIN),
        (0, False, None, Verdict.AGAIN),
        # There is somebody else's.
        (-9, True, 8, Verdict.REPLACED),
        (1, False, 8, Verdict.REPLACED),
    ],
)
def test_verdict(code: int, came_up: bool, written: int | None, verdict: Verdict) -> None:
    assert judge(code, came_up, 7, written) is verdict


def test_pauses_grow_while_it_bounces() -> None:
    throttle = Throttle()
    assert [throttle.pause(0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert throttle.pause(STEADY) == 1
    assert throttle.bounces == 0
    assert throttle.pause(STEADY - 0.1) == 1
    assert throttle.pause(0) == 2


class FakeChild:
    """A process of a server.

    :param up: how its start goes.
    :param code: how it ended; None: it runs.
    """

    server = TOY

    def __init__(self, pid: int, pid_file: PidFile, up: bool = True, code: int | None = None):
        self.pid = pid
        self.pid_file = pid_file
        self.up: bool | None = up
        self.complaint = ""
        self.code = code
        self.signals: list[str] = []
        if up:
            pid_file.path.write_text(str(pid))

    def listen(self) -> bool | None:
        return self.up

    def exit_code(self) -> int | None:
        return self.code

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number.name)

    def close(self) -> None:
        pass


class Scene:
    """A watcher whose time passes in leaps; while it waits, one step of a script is done."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 0.0
        self.steps = 0
        self.said: list[str] = []
        self.starts: list[float] = []
        self.children: list[FakeChild] = []
        self.pid_file = PidFile(tmp_path / "x.pid")
        self.script: list[Callable[[], Any]] = []
        #: Makes the process of the next start.
        self.born: Callable[[int], FakeChild] = self.lively
        scene = self

        class Leaping(Watcher):
            def _sleep(self, caught: object) -> None:
                dues = [watch.due for watch in self._watches if watch.due is not None]
                if dues:
                    scene.now = max(scene.now, *dues)
                scene.steps += 1
                assert scene.steps < 100, "the watch goes on and on"
                if scene.script:
                    scene.script.pop(0)()

        self.watcher = Leaping(
            self,  # type: ignore[arg-type]
            None,
            self.said.append,
            self.said.append,
            lambda: self.now,
        )
        self.first = self.lively(100)
        self.watcher.add(self.first)  # type: ignore[arg-type]

    def lively(self, pid: int) -> FakeChild:
        return FakeChild(pid, self.pid_file)

    def start(self, server: Server, pid_file: PidFile, config: object) -> FakeChild:
        assert server is TOY
        assert pid_file.read() is None
        assert pid_file.try_lock() is None
        self.starts.append(self.now)
        self.children.append(self.born(100 + len(self.starts)))
        return self.children[-1]

    def end(self, child: FakeChild, code: int, lived: float = 0) -> None:
        self.now += lived
        child.code = code

    def forward(self, number: signal.Signals) -> None:
        self.watcher._pass_on(number)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_started_again_after_a_crash(scene: Scene) -> None:
    scene.script = [
        lambda: scene.end(scene.first, -9, lived=100),
        lambda: None,
        lambda: None,
        scene.pid_file.discard,
        lambda: scene.end(scene.children[0], 0, lived=100),
    ]
    assert scene.watcher.run() == 0
    assert scene.starts == [101]
    assert scene.said == [
        "glance-toy (pid 100) ended unexpectedly (killed by signal 9); starting it again",
        "Starting glance-toy",
        f"glance-toy (pid 101) is up; pid file {scene.pid_file.path}",
        "Suppressed respawn as glance-toy was deliberately stopped.",
    ]


def test_crash_loop_is_throttled_and_goes_on(scene: Scene) -> None:
    scene.born = lambda pid: FakeChild(pid, scene.pid_file, up=False, code=1)

    def enough() -> None:
        if len(scene.starts) < 10:
            scene.script.append(enough)
        else:
            scene.forward(signal.SIGTERM)

    scene.script = [lambda: scene.end(scene.first, 1), enough]
    assert scene.watcher.run() == 0
    pauses = [b - a for a, b in zip([0.0, *scene.starts], scene.starts, strict=False)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert pauses[-1] == LONGEST_PAUSE
    told = "Suppressed respawn as glance-toy was bouncing. It ended again (exit code 1) and will"
    assert sum(line.startswith(told) for line in scene.said) >= 10
    assert scene.pid_file.read() is None


def test_start_that_is_not_possible(scene: Scene) -> None:
    def refuse(pid: int) -> FakeChild:
        scene.born = scene.lively
        raise ControlError("no memory")

    scene.born = refuse
    scene.script = [
        lambda: scene.end(scene.first, -9, lived=100),
        lambda: None,
        lambda: None,
        lambda: None,
        scene.pid_file.discard,
        lambda: scene.end(scene.children[0], 0),
    ]
    assert scene.watcher.run() == 0
    assert "no memory" in scene.said
    assert scene.starts == [101, 102]
    assert list(scene.pid_file.path.parent.iterdir()) == []


def test_stopped_in_a_pause(scene: Scene) -> None:
    scene.born = lambda pid: FakeChild(pid, scene.pid_file, up=False, code=1)
    scene.script = [
        lambda: scene.end(scene.first, -9, lived=100),
        lambda: None,
        # Having failed to start it wrote no file; there is one all the same.
        lambda: None,
        scene.pid_file.discard,
    ]
    assert scene.watcher.run() == 0
    assert scene.starts == [101]
    assert scene.said[-1] == "Suppressed respawn as glance-toy was deliberately stopped."


def test_signals_are_passed_on(scene: Scene) -> None:
    scene.script = [
        # Not all know what to do with it.
        lambda: scene.forward(signal.SIGHUP),
        lambda: scene.forward(signal.SIGTERM),
        lambda: scene.forward(signal.SIGINT),
        lambda: scene.end(scene.first, -9),
    ]
    assert scene.watcher.run() == 0
    assert scene.first.signals == ["SIGTERM", "SIGINT"]
    assert scene.starts == []
    assert scene.pid_file.read() is None


def test_signals_that_come_while_servers_are_started(scene: Scene) -> None:
    """They would end us, and leave the servers unwatched."""
    watcher = scene.watcher
    scene.script = [lambda: scene.end(scene.first, 0)]
    with watcher.holding():
        os.kill(os.getpid(), signal.SIGHUP)
        assert not watcher.told_to_end()
        os.kill(os.getpid(), signal.SIGTERM)
        assert watcher.told_to_end()
        assert watcher.run() == 0
    # The toy cannot reload.
    assert scene.first.signals == ["SIGTERM"]
    assert scene.starts == []


def test_lock_that_somebody_else_holds(scene: Scene) -> None:
    lock = scene.pid_file.try_lock()
    assert lock is not None

    def other_server() -> None:
        # Which by its command line is none, so its file is stale.
        scene.pid_file.path.write_text(str(os.getpid()))
        lock.release()

    scene.script = [
        lambda: scene.end(scene.first, -9, lived=100),
        lambda: None,
        lambda: None,
        other_server,
        lambda: scene.forward(signal.SIGTERM),
        lambda: scene.end(scene.children[0], 0),
    ]
    assert scene.watcher.run() == 0
    assert len(scene.starts) == 1
    assert scene.starts[0] > 101


def test_terminal_that_is_gone(scene: Scene) -> None:
    def gone(line: str) -> None:
        raise OSError(5, "Input/output error")

    scene.watcher._tell = scene.watcher._tell_error = gone
    scene.script = [
        lambda: scene.end(scene.first, -9),
        lambda: None,
        lambda: scene.forward(signal.SIGTERM),
        lambda: scene.end(scene.children[0], 0),
    ]
    assert scene.watcher.run() == 0
    assert len(scene.starts) == 1


def test_catching_signals() -> None:
    former = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        with catch((signal.SIGUSR1, signal.SIGUSR2)) as caught:
            assert caught.take() == []
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR2)
            assert caught.take() == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) == former
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
