"""Private servers for tests: how one is started, shared, stopped and cleaned up after.

A server runs on a free loopback port with its data in a temporary directory. The processes of one
test session (pytest-xdist starts several) share it: whoever comes first starts it, whoever is last
to leave stops it and removes its data. A test that wants to stop or freeze one has a twin of it for
itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

START_TIMEOUT = 60.0


def required() -> bool:
    """Say whether a missing server is a failure rather than a reason to skip."""
    return bool(os.environ.get("CI") or os.environ.get("GLANCE_REQUIRE_SERVICES"))


def missing(what: str, package: str) -> None:
    """Skip the test loudly, or fail it where servers are required."""
    text = f"{what} is not installed here: apt-get install {package}"
    if required():
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


class Server:
    """A server of the test session.

    :param directory: its own, the same in every process of the session; made and removed here.
    """

    name: ClassVar[str]
    #: Who it runs as where the tests run as root; empty: as root.
    account: ClassVar[str] = ""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def binaries(self) -> None:
        """Skip or fail when the server's programs are missing."""
        raise NotImplementedError

    def initialise(self) -> None:
        """Make what the data directory holds before the first start."""

    def command(self) -> list[str]:
        """Return the command line of the server."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Say whether the server does its work by now."""
        raise NotImplementedError

    def started(self, first: bool) -> None:
        """Do what remains to be done when the server answers.

        :param first: the data directory is new.
        """

    # Shared with the other processes of the session.

    def enter(self) -> None:
        """Use the session's server, starting it when nobody has."""
        self.binaries()
        with self._shared() as state:
            if not alive(state.get("pid", -1)):
                state.update(pid=self._start().pid, port=self.port, users=[])
            self.port = state["port"]
            state["users"] = [pid for pid in state["users"] if alive(pid)] + [os.getpid()]

    def leave(self) -> None:
        """Stop using the server; when nobody else does, stop it and remove its data."""
        with self._shared() as state:
            state["users"] = [pid for pid in state["users"] if alive(pid) and pid != os.getpid()]
            if not state["users"]:
                self._end(state["pid"])
                shutil.rmtree(self.directory)

    # For one test alone.

    @contextmanager
    def twin(self) -> Iterator[Self]:
        """Start another one that only the caller knows, and remove it in the end."""
        with tempfile.TemporaryDirectory(prefix=f"glance-{self.name}-") as directory:
            Path(directory).chmod(0o711)
            twin = self._twin(Path(directory))
            twin.binaries()
            twin.start()
            try:
                yield twin
            finally:
                twin.stop()

    def start(self) -> None:
        """Start a twin, or start it again with the same data on the same port."""
        self._process = self._start()

    def stop(self) -> None:
        """Stop a twin; its data stay."""
        if self._process is not None:
            self.thaw()
            self._end(self._process.pid)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let a twin answer nothing, though it can be connected to."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a twin go on."""
        self._signal(signal.SIGCONT)

    # Used by the kinds of servers.

    def run(self, command: list[str]) -> None:
        """Run a program to its end as the server's account."""
        with self.log.open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, **self._account())

    def _twin(self, directory: Path) -> Self:
        return type(self)(directory)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"this {self.name} is not running, or is shared"
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    @contextmanager
    def _shared(self) -> Iterator[dict[str, Any]]:
        """Lock the record of who uses the server; save it unless the server was removed."""
        with self._locked():
            record = self.directory / "state"
            state = json.loads(record.read_text()) if record.exists() else {}
            yield state
            if self.directory.exists():
                record.write_text(json.dumps(state))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.directory / "lock"
        while True:
            self.directory.mkdir(mode=0o711, exist_ok=True)
            with path.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Whoever had it before may have removed the directory.
                if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                    yield
                    return

    def _account(self) -> dict[str, Any]:
        """Return what makes a child run where, and as whom, the server accepts to."""
        common = {"cwd": "/", "stdin": subprocess.DEVNULL}
        if os.geteuid() != 0 or not self.account:
            return common
        user = pwd.getpwnam(self.account)
        return {**common, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _start(self) -> subprocess.Popen[bytes]:
        first = not self.data.exists()
        if first:
            self.data.mkdir(mode=0o700)
            if os.geteuid() == 0 and self.account:
                user = pwd.getpwnam(self.account)
                os.chown(self.data, user.pw_uid, user.pw_gid)
            self.initialise()
        self.port = self.port or free_port()
        with self.log.open("ab") as log:
            # Its own session: an interrupt of the tests must not stop it before they are done.
            process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, start_new_session=True, **self._account()
            )
        try:
            self._wait(lambda: process.poll() is not None or self.answers(), "did not answer")
            if process.poll() is not None:
                pytest.fail(f"{self.name} ended at its start:\n{self.log.read_text()[-2000:]}")
            self.started(first)
        except BaseException:
            process.kill()
            process.wait()
            if first:
                shutil.rmtree(self.data)
            raise
        return process

    def _end(self, pid: int) -> None:
        if alive(pid):
            os.kill(pid, self.stop_signal)
            self._wait(lambda: not alive(pid), "did not stop")

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name} {complaint}:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)
