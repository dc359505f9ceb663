"""Private PostgreSQL and MariaDB servers for tests, and an empty database for each test.

A server runs on a free loopback port with its data in a temporary directory. The processes of one
test session (pytest-xdist starts several) share it: whoever comes first starts it, whoever is last
to leave stops it and removes its data.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

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
    """A database server of the test session.

    :param directory: its own, the same in every process of the session; made and removed here.
    """

    name: ClassVar[str]
    account: ClassVar[str]
    create_statement: ClassVar[str] = "CREATE DATABASE {}"
    drop_statement: ClassVar[str] = "DROP DATABASE {}"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.port = 0

    def binaries(self) -> None:
        """Skip or fail when the server's programs are missing."""
        raise NotImplementedError

    def initialise(self) -> None:
        """Make the data directory."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return the command line of the server."""
        raise NotImplementedError

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        raise NotImplementedError

    def execute(self, statement: str) -> None:
        """Run one statement as administrator; raises until the server answers."""
        raise NotImplementedError

    def enter(self) -> None:
        """Use the session's server, starting it when nobody has."""
        self.binaries()
        with self._shared() as state:
            if not alive(state.get("pid", -1)):
                state.update(pid=self._start(), port=self.port, users=[])
            self.port = state["port"]
            state["users"] = [pid for pid in state["users"] if alive(pid)] + [os.getpid()]

    def leave(self) -> None:
        """Stop using the server; when nobody else does, stop it and remove its data."""
        with self._shared() as state:
            state["users"] = [pid for pid in state["users"] if alive(pid) and pid != os.getpid()]
            if not state["users"]:
                self._stop(state["pid"])

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database, give its URL, and drop it."""
        name = f"glance_{uuid4().hex[:12]}"
        self.execute(self.create_statement.format(name))
        try:
            yield self.url(name)
        finally:
            self.execute(self.drop_statement.format(name))

    def run(self, command: list[str]) -> None:
        """Run a program to its end as the server's account."""
        with self.log.open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, **self._account())

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
        """Return what makes a child run where, and as whom, a database server accepts to."""
        common = {"cwd": "/", "stdin": subprocess.DEVNULL}
        if os.geteuid() != 0:
            return common
        user = pwd.getpwnam(self.account)
        return {**common, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _start(self) -> int:
        if not self.data.exists():
            self.data.mkdir(mode=0o700)
            if os.geteuid() == 0:
                shutil.chown(self.data, self.account, self.account)
            self.initialise()
        self.port = free_port()
        with self.log.open("ab") as log:
            # Its own session: an interrupt of the tests must not stop it before they are done.
            process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, start_new_session=True, **self._account()
            )
        self._wait(lambda: process.poll() is not None or self._answers(), "did not answer")
        if process.poll() is not None:
            pytest.fail(f"{self.name} ended at its start:\n{self.log.read_text()[-2000:]}")
        return process.pid

    def _stop(self, pid: int) -> None:
        if alive(pid):
            os.kill(pid, self.stop_signal)
            self._wait(lambda: not alive(pid), "did not stop")
        shutil.rmtree(self.directory)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except Exception:
            return False
        return True

    def _wait(self, condition: Any, complaint: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name} {complaint}:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)


class PostgreSQL(Server):
    """PostgreSQL without durability."""

    name = "postgresql"
    account = "postgres"
    # The checkpoint-based copy of a template is the faster one for a server that never syncs.
    create_statement = "CREATE DATABASE {} STRATEGY file_copy"
    drop_statement = "DROP DATABASE {} WITH (FORCE)"
    # Does not wait for clients to leave.
    stop_signal = signal.SIGINT

    def binaries(self) -> None:
        installed = sorted(
            Path("/usr/lib/postgresql").glob("*/bin/postgres"),
            key=lambda path: float(path.parts[-3]),
        )
        found = str(installed[-1]) if installed else shutil.which("postgres")
        if not found:
            missing("PostgreSQL", "postgresql")
        self.bin = Path(str(found)).parent

    def initialise(self) -> None:
        options = ["-A", "trust", "-U", "glance", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run([str(self.bin / "initdb"), "-D", str(self.data), *options])

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 100,
        }
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(self.bin / "postgres"), "-D", str(self.data), *flags]

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://glance@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="glance", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)


class MariaDB(Server):
    """MariaDB without durability."""

    name = "mariadb"
    account = "mysql"
    create_statement = "CREATE DATABASE {} CHARACTER SET utf8mb3"

    def binaries(self) -> None:
        if not shutil.which("mariadb-install-db"):
            missing("MariaDB", "mariadb-server")
        self.program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"

    def initialise(self) -> None:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", *options])

    def command(self) -> list[str]:
        return [
            self.program,
            "--no-defaults",
            f"--datadir={self.data}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.data}/s",
            f"--pid-file={self.data}/pid",
            "--character-set-server=utf8mb3",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-flush-method=nosync",
            "--debug-no-sync",
            "--sync-frm=0",
            "--innodb-fast-shutdown=2",
            "--skip-name-resolve",
        ]

    def url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        import pymysql

        with pymysql.connect(host="127.0.0.1", port=self.port, user="root") as connection:
            connection.cursor().execute(statement)
