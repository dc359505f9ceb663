"""Keep worker processes running behind the listening sockets.

The parent holds the ports and serves nothing itself; each child adopts the ports' descriptors. A
child that dies is replaced, after a pause that grows while children die young. Children end with
their parent, however it ends: they hold the read end of a pipe that closes with it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

#: Descriptors of the port, of the parent's pipe and of the internal port, in a child.
LISTENER_FD = 3
PARENT_FD = 4
INTERNAL_FD = 5

#: A child that lives shorter than this, in seconds, died young.
YOUNG = 5.0
LONGEST_PAUSE = 30.0

#: How long children may take to end, before they are killed.
STOP_TIME = 15.0


class Worker(ProcessProtocol):
    """One child."""

    def __init__(self, supervisor: Supervisor, number: int, born: float) -> None:
        self.number = number
        self.pid = 0
        self.born = born
        self.ended: Deferred[None] = Deferred()
        self._supervisor = supervisor

    def processEnded(self, reason: Failure) -> None:
        """Tell the supervisor."""
        self._supervisor.worker_ended(self, reason)
        self.ended.callback(None)


class Supervisor(Service):
    """Run a number of workers.

    :param reactor: spawns processes and keeps time.
    :param listener: the listening socket.
    :param command: the child's command line.
    :param count: how many.
    :param internal: the listening socket of the internal port, if there is one.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        listener: socket.socket,
        command: Sequence[str],
        count: int,
        internal: socket.socket | None = None,
    ) -> None:
        self._reactor = reactor
        self._listeners = {LISTENER_FD: listener}
        if internal is not None:
            self._listeners[INTERNAL_FD] = internal
        self._command = list(command)
        self._count = count
        self._workers: dict[Worker, Any] = {}
        self._young_deaths = 0
        self._calls: set[Any] = set()

    def startService(self) -> None:
        """Start every worker."""
        super().startService()
        for number in range(self._count):
            self._spawn(number)

    def _spawn(self, number: int) -> None:
        worker = Worker(self, number, self._reactor.seconds())
        ports = {fd: listener.fileno() for fd, listener in self._listeners.items()}
        try:
            process = self._reactor.spawnProcess(
                worker,
                self._command[0],
                self._command,
                env=dict(os.environ),
                # Never written to: it ends when we do.
                childFDs={0: 0, 1: 1, 2: 2, PARENT_FD: "w", **ports},
            )
        except Exception as error:
            # Mostly a want of memory or processes, which passes.
            self._log.error(
                "Worker {number} could not be started: {error}; trying again in {pause:.1f} s",
                number=number,
                error=error,
                pause=self._spawn_later(number, young=True),
            )
            return
        self._workers[worker] = process
        # Once it has ended, the process object has forgotten its number.
        worker.pid = process.pid
        self._log.info("Started worker {number}, process {pid}", number=number, pid=worker.pid)

    def worker_ended(self, worker: Worker, reason: Failure) -> None:
        """Replace a worker that ended, unless all are to end."""
        del self._workers[worker]
        if not self.running:
            return
        young = self._reactor.seconds() - worker.born < YOUNG
        self._log.error(
            "Worker {number}, process {pid}, ended {how}; starting another in {pause:.1f} s",
            number=worker.number,
            pid=worker.pid,
            how="by itself" if reason.check(ProcessDone) else f"badly: {reason.value}",
            pause=self._spawn_later(worker.number, young),
        )

    def _spawn_later(self, number: int, young: bool) -> float:
        """Start a worker after a pause; return its length.

        :param young: whether the one before died young, or was not even born.
        """
        self._young_deaths = self._young_deaths + 1 if young else 0
        pause = min(LONGEST_PAUSE, 0.1 * 2 ** min(self._young_deaths, 16)) if young else 0.0

        def respawn() -> None:
            self._calls.discard(call)
            self._spawn(number)

        call = self._reactor.callLater(pause, respawn)
        self._calls.add(call)
        return pause

    def stopService(self) -> Deferred[Any]:
        """End every worker, and wait until they have."""
        super().stopService()
        for call in self._calls:
            call.cancel()
        self._calls.clear()
        self._signal("TERM")
        kill = self._reactor.callLater(STOP_TIME, self._signal, "KILL")
        ended = DeferredList([worker.ended for worker in self._workers])

        def done(result: Any) -> None:
            if kill.active():
                kill.cancel()
            for listener in self._listeners.values():
                listener.close()

        return ended.addCallback(done)

    def _signal(self, name: str) -> None:
        for process in list(self._workers.values()):
            try:
                process.signalProcess(name)
            except ProcessExitedAlready:
                continue


def worker_command(argv: Sequence[str]) -> list[str]:
    """Return the command line of a worker process.

    :param argv: the options that the parent was started with.
    """
    return [sys.executable, "-m", "glance.services.worker", *argv]
