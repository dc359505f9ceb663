"""The index in the catalogue's database, which so knows what all nodes have.

Where the cache kept book in a file before, that file's statistics are taken over at the start. The
file stays as it is: who goes back to the sqlite driver, or to other software, finds it. A note in
``locks/`` says which state of the file has been taken over for which node, so that it is done once,
and once more if the file was in use again meanwhile. To do it twice would harm nothing, since what
is newer in the database is kept.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.cache.index_threads import IndexThreads, JobThreads
from glance.cache.interfaces import ISharedIndex
from glance.cache.layout import CacheDirectory
from glance.cache.sqlite_index import thd_read_entries
from glance.db import cached_images
from glance.db.txdbapi import Database
from glance.domain.caching import CachedImage
from glance.domain.errors import Invalid, Unavailable

#: Entries that are taken over in one transaction.
_BATCH = 500
#: The longest checksum that the database takes.
_CHECKSUM = 32


@implementer(ISharedIndex)
class CentralIndex:
    """Keeps book in the catalogue's database.

    :param database: used as it is; to start and stop it is others' business.
    :param url: ``worker_self_reference_url`` as configured.
    :param directory: the cache's.
    :param earlier: the file that the sqlite driver has, or had.
    :param threads: those to use instead of two of its own, at the start only.
    """

    name = "centralized_db"
    _log = Logger()

    def __init__(
        self,
        database: Database,
        url: str,
        directory: CacheDirectory,
        earlier: str,
        reactor: Any,
        threads: JobThreads | None = None,
    ) -> None:
        self._database = database
        self._url = url
        self._directory = directory
        self._earlier = earlier
        self._files = partial(IndexThreads, reactor, threads=threads)

    def start(self) -> Deferred[None]:
        """Make the node known, and take over what an earlier index in a file knew."""
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> Deferred[None]:
        """Do nothing: all that is used is others'."""
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def entries(self) -> Deferred[list[CachedImage]]:
        """Return this node's entries."""
        reading = self._database.runReading(cached_images.thd_entries, self._url)
        return reading.addErrback(self._failed)

    def add(self, entries: Sequence[CachedImage]) -> Deferred[None]:
        """Record copies of this node."""
        return self._change(cached_images.thd_add, entries)

    def remove(self, image_ids: Sequence[str]) -> Deferred[None]:
        """Forget copies of this node."""
        return self._change(cached_images.thd_remove, image_ids)

    def touch(self, hits: Mapping[str, tuple[int, float]]) -> Deferred[None]:
        """Count hits of this node's copies."""
        return self._change(cached_images.thd_touch, hits)

    def nodes_with(self, image_id: str) -> Deferred[list[str]]:
        """Return the URLs of all nodes that have a copy, sorted."""
        reading = self._database.runReading(cached_images.thd_nodes_with, image_id)
        return reading.addErrback(self._failed)

    def _change(self, interaction: Any, what: Any) -> Deferred[Any]:
        change = self._database.runInteraction(interaction, self._url, what)
        return change.addErrback(self._failed)

    def _failed(self, failure: Failure) -> NoReturn:
        failure.trap(SQLAlchemyError, Invalid)
        # A table that is missing, or a value that it does not take: what is wrong is for the
        # operator, and to the cache it is all the same.
        self._log.error(
            "The database refused the image cache's records: {error}",
            error=failure.getErrorMessage().splitlines()[0],
        )
        raise Unavailable("The database refused the image cache's records.") from failure.value

    async def _start(self) -> None:
        files = self._files()
        files.start()
        try:
            await files.change(self._directory.thd_prepare)
            node = self._database.runInteraction(cached_images.thd_node, self._url)
            await node.addErrback(self._failed)
            found = await files.read(self._thd_earlier)
            if found is not None:
                note, entries = found
                for n in range(0, len(entries), _BATCH):
                    await self._change(cached_images.thd_merge, entries[n : n + _BATCH])
                await files.change(self._thd_note, note)
        finally:
            await files.stop()

    @property
    def _note_file(self) -> str:
        return os.path.join(self._directory.root, "locks", "taken-over")

    def _thd_earlier(self) -> tuple[dict[str, Any], list[CachedImage]] | None:
        """Read what is to be taken over: what to note afterwards, and the entries."""
        try:
            state = os.stat(self._earlier)
        except FileNotFoundError:
            return None
        # Of before it is read: what other processes write meanwhile comes the next time.
        note = {
            "file": self._earlier,
            "inode": state.st_ino,
            "size": state.st_size,
            "modified": state.st_mtime_ns,
            "node": self._url,
        }
        try:
            with open(self._note_file, encoding="utf-8") as file:
                if json.load(file) == note:
                    return None
        except (OSError, ValueError):
            pass
        there = {file.image_id for file in self._directory.thd_copies()}
        try:
            entries = {e.image_id: e for e in thd_read_entries(self._earlier)}
        except (sqlite3.Error, ValueError, OverflowError) as error:
            self._log.warn(
                "What the image cache's earlier index {path} knew of hits and last accesses is "
                "not taken over, since it cannot be read: {error}",
                path=self._earlier,
                error=error,
            )
            return None
        kept = [_fitting(entry) for image_id, entry in entries.items() if image_id in there]
        self._log.info(
            "{count} entries of the image cache's earlier index {path} are taken over",
            count=len(kept),
            path=self._earlier,
        )
        return note, kept

    def _thd_note(self, note: dict[str, Any]) -> None:
        path = f"{self._note_file}.{os.getpid()}"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(note, file)
        os.replace(path, self._note_file)


def _fitting(entry: CachedImage) -> CachedImage:
    """Return an entry as the database can hold it."""
    checksum = entry.checksum
    return CachedImage(
        entry.image_id,
        entry.size,
        entry.hits,
        entry.last_accessed,
        entry.last_modified,
        checksum if checksum and len(checksum) <= _CHECKSUM else None,
    )
