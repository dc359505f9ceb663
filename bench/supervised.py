"""A service of this tree's own, started here and looked after as a service manager does."""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

#: Seconds that a start, a reload or a stop may take.
PATIENCE = 180.0

ROOT = Path(__file__).resolve().parents[1]


class ServiceError(Exception):
    """The service did not do what it was told to."""


def children(pid: int) -> list[int]:
    """Return the children of a process, in the order of their numbers."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))) is not None and stat[1] == pid:
            found.append(int(entry))
    return sorted(found)


def _stat(pid: int) -> tuple[str, int] | None:
    """Return the state and the parent of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open, those of SQLite's file left out.

    SQLite keeps them for the next connection as long as there is any other (closing one would drop
    the locks of all), so their number says how many connections there were at a time.
    """
    return sum(not target.endswith(".sqlite") for target in _targets(pid))


def _targets(pid: int) -> list[str]:
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def peers(pid: int) -> set[int]:
    """Return the ports at the other end of a process's TCP connections."""
    ours = set(_targets(pid))
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        column = line.split()
        if f"socket:[{column[9]}]" in ours:
            found.add(int(column[2].rsplit(":", 1)[1], 16))
    return found


class Service:
    """``glance-api`` with a directory of its own.

    :param workers: how many; 0 for one process that does it all.
    :param database: URL of its database; without one it makes a SQLite file.
    :param options: more of its configuration, by the names of environment variables; ``{home}``
        stands for its directory.
    :param folder: where its directory is to be.
    """

    def __init__(
        self,
        workers: int,
        database: str | None = None,
        options: Mapping[str, object] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.workers = workers
        self._keep = False
        self.home = Path(tempfile.mkdtemp(prefix="bench-service-", dir=folder))
        self.images = self.home / "state" / "images"
        self.log = self.home / "log"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(self.home / "notify"))
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "XDG_"))}
        env |= {
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            # Interrupted work is to be found while one waits for it.
            "OS_DEFAULT__TRANSFER_HEARTBEAT_INTERVAL": "2",
        }
        for name, value in (options or {}).items():
            env[name] = str(value).replace("{home}", str(self.home))
        if database is not None:
            env["OS_DATABASE__CONNECTION"] = database
        #: What other programs need to know to work on the same catalogue and cache.
        self.environment = env
        command = [sys.executable, "-m", "glance.cmd.api", "--state-dir", str(self.home / "state")]
        command += ["--bind-port", "0", "--workers", str(workers), "--log-file", str(self.log)]
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            command = ["env", "--default-signal=INT", *command]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            env=env | {"NOTIFY_SOCKET": str(self.home / "notify")},
            cwd=self.home,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        match = re.search(r"serves http://127\.0\.0\.1:(\d+)", line)
        if match is None:
            self.close()
            raise ServiceError(f"the service did not start: {line}")
        self.port = int(match[1])
        self.await_ready()

    def __enter__(self) -> "Service":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def await_ready(self) -> str:
        """Wait until the service says that it serves; return its status line."""
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._manager], [], [], left)[0]:
                lines = self._manager.recv(4096).decode().split("\n")
                if "READY=1" in lines:
                    return lines[-1].removeprefix("STATUS=")
        raise ServiceError("the service never said that it was ready")

    def reload(self) -> None:
        """Have the configuration read anew, and wait until that is done."""
        os.kill(self.pid, signal.SIGHUP)
        status = self.await_ready()
        if "given up" in status:
            raise ServiceError(f"a reload failed: {status}; {self.last_errors()}")

    def generations(self) -> list[int]:
        """Return the processes that workers are made from, one of each generation."""
        return children(self.pid)

    def worker_pids(self) -> list[int]:
        """Return the worker processes of all generations."""
        return [pid for template in self.generations() for pid in children(template)]

    def tree(self) -> list[int]:
        """Return every process."""
        templates = self.generations()
        return [self.pid, *templates, *(pid for t in templates for pid in children(t))]

    @property
    def processes(self) -> int:
        """How many there are to be when nothing is going on."""
        return 1 + (1 + self.workers if self.workers else 0)

    def settle(self) -> bool:
        """Wait until one generation is left with all of its workers; tell whether it came to it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if len(self.tree()) == self.processes and len(self.worker_pids()) == self.workers:
                return True
            time.sleep(0.1)
        return False

    def stop(self) -> int | None:
        """End it gracefully; return its exit code, ``None`` if it does not end."""
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def last_errors(self) -> list[str]:
        """Return the last errors of the log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if " ERROR " in line or " CRITICAL " in line][-5:]

    def keep(self) -> Path:
        """Leave its directory there when all is over; return it."""
        self._keep = True
        return self.home

    def close(self) -> None:
        """End it whatever it does, and remove its directory."""
        if self._process.poll() is None:
            # Workers would outlive it for a while.
            for pid in self.tree():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._manager.close()
        if not self._keep:
            shutil.rmtree(self.home, ignore_errors=True)
