"""Workers that die, cannot be started or do not want to end, on a clock of our own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from glance.services.supervisor import (
    INTERNAL_FD,
    LISTENER_FD,
    LONGEST_PAUSE,
    PARENT_FD,
    STOP_TIME,
    YOUNG,
    Supervisor,
    worker_command,
)

LISTENER = 9


class Process:
    """A child: told to end, it does so unless it is stubborn."""

    def __init__(self, protocol: Any, pid: int, arguments: Any) -> None:
        self.pid: int | None = pid
        self.protocol = protocol
        self.arguments = arguments
        self.signals: list[str] = []
        self.stubborn = False

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)
        if self.pid is None:
            raise ProcessExitedAlready
        if name == "KILL" or not self.stubborn:
            self.end(ProcessTerminated(signal=15))

    def end(self, why: Exception | None = None) -> None:
        self.pid = None
        self.protocol.processEnded(Failure(why or ProcessTerminated(exitCode=1)))


class Reactor(Clock):
    """A clock, and processes that are none."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Process] = []
        self.refusals: list[Exception] = []

    def spawnProcess(self, protocol: Any, executable: str, args: Any, **more: Any) -> Process:
        if self.refusals:
            raise self.refusals.pop(0)
        arguments = {"executable": executable, "args": args, **more}
        self.spawned.append(Process(protocol, 100 + len(self.spawned), arguments))
        return self.spawned[-1]


class SupervisorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.closed: list[int] = []
        self.listener: Any = SimpleNamespace(
            fileno=lambda: LISTENER, close=lambda: self.closed.append(1)
        )
        self.lines: list[str] = []
        self.levels: list[Any] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

    def note(self, entry: dict[str, Any]) -> None:
        self.lines.append(formatEvent(entry))
        self.levels.append(entry["log_level"])

    def start(self, count: int = 1) -> Supervisor:
        supervisor = Supervisor(self.reactor, self.listener, ["python", "-m", "w"], count)
        supervisor.startService()
        return supervisor

    @property
    def spawned(self) -> list[Process]:
        return self.reactor.spawned

    def pauses(self, deaths: int) -> list[float]:
        """Let the newest worker die at once so many times; return how long each pause was."""
        pauses = []
        for _ in range(deaths):
            self.spawned[-1].end()
            (call,) = self.reactor.getDelayedCalls()
            pauses.append(round(call.getTime() - self.reactor.seconds(), 3))
            before = len(self.spawned)
            self.reactor.advance(pauses[-1] + 0.001)
            self.assertEqual(len(self.spawned), before + 1)
        return pauses

    def test_start(self) -> None:
        self.start(3)
        self.assertEqual(len(self.spawned), 3)
        arguments = self.spawned[0].arguments
        self.assertEqual(arguments["executable"], "python")
        self.assertEqual(arguments["args"], ["python", "-m", "w"])
        descriptors = arguments["childFDs"]
        self.assertEqual(descriptors[LISTENER_FD], LISTENER)
        self.assertEqual(descriptors[PARENT_FD], "w")
        self.assertNotIn(INTERNAL_FD, descriptors)

    def test_internal_port(self) -> None:
        internal: Any = SimpleNamespace(fileno=lambda: 11, close=lambda: self.closed.append(2))
        supervisor = Supervisor(self.reactor, self.listener, ["w"], 1, internal)
        supervisor.startService()
        descriptors = self.spawned[0].arguments["childFDs"]
        self.assertEqual((descriptors[LISTENER_FD], descriptors[INTERNAL_FD]), (LISTENER, 11))
        self.assertEqual(descriptors[PARENT_FD], "w")
        self.successResultOf(supervisor.stopService())
        self.assertEqual(self.closed, [1, 2])

    def test_one_that_dies_is_replaced(self) -> None:
        self.start(2)
        self.reactor.advance(YOUNG + 0.1)
        self.spawned[0].end()
        self.assertEqual(self.levels[-1], LogLevel.error)
        self.assertIn("Worker 0, process 100, ended badly", self.lines[-1])
        self.reactor.advance(0)
        self.assertEqual(len(self.spawned), 3)
        self.assertIn("Started worker 0, process 102", self.lines[-1])
        self.spawned[1].end(ProcessDone(0))
        self.assertIn("Worker 1, process 101, ended by itself", self.lines[-1])

    def test_the_pause_grows_while_they_die_young(self) -> None:
        self.start()
        pauses = self.pauses(1200)
        self.assertEqual(pauses[:3], [0.2, 0.4, 0.8])
        self.assertEqual(pauses, sorted(pauses))
        self.assertEqual(pauses[-1], LONGEST_PAUSE)

    def test_the_pause_is_gone_after_one_that_lived(self) -> None:
        self.start()
        self.pauses(5)
        self.reactor.advance(YOUNG + 0.1)
        self.assertEqual(self.pauses(2), [0.0, 0.2])

    def test_one_that_cannot_be_started_is_tried_again(self) -> None:
        self.start()
        self.reactor.advance(YOUNG + 0.1)
        self.reactor.refusals = [BlockingIOError(11, "Resource temporarily unavailable")] * 3
        self.spawned[0].end()
        for pause in (0.0, 0.2, 0.4, 0.8):
            self.assertEqual(len(self.spawned), 1)
            (call,) = self.reactor.getDelayedCalls()
            self.assertAlmostEqual(call.getTime() - self.reactor.seconds(), pause)
            self.reactor.advance(pause + 0.001)
        self.assertEqual(len(self.spawned), 2)
        refused = [line for line in self.lines if "could not be started" in line]
        self.assertEqual(len(refused), 3)
        self.assertIn("Worker 0 could not be started: [Errno 11] Resource", refused[0])
        self.assertIn("again in 0.2 s", refused[0])

    def test_one_that_cannot_be_started_at_first(self) -> None:
        self.reactor.refusals = [MemoryError()]
        self.start(3)
        self.assertEqual(len(self.spawned), 2)
        self.reactor.advance(0.2)
        self.assertEqual(len(self.spawned), 3)
        self.assertEqual({p.protocol.number for p in self.spawned}, {0, 1, 2})

    def test_stop(self) -> None:
        supervisor = self.start(2)
        self.successResultOf(supervisor.stopService())
        self.assertEqual([process.signals for process in self.spawned], [["TERM"], ["TERM"]])
        self.assertEqual(self.closed, [1])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertNotIn(LogLevel.error, self.levels)

    def test_stop_kills_those_that_do_not_end(self) -> None:
        supervisor = self.start(2)
        self.spawned[1].stubborn = True
        stopping: Deferred[Any] = supervisor.stopService()
        self.reactor.advance(STOP_TIME - 0.1)
        self.assertNoResult(stopping)
        self.assertEqual(self.closed, [])
        self.reactor.advance(0.1)
        self.successResultOf(stopping)
        self.assertEqual(self.spawned[1].signals, ["TERM", "KILL"])
        self.assertEqual(self.spawned[0].signals, ["TERM"])
        self.assertEqual(self.closed, [1])

    def test_stop_while_one_has_just_ended(self) -> None:
        supervisor = self.start()
        # The process is gone, but its pipes are not closed yet.
        self.spawned[0].pid = None
        stopping = supervisor.stopService()
        self.assertNoResult(stopping)
        self.spawned[0].end()
        self.successResultOf(stopping)

    def test_stop_starts_no_other(self) -> None:
        supervisor = self.start(2)
        self.spawned[0].end()
        self.reactor.refusals = [OSError(12, "Cannot allocate memory")]
        self.reactor.advance(0.2)
        self.successResultOf(supervisor.stopService())
        self.reactor.advance(3600)
        self.assertEqual(len(self.spawned), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


def test_the_command_of_a_worker() -> None:
    command = worker_command(["--debug"])
    assert command[1:] == ["-m", "glance.services.worker", "--debug"]
