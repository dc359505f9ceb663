"""Processes that are none, on a clock that a test turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from glance.services import messages
from glance.services.template import COMMANDS_FD, REPORTS_FD


class Process:
    """A template: it only notes what it is told, and reports what a test has it report."""

    def __init__(self, protocol: Any, pid: int, arguments: dict[str, Any]) -> None:
        self.protocol = protocol
        self.pid: int | None = pid
        self.arguments = arguments
        self.told: list[messages.Message] = []
        self.signals: list[str] = []
        #: Process numbers of its workers.
        self.workers: dict[int, int] = {}
        self._pids = pid * 100
        protocol.makeConnection(self)

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        assert descriptor == COMMANDS_FD
        self.told += [json.loads(line) for line in data.splitlines()]

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)
        if self.pid is None:
            raise ProcessExitedAlready

    def report(self, event: str, **more: Any) -> None:
        data = messages.encode({"event": event, **more})
        # However it is cut.
        self.protocol.childDataReceived(REPORTS_FD, data[:5])
        self.protocol.childDataReceived(REPORTS_FD, data[5:])

    def load(self) -> list[int]:
        """Have everything loaded; return the numbers of the workers that are to be made."""
        self.report(messages.LOADED)
        return self.wanted()

    def wanted(self) -> list[int]:
        """Return the numbers of the workers it was told to make since the last time."""
        found = [m["number"] for m in self.told if m["do"] == messages.START]
        self.told = [m for m in self.told if m["do"] != messages.START]
        return found

    def make(self, number: int, ready: bool = True) -> int:
        self._pids += 1
        self.workers[number] = self._pids
        self.report(messages.STARTED, number=number, pid=self._pids)
        if ready:
            self.report(messages.READY, number=number, pid=self._pids)
        return self._pids

    def lose(self, number: int, code: int = -9) -> None:
        self.report(messages.ENDED, number=number, pid=self.workers.pop(number), code=code)

    def serve(self) -> None:
        """Load everything, and make all the workers."""
        for number in self.load():
            self.make(number)

    def end(self, code: int = 0) -> None:
        self.pid = None
        reason = ProcessTerminated(exitCode=code) if code else ProcessDone(0)
        self.protocol.processEnded(Failure(reason))


class Reactor(Clock):
    """A clock, and processes."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Process] = []
        self.refusals: list[Exception] = []
        self.stopped = 0

    def spawnProcess(self, protocol: Any, executable: str, args: Any, **more: Any) -> Process:
        if self.refusals:
            raise self.refusals.pop(0)
        arguments = {"executable": executable, "args": args, **more}
        self.spawned.append(Process(protocol, 100 + len(self.spawned), arguments))
        return self.spawned[-1]

    def stop(self) -> None:
        self.stopped += 1


class Port:
    """A listening socket."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor


class LoggedCase(SynchronousTestCase):
    """Sees what is logged."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.levels: list[Any] = []
        globalLogPublisher.addObserver(self._note)
        self.addCleanup(globalLogPublisher.removeObserver, self._note)

    def _note(self, entry: dict[str, Any]) -> None:
        self.lines.append(str(formatEvent(entry)))
        self.levels.append(entry["log_level"])


Thunk = Callable[[], Any]
