"""The index in a SQLite file of the cache's directory, which all processes of the node share.

The file is that of the OpenStack Glance project's service: it is adopted as it is and can be
handed back. So it stays in the mode in which it was made, with a rollback journal: what WAL would
add are two files beside it that must not be forgotten when it is copied or removed, and changes as
small and as rare as these gain nothing from it.

A file that is broken costs the statistics in it and nothing else: it is set aside, and a new one is
begun, also by processes that have the broken one open.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from glance.cache.index_threads import IndexThreads, JobThreads
from glance.cache.interfaces import ICacheIndex
from glance.cache.layout import CacheDirectory
from glance.domain.caching import CachedImage
from glance.domain.errors import ConfigError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that SQLite waits for another process each time, how often, and the pause in between.
BUSY_TIMEOUT: Final = 2.0
TRIES: Final = 3
PAUSE: Final = 0.05

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS cached_images (
    image_id TEXT PRIMARY KEY,
    last_accessed REAL DEFAULT 0.0,
    last_modified REAL DEFAULT 0.0,
    size INTEGER DEFAULT 0,
    hits INTEGER DEFAULT 0,
    checksum TEXT
)
"""
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'cached_images'"
# Columns may hold anything in SQLite, NULL to begin with.
_ENTRIES: Final = """
SELECT image_id, CAST(COALESCE(size, 0) AS INTEGER), CAST(COALESCE(hits, 0) AS INTEGER),
       CAST(COALESCE(last_accessed, 0) AS REAL), CAST(COALESCE(last_modified, 0) AS REAL), checksum
FROM cached_images WHERE image_id IS NOT NULL
"""
_ADD: Final = """
INSERT OR REPLACE INTO cached_images
    (image_id, size, hits, last_accessed, last_modified, checksum) VALUES (?, ?, ?, ?, ?, ?)
"""
_TOUCH: Final = """
UPDATE cached_images
SET hits = CAST(COALESCE(hits, 0) AS INTEGER) + ?,
    last_accessed = MAX(CAST(COALESCE(last_accessed, 0) AS REAL), ?)
WHERE image_id = ?
"""
_REMOVE: Final = "DELETE FROM cached_images WHERE image_id = ?"

#: What repeating will not help: it cannot be opened, or is another program's.
_WRONG: Final = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_ERROR")

#: What SQLite keeps beside a file, and would apply to another one of that name.
_COMPANIONS: Final = ("-journal", "-wal", "-shm")


class _Broken(Exception):
    """Internal: the file is damaged."""


class _Replaced(Exception):
    """Internal: the file became another one while it was being opened."""


class _Connection:
    """An open index file.

    :param path: made if it is missing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        before = _inode(path)
        # SQLite's locks are the process's, and closing any descriptor of the file ends them: the
        # file must not be opened here in another way.
        self._sqlite = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        self.inode = _inode(path)
        if before not in (None, self.inode):
            self.close()
            raise _Replaced
        try:
            self._thd_set_up()
        except BaseException:
            self.close()
            raise

    def _thd_set_up(self) -> None:
        self._sqlite.text_factory = lambda text: text.decode("utf-8", "replace")
        self._sqlite.execute("PRAGMA synchronous = NORMAL")
        self._sqlite.execute("PRAGMA temp_store = MEMORY")
        if not self._sqlite.execute(_HAS_TABLE).fetchall():
            self.thd_transaction(lambda connection: connection.execute(_TABLE) and None)
        self._sqlite.execute(f"{_ENTRIES} LIMIT 0").fetchall()

    def thd_check(self) -> None:
        """Look for damage, which for files as small as these takes no time."""
        ((found,),) = self._sqlite.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise _Broken(str(found))

    def is_current(self) -> bool:
        """Tell whether this is still the file of that name."""
        return self.inode is not None and _inode(self._path) == self.inode

    def thd_transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in one transaction that may write."""
        # Two that began as readers could not both become writers.
        self._sqlite.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._sqlite)
            self._sqlite.execute("COMMIT")
        except BaseException:
            # A COMMIT that found the file locked has left the transaction open.
            with suppress(sqlite3.Error):
                if self._sqlite.in_transaction:
                    self._sqlite.execute("ROLLBACK")
            raise
        return result

    def thd_entries(self) -> list[CachedImage]:
        """Read all entries."""
        return [CachedImage(*row) for row in self._sqlite.execute(_ENTRIES)]

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._sqlite.close()


def _inode(path: str) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _is_busy(error: Exception) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _is_broken(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


@implementer(ICacheIndex)
class SqliteIndex:
    """Keeps book in a file of the cache's directory.

    :param directory: the cache's.
    :param path: the file, ``image_cache_sqlite_db`` in that directory.
    :param threads: those to use instead of two of its own.
    """

    name = "sqlite"
    _log = Logger()

    def __init__(
        self,
        directory: CacheDirectory,
        path: str,
        reactor: Any,
        threads: JobThreads | None = None,
    ) -> None:
        self._directory = directory
        self._path = path
        self._local = threading.local()
        self._threads = IndexThreads(reactor, self._thd_close, threads)

    def start(self) -> Deferred[None]:
        """Make the file, or adopt the one that is there."""
        self._threads.start()
        return self._threads.change(self._thd_start)

    def stop(self) -> Deferred[None]:
        """End the threads and their connections."""
        return self._threads.stop()

    def entries(self) -> Deferred[list[CachedImage]]:
        """Return all entries."""
        return self._threads.read(self._thd_try, _Connection.thd_entries)

    def add(self, entries: Sequence[CachedImage]) -> Deferred[None]:
        """Record copies."""
        rows = [
            (e.image_id, e.size, e.hits, e.last_accessed, e.last_modified, e.checksum)
            for e in entries
        ]
        return self._threads.change(self._thd_write, _ADD, rows)

    def remove(self, image_ids: Sequence[str]) -> Deferred[None]:
        """Forget copies."""
        return self._threads.change(self._thd_write, _REMOVE, [(each,) for each in image_ids])

    def touch(self, hits: Mapping[str, tuple[int, float]]) -> Deferred[None]:
        """Count hits."""
        rows = [(more, at, image_id) for image_id, (more, at) in hits.items()]
        return self._threads.change(self._thd_write, _TOUCH, rows)

    def _thd_start(self) -> None:
        self._directory.thd_prepare()
        try:
            self._thd_try(_Connection.thd_check)
        except Unavailable as error:
            cause = error.__cause__
            if not getattr(cause, "sqlite_errorname", "").startswith(_WRONG):
                raise
            raise ConfigError(
                f"[DEFAULT]image_cache_sqlite_db: the file {self._path} cannot be used: {cause}."
            ) from cause

    def _thd_write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        def thd_all(sqlite: sqlite3.Connection) -> None:
            sqlite.executemany(statement, rows)

        if rows:
            self._thd_try(_Connection.thd_transaction, thd_all)

    def _thd_try(
        self, work: Callable[Concatenate[_Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run something on this thread's connection, as often as it takes, or sense allows.

        :raises Unavailable: the file stays locked, or cannot be used.
        """
        for left in reversed(range(TRIES)):
            try:
                return work(self._thd_connection(), *args, **kwargs)
            except (_Broken, _Replaced, sqlite3.Error) as error:
                if not left or not self._thd_mended(error):
                    self._thd_close()
                    raise Unavailable(
                        f"The image cache's index cannot be used just now: {error}."
                    ) from error
        raise AssertionError("unreachable")

    def _thd_mended(self, error: Exception) -> bool:
        """Tell whether trying again can help, having done what there was to be done."""
        if isinstance(error, _Broken) or _is_broken(error):
            self._thd_set_aside(str(error))
        elif _is_busy(error):
            time.sleep(PAUSE)
        else:
            return isinstance(error, _Replaced)
        return True

    def _thd_connection(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None and not connection.is_current():
            self._thd_close()
            connection = None
        if connection is None:
            self._local.inode = _inode(self._path)
            connection = self._local.connection = _Connection(self._path)
            self._local.inode = connection.inode
        return connection

    def _thd_close(self) -> None:
        connection: _Connection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()

    def _thd_set_aside(self, reason: str) -> None:
        """Rename a broken file, unless another process has done so already."""
        self._thd_close()
        aside = f"{self._path}.broken"
        with self._directory.thd_alone("index"):
            found = _inode(self._path)
            if found is None or found != self._local.inode:
                return
            for companion in _COMPANIONS:
                with suppress(FileNotFoundError):
                    os.replace(self._path + companion, aside + companion)
            os.replace(self._path, aside)
        self._log.error(
            "The image cache's index {path} is broken ({reason}). It was renamed to {aside} and a "
            "new one begun: what was known of hits and last accesses is lost, copies are not.",
            path=self._path,
            reason=reason,
            aside=aside,
        )


def thd_read_entries(path: str) -> list[CachedImage]:
    """Read the entries of a file that is another driver's no longer, and change nothing.

    :raises sqlite3.Error: it cannot be read.
    """
    # Not "ro": what a process that died has left half done must be rolled back.
    connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)
    try:
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        return [CachedImage(*row) for row in connection.execute(_ENTRIES)]
    finally:
        connection.close()
