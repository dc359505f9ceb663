"""A directory with a dump, as a side that images come from."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from glance.replicate.dump_files import (
    DataFile,
    checked,
    data_name,
    thd_find,
    thd_read_record,
    thd_read_sum,
)
from glance.replicate.errors import WrongData
from glance.replicate.file_stream import FileStream
from glance.replicate.record import ImageRecord
from glance.stores.threads import Threads, Words

#: Bytes per read or write, unless told otherwise.
CHUNKSIZE: Final = 65536

#: Threads at work at most: an upload keeps one busy, a dump up to three.
THREADS: Final = 12

#: Descriptions that one trip to a thread reads.
_BATCH = 50

_WORDS: Final = Words(
    subject="The directory", label="Directory {store}", limits="({threshold} percent, {overdue})"
)

_log = Logger()


def make_threads(reactor: Any, size: int = THREADS) -> Threads:
    """Return threads for the files of a dump, to be started and stopped by whoever asked."""
    return Threads(reactor, "dump", size, words=_WORDS)


class DumpSource:
    """Images from a directory, in either layout, also from directories below.

    :param directory: its path.
    :param threads: to read in; threads of its own where none are given.
    :param chunksize: bytes per read.
    """

    def __init__(
        self,
        directory: str,
        reactor: Any,
        threads: Threads | None = None,
        chunksize: int = CHUNKSIZE,
    ) -> None:
        self._directory = directory
        self._own = threads is None
        self._threads = make_threads(reactor) if threads is None else threads
        self._chunksize = chunksize
        self._paths: dict[str, str] = {}

    @property
    def place(self) -> str:
        """What to call it in messages."""
        return self._directory

    async def records(self, wanted: Mapping[str, str] | None = None) -> AsyncIterator[ImageRecord]:
        """Yield all images, those with ``trouble`` too.

        :raises DumpError: the directory is not there or cannot be read.
        """
        threads = self._running()
        paths: dict[str, str] = {}
        for image_id, folder in await threads.run(thd_find, self._directory):
            path = os.path.join(folder, image_id)
            used = paths.setdefault(image_id.lower(), path)
            if used != path:
                _log.warn("{path} is left out, for {used} is taken.", path=path, used=used)
        left = list(paths.values())
        for start in range(0, len(left), _BATCH):
            batch = left[start : start + _BATCH]
            records = await threads.run(_thd_read, batch)
            for path, record in zip(batch, records, strict=True):
                self._paths[record.image_id] = path
                yield record

    async def open(self, record: ImageRecord, offset: int = 0) -> FileStream:
        """Open an image's data.

        :raises NoData: there is only its description.
        :raises WrongData: it has another length than the description says.
        """
        threads = self._running()
        path = self._paths.get(record.image_id)
        if path is None:
            path = os.path.join(self._directory, checked(record.image_id))
        file = DataFile(data_name(path))
        await threads.run(file.thd_open, late=lambda file: file.thd_close())
        if record.size is not None and file.size != record.size:
            await threads.run(file.thd_close, must_run=True)
            raise WrongData(f"{file.path} has {file.size} bytes, but the image has {record.size}.")
        return FileStream(threads, file, offset if offset <= file.size else 0, self._chunksize)

    def close(self) -> Deferred[None]:
        """End the threads, if they are its own."""
        return self._threads.stop() if self._own else succeed(None)

    def _running(self) -> Threads:
        if self._own:
            self._threads.start()
        return self._threads


def _thd_read(paths: list[str]) -> list[ImageRecord]:
    return [_thd_read_one(path) for path in paths]


def _thd_read_one(path: str) -> ImageRecord:
    record = thd_read_record(path)
    if not record.trouble and record.hash_value is None and record.checksum is None:
        # The service had none; what came from it was hashed all the same.
        digest = thd_read_sum(path)
        if digest is not None:
            return replace(record, hash_algorithm="sha512", hash_value=digest)
    return record
