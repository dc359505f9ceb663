"""Who a process number belongs to, and signals that reach nobody else.

A number in a file is only a number: the process may have ended and another program have been given
it. So a process is taken hold of by a descriptor (:manpage:`pidfd_open(2)`) before its command line
is looked at, and is signalled through the same descriptor. In between its number cannot come to
mean another one.

The time at which a process began is not looked at: it cannot be compared with a file's time where a
clock was set, and a command line that names the same pid file leaves no doubt.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from glance.control.errors import ControlError
from glance.control.pidfile import PidFile

#: How ``twistd`` is called in a command line; the second is our own way of running it.
_TWISTD = ("twistd", "glance.control.twistd")
_INTERPRETER = re.compile(r"(python|pypy)[\d.]*")
#: Options of the interpreter that take a value of their own.
_INTERPRETER_OPTIONS = ("-W", "-X")


class Process:
    """A process that was running when it was taken hold of.

    :param pid: its number.
    :param descriptor: made by ``pidfd_open``.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """Take hold of a process; None if there is no such one."""
        try:
            return cls(pid, os.pidfd_open(pid))
        except (OSError, OverflowError) as error:
            if getattr(error, "errno", None) in (errno.ENOSYS, errno.EPERM):
                raise ControlError(
                    "The kernel gives no descriptors of processes (pidfd_open); Linux 5.3 or newer "
                    "is needed."
                ) from None
            return None

    def fileno(self) -> int:
        """Return the descriptor, which becomes readable when the process ends."""
        return self._descriptor

    def ended(self) -> bool:
        """Tell whether it has ended."""
        return self.wait(0)

    def wait(self, timeout: float | None) -> bool:
        """Wait until it has ended.

        :param timeout: seconds; None: for ever.
        :returns: whether it has.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal.

        :returns: False if it has ended.
        :raises ControlError: it may not be signalled.
        """
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise ControlError(
                f"Process {self.pid} belongs to another user; you may not signal it."
            ) from None
        return True

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class State(Enum):
    """How a server stands, going by its pid file."""

    STOPPED = "stopped"
    STALE = "stale"
    RUNNING = "running"


@dataclass(frozen=True)
class Sighting:
    """What there is of a server.

    :param pid: what its pid file says.
    :param process: the process, if it is running.
    :param why: why its pid file is stale.
    """

    state: State
    pid: int = 0
    process: Process | None = None
    why: str = ""


def look(name: str, pid_file: PidFile, proc: Path = Path("/proc")) -> Sighting:
    """Find out how a server stands.

    :param name: its name for ``twistd``.
    :param proc: where the kernel tells about processes.
    :raises PidFileError: its pid file cannot be used.
    :raises ControlError: there is a process, and we may not know which.
    """
    pid = pid_file.read()
    if pid is None:
        return Sighting(State.STOPPED)
    if pid == 0:
        return Sighting(State.STALE, why="it is empty")
    process = Process.find(pid)
    if process is None:
        return Sighting(State.STALE, pid, why=f"process {pid} is not running")
    argv = _command_line(proc / str(pid))
    if process.ended():
        process.close()
        return Sighting(State.STALE, pid, why=f"process {pid} is not running")
    if argv is None:
        process.close()
        raise ControlError(
            f"Whether process {pid} is {name} cannot be told: the system hides other users' "
            "processes. Try again as its user or as root."
        )
    if not serves(argv, name, pid_file.path, _directory(proc / str(pid))):
        process.close()
        other = os.path.basename(argv[0]) if argv else "of the kernel"
        return Sighting(State.STALE, pid, why=f"process {pid} is another program now ({other})")
    return Sighting(State.RUNNING, pid, process)


def _command_line(directory: Path) -> list[str] | None:
    """Return a process's command line; None if it cannot be seen."""
    try:
        text = (directory / "cmdline").read_bytes()
    except OSError:
        return None
    return [os.fsdecode(word) for word in text.split(b"\0")[:-1]]


def _directory(directory: Path) -> str | None:
    """Return the directory that a process works in; None if it cannot be seen."""
    try:
        return os.readlink(directory / "cwd")
    except OSError:
        return None


def serves(argv: Sequence[str], name: str, pid_file: Path, directory: str | None) -> bool:
    """Tell by a command line whether a process is a certain server.

    It is if it runs ``twistd`` with that server and that pid file, or the server's own program.

    :param argv: the command line, the program included.
    :param name: the server's name for ``twistd``.
    :param directory: what a relative path in the command line is relative to, if that is known.
    """
    program, words = split(argv)
    if program == name:
        return True
    if program not in _TWISTD or name not in words:
        return False
    written = _pid_file(words[: words.index(name)])
    if directory is None and not os.path.isabs(written):
        return os.path.basename(written) == pid_file.name
    return os.path.realpath(os.path.join(directory or "/", written)) == os.path.realpath(pid_file)


def split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return which program a command line runs, below an interpreter too, and with what."""
    words = list(argv)
    if not words:
        return "", []
    program = os.path.basename(words.pop(0))
    if not _INTERPRETER.fullmatch(program):
        return program, words
    while words:
        word = words.pop(0)
        if word == "-m" and words:
            return words.pop(0), words
        if word == "-c":
            break
        if word in _INTERPRETER_OPTIONS:
            del words[:1]
        elif not word.startswith("-"):
            return os.path.basename(word), words
    return "", words


def _pid_file(words: Sequence[str]) -> str:
    """Return the pid file that options of ``twistd`` name; like it, understand shortened names."""
    found = "twistd.pid"
    for position, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option.startswith("--pi") and "--pidfile".startswith(option):
            found = value if equals else "".join(words[position + 1 : position + 2])
    return found
