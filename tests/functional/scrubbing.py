"""The scrubber as a child process, beside a service whose catalogue and store it works on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.functional.server import PATIENCE, Server


class Scrubber:
    """Starts ``glance-scrubber`` with the configuration of a service.

    :param server: the service; it need not run.
    :param settings: options of ``[DEFAULT]`` beside those of the service.
    """

    def __init__(self, server: Server, settings: Mapping[str, object] | None = None) -> None:
        self.server = server
        self.settings = dict(settings or {})

    def environment(self) -> dict[str, str]:
        own = {f"OS_DEFAULT__{key.upper()}": str(value) for key, value in self.settings.items()}
        return {**self.server._env, **own}

    def start(self, *arguments: str, program: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start it; with ``program``, under something else."""
        command = program or (sys.executable, "-m", "glance.cmd.scrubber")
        return subprocess.Popen(
            [*command, "--state-dir", str(self.server.state), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
            cwd=self.server.home,
            text=True,
        )

    def run(
        self, *arguments: str, program: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*arguments, program=program)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"the scrubber did not end: {process.communicate()}") from None
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class Catalogue:
    """The rows of a service's SQLite database."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.path = server.state / "glance.sqlite"

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def status(self, image_id: str) -> str:
        return str(self.query("SELECT status FROM images WHERE id = ?", image_id)[0][0])

    def locations(self, image_id: str) -> list[str]:
        rows = self.query("SELECT status FROM image_locations WHERE image_id = ?", image_id)
        return [row[0] for row in rows]

    def leases(self) -> list[tuple[Any, ...]]:
        return self.query("SELECT image_id, kind FROM transfer_leases")

    def count(self, status: str) -> int:
        return int(self.query("SELECT count(*) FROM images WHERE status = ?", status)[0][0])

    def make_pending(
        self, count: int, directory: Path | None = None, age: float = 3600.0
    ) -> list[str]:
        """Make images whose data, a few bytes each, waits for the scrubber."""
        place = directory or self._server.images
        place.mkdir(parents=True, exist_ok=True)
        then = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=age)
        at = then.strftime("%Y-%m-%d %H:%M:%S.%f")
        ids = [str(uuid.uuid4()) for _ in range(count)]
        for image_id in ids:
            (place / image_id).write_bytes(b"data")
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection, connection:
            connection.executemany(
                "INSERT INTO images (id, status, size, visibility, min_disk, min_ram, protected, "
                "os_hidden, created_at, updated_at, deleted_at, deleted) VALUES "
                "(?, 'pending_delete', 4, 'shared', 0, 0, 0, 0, ?, ?, ?, 1)",
                [(image_id, at, at, at) for image_id in ids],
            )
            connection.executemany(
                "INSERT INTO image_locations (image_id, value, meta_data, status, created_at, "
                'updated_at, deleted_at, deleted) VALUES (?, ?, \'{"store": "file"}\', '
                "'pending_delete', ?, ?, ?, 1)",
                [(image_id, f"file://{place}/{image_id}", at, at, at) for image_id in ids],
            )
        return ids


#: ``twistd`` of the tests' own environment, in the foreground.
TWISTD = (
    shutil.which("twistd", path=os.path.dirname(sys.executable)) or "twistd",
    "--nodaemon",
    "--pidfile=",
    "glance-scrubber",
)
