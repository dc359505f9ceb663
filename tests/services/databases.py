"""Private PostgreSQL and MariaDB servers for tests, and an empty database for each test."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from tests.services.servers import Server, missing


class DatabaseServer(Server):
    """A server that gives every test a database of its own."""

    create_statement: ClassVar[str] = "CREATE DATABASE {}"
    drop_statement: ClassVar[str] = "DROP DATABASE {}"

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        raise NotImplementedError

    def execute(self, statement: str) -> None:
        """Run one statement as administrator; raises until the server answers."""
        raise NotImplementedError

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except Exception:
            return False
        return True

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database, give its URL, and drop it."""
        name = f"glance_{uuid4().hex[:12]}"
        self.execute(self.create_statement.format(name))
        try:
            yield self.url(name)
        finally:
            self.execute(self.drop_statement.format(name))


class PostgreSQL(DatabaseServer):
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


class MariaDB(DatabaseServer):
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
