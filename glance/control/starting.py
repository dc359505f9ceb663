"""Starting a server's process, and hearing how its start went.

The process is a child of ours in a session of its own, running :mod:`glance.control.twistd`. When
we end it is nobody's child and goes on; until then its end, with exit code, is ours to see.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import glance
from glance.config import load
from glance.config.programs import PROGRAMS
from glance.control import OUTPUT_FD, STATUS_FD
from glance.control.errors import ControlError
from glance.control.pidfile import PidFile, Places
from glance.control.processes import Process
from glance.control.servers import Server
from glance.domain.errors import ConfigError

#: Open files that a server may have.
OPEN_FILES = 32768

#: Seconds that a server whose start failed has to end.
END_TIME = 15.0

LIMIT_REFUSED = "Unable to increase file descriptor limit.  Running as non-root?"


class Child:
    """A process that was started here.

    :param server: what it is.
    :param pid_file: where it writes its number.
    :param popen: the process.
    :param status: the end of a pipe on which its start is reported.
    """

    def __init__(
        self, server: Server, pid_file: PidFile, popen: subprocess.Popen[bytes], status: int
    ) -> None:
        self.server = server
        self.pid_file = pid_file
        self.pid = popen.pid
        #: Whether it came up; None while nobody knows.
        self.up: bool | None = None
        #: What it said of a start that failed, besides what stands on standard error.
        self.complaint = ""
        self._popen = popen
        self._said = b""
        self._status = status
        # It is not buried yet, so the number is still its own.
        self._process = Process(self.pid, os.pidfd_open(self.pid))

    def descriptors(self) -> list[int]:
        """Return what becomes readable when there is news."""
        return [self._process.fileno(), *([self._status] if self.up is None else [])]

    def listen(self, timeout: float | None = 0) -> bool | None:
        """Hear how its start goes.

        :param timeout: seconds to wait for news; None: for ever.
        :returns: :attr:`up`.
        """
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        while self.up is None and poll.poll(None if timeout is None else timeout * 1000):
            piece = os.read(self._status, 1024)
            self._said += piece
            if self._said.startswith(b"0") or not piece:
                self.up = self._said.startswith(b"0")
                self.complaint = self._said[2:].decode(errors="replace").strip()
                os.close(self._status)
        return self.up

    def exit_code(self) -> int | None:
        """Return how it ended, negative for a signal; None while it runs."""
        return self._popen.poll()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended.

        :param timeout: seconds; None: for ever.
        :returns: whether it has.
        """
        return self._process.wait(timeout) and self._popen.wait() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        self._process.signal(number)

    def put_down(self) -> int:
        """See that a start that failed, or was interrupted, leaves nothing behind.

        For the holder of the lock on its pid file.

        :returns: how it ended, negative for a signal.
        """
        if self.up is None:
            self.signal(signal.SIGTERM)
        if not self.wait(END_TIME):
            self.signal(signal.SIGKILL)
            self.wait()
        if self.pid_file.read() == self.pid:
            self.pid_file.discard()
        code = self._popen.wait()
        self.close()
        return code

    def close(self) -> None:
        """Let go of it; it may run on."""
        self._process.close()
        if self.up is None:
            os.close(self._status)
            self.up = False


@dataclass(frozen=True)
class Starter:
    """Starts servers, all in the same way.

    :param logs: where the log of a server goes whose configuration does not say; None: the
        arguments say where.
    :param arguments: options that every server gets.
    :param capture: whether to send output to syslog.
    """

    logs: Places | None
    arguments: Sequence[str] = ()
    capture: bool = False
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def check(self) -> None:
        """Check that servers can be started.

        :raises ControlError: a program is missing.
        """
        if self.capture and shutil.which("logger") is None:
            raise ControlError("--capture-output needs the program 'logger', which is not there.")

    def check_configuration(self, server: Server, config: Path | None) -> None:
        """Check that a server would not refuse its options, as far as files and values go.

        :raises ControlError: it would.
        """
        if server.name not in PROGRAMS:
            return
        try:
            load(server.name, self.options(server, config))
        except ConfigError as error:
            raise ControlError(f"{server.name} is left as it is: {error.message}") from None

    def has_work(self, server: Server, config: Path | None) -> bool:
        """Tell whether there is anything for a server to do, as far as its configuration tells."""
        if not server.needs:
            return True
        try:
            loaded = load(server.name, self.options(server, config))
        except ConfigError:
            # It says so itself.
            return True
        return bool(loaded.conf[server.needs])

    def log_file(self, server: Server) -> Path | None:
        """Return where a server logs to unless it is configured to log elsewhere."""
        return self.logs.directory() / f"{server.name}.log" if self.logs else None

    def command(self, server: Server, pid_file: Path, config: Path | None) -> list[str]:
        """Return the command line of a server.

        :param config: its configuration file, unless it is to find its own.
        """
        log_file = self.log_file(server)
        return [
            sys.executable,
            # What lies in the directory that we happen to be in is not ours to run.
            "-P",
            "-m",
            "glance.control.twistd",
            f"--pidfile={pid_file}",
            *([f"--logfile={log_file}"] if log_file else []),
            server.name,
            *self.options(server, config),
        ]

    def options(self, server: Server, config: Path | None) -> list[str]:
        """Return a server's own part of its command line; parameters as of :meth:`command`."""
        return [
            *server.arguments,
            *([f"--config-file={config}"] if config else []),
            *self.arguments,
        ]

    def start(self, server: Server, pid_file: PidFile, config: Path | None) -> Child:
        """Start a server; whether it comes up is yet to be heard.

        :raises ControlError: no process can be started.
        """
        if log_file := self.log_file(server):
            with contextlib.suppress(OSError):
                # Whether it is needed, only the server's configuration knows; it complains if so.
                log_file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        environment = {**self.environment, **import_environment(self.environment)}
        hearing, telling = os.pipe()
        environment[STATUS_FD] = str(telling)
        ends = [telling]
        if self.capture:
            reading, writing = os.pipe()
            environment[OUTPUT_FD] = str(writing)
            ends += [writing, reading]
        try:
            popen = subprocess.Popen(
                self.command(server, pid_file.path, config),
                stdin=subprocess.DEVNULL,
                pass_fds=ends[:2],
                start_new_session=True,
                env=environment,
            )
            if self.capture:
                capture(f"{server.name}[{popen.pid}]", reading)
        except OSError as error:
            os.close(hearing)
            raise ControlError(f"{server.name} cannot be started: {error.strerror}.") from None
        finally:
            for descriptor in ends:
                os.close(descriptor)
        return Child(server, pid_file, popen, hearing)


def describe_end(code: int) -> str:
    """Say how a process ended.

    :param code: its exit code, negative for a signal.
    """
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def capture(tag: str, reading: int) -> None:
    """Send what comes out of a pipe to syslog, for as long as something comes.

    :param tag: what each line is marked with.
    """
    with contextlib.suppress(OSError):
        # Without it the output is lost, which is no reason to go without the server.
        subprocess.Popen(
            ["logger", "-t", tag],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # It is to outlive us, whatever the terminal does.
            start_new_session=True,
        )


def import_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return what lets a process find this package where we found it.

    Run from a clone, that is the directory we are in, where a process and its workers do not look:
    they are told not to.
    """
    root = str(Path(glance.__file__).resolve().parents[1])
    found = {"PYTHONSAFEPATH": "1"}
    if sys.path and os.path.realpath(sys.path[0] or ".") == root:
        paths = [root, environment.get("PYTHONPATH", "")]
        found["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return found


def raise_limits(
    get: Callable[[int], tuple[int, int]] = resource.getrlimit,
    put: Callable[[int, tuple[int, int]], None] = resource.setrlimit,
) -> bool:
    """Let servers have many files open; never lower what is allowed.

    :returns: whether they can have :data:`OPEN_FILES`.
    """
    which = resource.RLIMIT_NOFILE
    soft, hard = get(which)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        return True
    enough = hard == resource.RLIM_INFINITY or hard >= OPEN_FILES
    try:
        put(which, (OPEN_FILES, hard if enough else OPEN_FILES))
    except (OSError, ValueError):
        # At least all that there is.
        with contextlib.suppress(OSError, ValueError):
            put(which, (hard, hard))
        return False
    return True
