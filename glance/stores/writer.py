"""Writing to the file store: keeps count of what is in flight around one ``PartFile``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.stores.errors import StoreError
from glance.stores.interfaces import IStoreWriter, StoredData
from glance.stores.partfile import PartFile
from glance.stores.threads import Threads

_log = Logger()


@implementer(IStoreWriter)
class FileWriter:
    """One image file being written.

    :param threads: of the store.
    :param part: the file, open.
    :param url: under which it will stand.
    :param metadata: for the location.
    """

    def __init__(
        self, threads: Threads, part: PartFile, url: str, metadata: Mapping[str, Any]
    ) -> None:
        self._threads = threads
        self._part = part
        self._url = url
        self._metadata = metadata
        self._in_flight = 0
        self._idle: list[Callable[[], None]] = []
        self._failed = False
        self._closed = False
        self._committed = False
        self._aborting: Deferred[None] | None = None

    def write(self, offset: int, data: memoryview) -> Deferred[None]:
        """Write bytes at an offset; several writes may be in flight."""
        if self._closed:
            return fail(StoreError("The object takes no more data."))
        writing = self._run(self._part.thd_write, offset, data)
        writing.addErrback(self._note_failure)
        return writing

    def _note_failure(self, failure: Failure) -> Failure:
        self._failed = True
        return failure

    def commit(self) -> Deferred[StoredData]:
        """Make the file durable and give it its name."""
        if self._closed or self._failed or self._in_flight:
            return fail(StoreError("The object is not complete."))
        self._closed = True

        def published(size: int) -> StoredData:
            if self._aborting is not None:
                raise StoreError("The object was given up while it was being finished.")
            self._committed = True
            return StoredData(self._url, size, self._metadata)

        finishing = self._run(self._part.thd_commit, late=lambda _: self._part.thd_unpublish())
        return finishing.addCallback(published)

    def abort(self) -> Deferred[None]:
        """Remove the unfinished file, after the writes in flight have ended.

        Where the store has a deadline, waiting ends with it, and the removal happens when the
        writes come to an end.
        """
        if self._committed:
            return succeed(None)
        if self._aborting is None:
            self._closed = True
            self._aborting = Deferred()
            if self._in_flight:
                self._idle.append(self._discard)
            else:
                self._discard()
        return self._threads.bounded(self._aborting)

    def take_back(self) -> Deferred[None]:
        """Remove the published file, unless another has taken its name since."""
        return self._threads.run(self._part.thd_unpublish, must_run=True)

    def _discard(self) -> None:
        def thd_remove() -> None:
            self._part.thd_unpublish()
            self._part.thd_discard()

        def note(failure: Failure) -> None:
            _log.failure("Removing an unfinished file; the sweep will try again", failure)

        assert self._aborting is not None
        removing = self._threads.run(thd_remove, must_run=True)
        removing.addErrback(note)
        removing.chainDeferred(self._aborting)

    def _run(self, fn: Callable[..., Any], *args: Any, late: Any = None) -> Deferred[Any]:
        self._in_flight += 1
        return self._threads.run(fn, *args, late=late, settled=self._settle)

    def _settle(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            idle, self._idle = self._idle, []
            for call in idle:
                call()
