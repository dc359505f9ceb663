"""The image cache's programs as child processes, beside a service whose cache they work on."""

from __future__ import annotations

import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from tests.functional.server import PATIENCE, Server

CLEANER = (sys.executable, "-m", "glance.cmd.cache_cleaner")
PRUNER = (sys.executable, "-m", "glance.cmd.cache_pruner")
PREFETCHER = (sys.executable, "-m", "glance.cmd.cache_prefetcher")
SERVICE = (sys.executable, "-m", "glance.cmd.cache")
#: The service below ``twistd`` of the tests' own environment, in the foreground.
TWISTD = (
    shutil.which("twistd", path=os.path.dirname(sys.executable)) or "twistd",
    "--nodaemon",
    "--pidfile=",
    "glance-cache",
)

#: As the OpenStack Glance project's service makes it.
_TABLE = (
    "CREATE TABLE cached_images (image_id TEXT PRIMARY KEY, last_accessed REAL DEFAULT 0.0, "
    "last_modified REAL DEFAULT 0.0, size INTEGER DEFAULT 0, hits INTEGER DEFAULT 0, checksum TEXT)"
)


class Node:
    """A node's cache, seen from inside, and what works on it.

    :param server: the service; it need not run.
    :param place: the cache's directory.
    """

    def __init__(self, server: Server, place: Path) -> None:
        self.server = server
        self.place = place
        server.configure({"DEFAULT": {"image_cache_dir": place}})

    # Programs.

    def start(
        self, program: tuple[str, ...], *arguments: str, **settings: object
    ) -> subprocess.Popen[str]:
        """Start a program with the service's configuration.

        :param settings: options of ``[DEFAULT]`` beside those.
        """
        return self._popen([*program, "--state-dir", str(self.server.state), *arguments], settings)

    def _popen(self, command: list[str], settings: Mapping[str, object]) -> subprocess.Popen[str]:
        own = {f"OS_DEFAULT__{key.upper()}": str(value) for key, value in settings.items()}
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.server._env, **own},
            cwd=self.server.home,
            text=True,
        )

    def run(self, program: tuple[str, ...], *arguments: str, **settings: object) -> Done:
        """Run a program to its end."""
        return finish(self.start(program, *arguments, **settings))

    def run_on_terminal(self, program: tuple[str, ...], **settings: object) -> tuple[int, str]:
        """Run a program to its end; return its exit code and all that the terminal got."""
        own = {f"OS_DEFAULT__{key.upper()}": str(value) for key, value in settings.items()}
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*program, "--state-dir", str(self.server.state)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**self.server._env, **own},
            cwd=self.server.home,
        )
        os.close(theirs)
        said = b""
        # It ends with an error, as terminals do.
        with suppress(OSError):
            while piece := os.read(ours, 4096):
                said += piece
        os.close(ours)
        return process.wait(PATIENCE), said.decode()

    # The directory.

    def make(self) -> None:
        """Make the directory as the OpenStack Glance project's service leaves it."""
        for name in ("", "incomplete", "invalid", "queue"):
            (self.place / name).mkdir(parents=True, exist_ok=True)

    def write(self, image_id: str, data: bytes, where: str = "", age: float = 0.0) -> Path:
        """Put a file into the cache, as if it had been written some seconds ago."""
        path = self.place / where / image_id
        path.write_bytes(data)
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    def adopt(self, entries: Mapping[str, tuple[float, int, int]]) -> None:
        """Write an index as the OpenStack Glance project's service does.

        :param entries: last access, size and hits, by image.
        """
        with closing(sqlite3.connect(self.place / "cache.db")) as database, database:
            database.execute(_TABLE)
            database.executemany(
                "INSERT INTO cached_images (image_id, last_accessed, last_modified, size, hits) "
                "VALUES (?, ?, 0.0, ?, ?)",
                [(image_id, *values) for image_id, values in entries.items()],
            )

    def queue(self, *image_ids: str) -> None:
        """Wish for images, each a second after the one before, as is done by hand."""
        now = time.time() - len(image_ids)
        for number, image_id in enumerate(image_ids):
            path = self.place / "queue" / image_id
            path.touch()
            os.utime(path, (now + number, now + number))

    def listed(self, where: str = "") -> list[str]:
        """Return the images that there is a file of."""
        return sorted(name for name in os.listdir(self.place / where) if name.count("-") == 4)

    def indexed(self) -> list[str]:
        """Return the images that the index of the driver ``sqlite`` knows."""
        with closing(sqlite3.connect(self.place / "cache.db", timeout=PATIENCE)) as database:
            rows = database.execute("SELECT image_id FROM cached_images ORDER BY image_id")
            return [row[0] for row in rows]


Done = subprocess.CompletedProcess[str]


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for the end of a program; it must show no traceback."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it did not end: {process.communicate()}") from None
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
