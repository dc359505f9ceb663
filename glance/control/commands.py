"""The commands of ``glance-control``: what each does to one server, and to several.

Each says what it does and returns an exit code. A server that cannot be dealt with does not keep
the others from their turn; the worst exit code counts.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glance.control.errors import FAILED, OK, UNAVAILABLE, ControlError
from glance.control.pidfile import PidFile, Places
from glance.control.processes import Process, Sighting, State, look
from glance.control.servers import Server
from glance.control.starting import LIMIT_REFUSED, Child, Starter, describe_end, raise_limits

#: Seconds that a server has to finish what it has under way, and then to break it off.
DRAIN_TIME = 15.0
QUICK_TIME = 15.0
#: Seconds between two lines about a shutdown that takes long.
REMINDER = 10.0
#: Seconds within which a server that does not understand SIGHUP has ended by it.
RELOAD_LOOK = 0.5


@dataclass
class Control:
    """Carries commands out.

    :param starter: starts servers.
    :param places: where pid files are.
    :param say: tells the operator what happens.
    :param warn: tells the operator what went wrong.
    :param pid_file: the one to use instead of those in their places.
    :param config: the configuration file for servers.
    :param await_child: seconds to watch a server that came up.
    :param respawn: to stay and start again what ends unexpectedly.
    """

    starter: Starter
    places: Places
    say: Callable[[str], None]
    warn: Callable[[str], None]
    pid_file: Path | None = None
    config: Path | None = None
    await_child: float = 0
    respawn: bool = False
    _limits_raised: bool = False
    _several: bool = False

    def run(self, command: str, servers: Sequence[Server]) -> int:
        """Carry a command out.

        :param command: one of :data:`COMMANDS`.
        :param servers: which servers; one alone was asked for by its name.
        :returns: the exit code.
        """
        self._several = len(servers) > 1
        there = [server for server in servers if server.available()]
        for server in servers:
            if server not in there:
                tell = self.say if self._several else self.warn
                skipping = "Skipping " if self._several else ""
                tell(f"{skipping}{server.name}: {server.absence}.")
        if not there:
            return UNAVAILABLE
        return COMMANDS[command](self, there)

    def start_all(self, servers: Sequence[Server]) -> int:
        """Start servers; with ``respawn``, return when the last one has been stopped."""
        self.starter.check()
        return self._start(servers, OK)

    def _start(self, servers: Sequence[Server], worst: int) -> int:
        servers = [server for server in servers if self._is_wanted(server)]
        if not self.respawn:
            return max([worst, *self._each(self._start_one, servers)])
        from glance.control.respawn import Watcher

        watcher = Watcher(self.starter, self.config, self.say, self.warn)

        def start(server: Server) -> int:
            if not watcher.told_to_end() and (child := self._launch(server)):
                watcher.add(child)
            return OK

        with watcher.holding():
            results = self._each(start, servers)
            return max([worst, *results, watcher.run()])

    def _is_wanted(self, server: Server) -> bool:
        """Tell whether a server is to be started: one alone was asked for in so many words."""
        if not self._several or self.starter.has_work(server, self.config):
            return True
        self.say(f"Skipping {server.name}: [DEFAULT]{server.needs} is not set.")
        return False

    def stop_all(self, servers: Sequence[Server]) -> int:
        """Stop servers: after some time by breaking off what they have under way."""
        return max(self._each(self._stop, servers))

    def shutdown_all(self, servers: Sequence[Server]) -> int:
        """Stop servers when they have finished what is under way, however long it takes."""
        return max(self._each(self._shutdown, servers))

    def restart_all(self, servers: Sequence[Server]) -> int:
        """Stop servers, then start those that stopped; not those that could not be started."""
        self.starter.check()
        judged = self._each(self._judge, servers)
        fit = [server for server, code in zip(servers, judged, strict=True) if code == OK]
        for server in fit:
            self.say(f"Restarting {server.name}")
        codes = self._each(self._stop, fit)
        stopped = [server for server, code in zip(fit, codes, strict=True) if code == OK]
        return self._start(stopped, max([*judged, *codes]))

    def reload_all(self, servers: Sequence[Server]) -> int:
        """Have servers read their configuration again."""
        return max(self._each(self._reload, servers))

    def status_all(self, servers: Sequence[Server]) -> int:
        """Tell how servers stand."""
        return max(self._each(self._status, servers))

    def _each(self, do: Callable[[Server], int], servers: Sequence[Server]) -> list[int]:
        codes = []
        for server in servers:
            try:
                codes.append(do(server))
            except ControlError as error:
                self.warn(error.message)
                codes.append(FAILED)
        return codes

    # Pid files.

    def _file_to_write(self, server: Server) -> PidFile:
        return PidFile(self.pid_file or self.places.directory() / f"{server.name}.pid")

    def _file(self, server: Server) -> PidFile:
        return PidFile(self.pid_file or self.places.find(f"{server.name}.pid"))

    def _discard_stale(self, pid_file: PidFile, seen: Sighting) -> None:
        """Remove a stale pid file; that it cannot be is no failure, since it means nothing."""
        try:
            if pid_file.remove(seen.pid):
                self.say(f"Removing stale pid file {pid_file.path}: {seen.why}")
        except ControlError as error:
            self.warn(error.message)

    # One server.

    def _start_one(self, server: Server) -> int:
        child = self._launch(server)
        if child is None:
            return OK
        code = self._watch(child)
        child.close()
        return code

    def _launch(self, server: Server) -> Child | None:
        """Start a server and wait until it is up.

        :returns: None if it runs already.
        :raises ControlError: it does not come up.
        """
        pid_file = self._file_to_write(server)
        pid_file.prepare(0o700 if pid_file.path.parent == self.places.personal else 0o755)

        def waiting() -> None:
            self.say(f"Waiting for another glance-control that starts {server.name}")

        with pid_file.lock(waiting):
            seen = look(server.name, pid_file)
            if seen.process is not None:
                seen.process.close()
                self.say(f"{server.name} appears to already be running: {pid_file.path}")
                return None
            if seen.state is State.STALE:
                self.say(f"Removing stale pid file {pid_file.path}: {seen.why}")
                pid_file.discard()
            self._raise_limits()
            with_config = f" with {self.config}" if self.config else ""
            self.say(f"Starting {server.name}{with_config}")
            child = self.starter.start(server, pid_file, self.config)
            try:
                child.listen(None)
            except BaseException:
                # Whoever interrupts us does not want what is half started.
                child.put_down()
                raise
            if not child.up:
                raise ControlError(self._failure(child))
        self.say(f"{server.name} (pid {child.pid}) is up; pid file {pid_file.path}")
        return child

    def _raise_limits(self) -> None:
        """Raise our own limits, which servers inherit; once is enough."""
        if not self._limits_raised and not raise_limits():
            self.say(LIMIT_REFUSED)
        self._limits_raised = True

    def _failure(self, child: Child) -> str:
        """Say why a server did not come up, once it has ended."""
        code = child.put_down()
        told = f"{child.server.name} did not start: {describe_end(code)}."
        if child.complaint:
            told += f" {child.complaint}."
        if log_file := self.starter.log_file(child.server):
            told += f" It logs to {log_file} unless configured otherwise."
        return told

    def _watch(self, child: Child) -> int:
        """Watch a server that is up for a while; return its exit code if it ends meanwhile."""
        if not self.await_child or not child.wait(self.await_child):
            return OK
        code = child.exit_code()
        assert code is not None
        self.warn(f"{child.server.name} (pid {child.pid}) is up no more: {describe_end(code)}")
        # To end in order is no way for a daemon to start either.
        return (128 - code if code < 0 else code) or FAILED

    def _judge(self, server: Server) -> int:
        self.starter.check_configuration(server, self.config)
        return OK

    def _stop(self, server: Server) -> int:
        return self._end(server, self._insist)

    def _shutdown(self, server: Server) -> int:
        return self._end(server, self._be_patient)

    def _end(self, server: Server, wait: Callable[[Server, Process], bool]) -> int:
        """End a server with SIGTERM.

        :param wait: waits for its end; returns whether it has come.
        """
        pid_file = self._file(server)
        seen = look(server.name, pid_file)
        if seen.process is None:
            self.say(f"{server.name} is already stopped")
            if seen.state is State.STALE:
                self._discard_stale(pid_file, seen)
            return OK
        with seen.process as process:
            self._signal("Stopping", server, process, signal.SIGTERM)
            if not wait(server, process):
                self.warn(f"{server.name} (pid {process.pid}) is still running / giving up")
                return FAILED
        # It does so itself, if it ended in order.
        pid_file.remove(process.pid)
        return OK

    def _insist(self, server: Server, process: Process) -> bool:
        if process.wait(DRAIN_TIME):
            return True
        self.say(
            f"{server.name} (pid {process.pid}) still has work under way after {DRAIN_TIME:g} s; "
            "breaking it off"
        )
        self._signal("Stopping", server, process, signal.SIGINT)
        return process.wait(QUICK_TIME)

    def _be_patient(self, server: Server, process: Process) -> bool:
        waited = 0.0
        while not process.wait(REMINDER):
            waited += REMINDER
            self.say(
                f"{server.name} (pid {process.pid}) is finishing what it has under way, "
                f"{waited:g} s now"
            )
        return True

    def _reload(self, server: Server) -> int:
        if not server.reloadable:
            raise ControlError(f"Reload of {server.name} not supported")
        seen = look(server.name, self._file(server))
        if seen.process is None:
            raise ControlError(f"Server {server.name} is stopped")
        with seen.process as process:
            self._signal("Reloading", server, process, signal.SIGHUP)
            if process.wait(RELOAD_LOOK):
                raise ControlError(f"{server.name} (pid {process.pid}) ended instead of reloading")
        return OK

    def _signal(self, doing: str, server: Server, process: Process, number: signal.Signals) -> None:
        self.say(f"{doing} {server.name} (pid {process.pid}) with signal({number.value})")
        if not process.signal(number):
            self.say(f"Process {process.pid} not running")

    def _status(self, server: Server) -> int:
        pid_file = self._file(server)
        seen = look(server.name, pid_file)
        if seen.process is not None:
            seen.process.close()
            self.say(f"{server.name} (pid {seen.pid}) is running...")
            return OK
        self.say(f"{server.name} is stopped")
        if seen.state is State.STALE:
            self.say(f"Stale pid file {pid_file.path}: {seen.why}")
        return OK


COMMANDS: dict[str, Callable[[Control, Sequence[Server]], int]] = {
    "start": Control.start_all,
    "status": Control.status_all,
    "stop": Control.stop_all,
    "shutdown": Control.shutdown_all,
    "restart": Control.restart_all,
    "reload": Control.reload_all,
    "force-reload": Control.reload_all,
}
