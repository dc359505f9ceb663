"""A directory that a dump is written to, as a side that images go to.

A dump can be broken off at any point and made again: what is there is looked at afresh for each
image, what is whole stays, and what is not is completed. Nothing counts as whole by its looks alone
whose description is missing; its hash decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import DeferredLock

from glance.replicate.difference import same_data
from glance.replicate.documents import without
from glance.replicate.dump_copying import DataCopy
from glance.replicate.dump_documents import write_dump
from glance.replicate.dump_files import checked
from glance.replicate.dump_source import CHUNKSIZE, make_threads
from glance.replicate.dump_writing import Folder, Found
from glance.replicate.interfaces import Moved, Source
from glance.replicate.outcome import ACTIVE, Deed, Outcome
from glance.replicate.record import ImageRecord
from glance.stores.threads import Threads

#: Descriptions that one trip to a thread reads.
_BATCH: Final = 50


class DumpTarget:
    """A directory with images in layout 2.

    :param directory: its path; it has to be there.
    :param threads: to write, hash and read in; threads of its own where none are given.
    :param chunksize: bytes per write at least, where so many come.
    :param metaonly: whether descriptions alone are written.
    :param dontreplicate: names of what is not written, as of
        :func:`~glance.replicate.documents.without`.
    """

    def __init__(
        self,
        directory: str,
        reactor: Any,
        threads: Threads | None = None,
        chunksize: int = CHUNKSIZE,
        *,
        metaonly: bool = False,
        dontreplicate: Collection[str] = (),
    ) -> None:
        self._directory = directory
        self._own = threads is None
        self._threads = make_threads(reactor) if threads is None else threads
        self._chunksize = chunksize
        self._metaonly = metaonly
        self._dontreplicate = frozenset(dontreplicate)
        self._opening = DeferredLock()
        self._folder: Folder | None = None
        self._found: dict[str, Found] = {}

    @property
    def place(self) -> str:
        """What to call it in messages."""
        return self._directory

    async def open(self) -> Folder:
        """Open the directory and keep other runs from writing to it; done when first needed.

        :raises DumpError: it is not there, or cannot be written to.
        :raises DumpBusy: another run writes to it.
        """
        await self._opening.acquire()
        try:
            if self._folder is None:
                if self._own:
                    self._threads.start()
                self._folder = await self._threads.run(
                    Folder(self._directory).thd_open, late=lambda folder: folder.thd_close()
                )
            return self._folder
        finally:
            self._opening.release()

    async def close(self) -> None:
        """Let other runs write, and end the threads if they are its own."""
        folder, self._folder = self._folder, None
        if folder is not None:
            await self._threads.run(folder.thd_close, must_run=True)
        if self._own:
            await self._threads.stop()

    async def records(self, wanted: Mapping[str, str] | None = None) -> AsyncIterator[ImageRecord]:
        """Yield all images that are described there, those with ``trouble`` too."""
        folder = await self.open()
        self._found.clear()
        names = await self._threads.run(folder.thd_names)
        for start in range(0, len(names), _BATCH):
            looks = await self._threads.run(folder.thd_look, names[start : start + _BATCH])
            for record, found in looks:
                if record is not None:
                    self._found[record.image_id] = found
                    yield record

    def foresee(self, record: ImageRecord, there: ImageRecord | None) -> Outcome:
        """Tell what :meth:`put` would do, by what :meth:`records` found."""
        found = self._found.get(record.image_id, Found()) if there is not None else Found()
        return self._judge(record, found)

    def _judge(self, record: ImageRecord, found: Found) -> Outcome:
        image_id, there = record.image_id, found.record
        if record.status != ACTIVE:
            return Outcome(image_id, Deed.SKIPPED, f"it is {record.status} on the source")
        if there is None:
            return Outcome(image_id, Deed.COPIED, size=0 if self._metaonly else record.size or 0)
        if self._metaonly or _is_whole(record, found):
            same = self._described(record, there) == there
            return Outcome(image_id, Deed.SAME if same else Deed.UPDATED)
        size = record.size or 0
        deed = Deed.COMPLETED if found.size is None else Deed.UPDATED
        return Outcome(image_id, deed, size=size)

    def _described(self, record: ImageRecord, there: ImageRecord | None) -> ImageRecord:
        """Return what is written of an image; members that nobody asked for now stay."""
        wanted = without(record, self._dontreplicate)
        if wanted.members is None and there is not None and "members" not in self._dontreplicate:
            wanted = replace(wanted, members=there.members)
        return wanted

    async def put(
        self, record: ImageRecord, there: ImageRecord | None, source: Source, moved: Moved
    ) -> Outcome:
        """Write an image, as far as it is not there.

        :param there: not relied upon; the directory is looked at again.
        :raises NoRoom: the file system is full; what was written of the data is removed.
        :raises WrongData: the data is not the image's; likewise.
        :raises DumpError: the directory fails in another way.
        :raises GlanceError: the source fails; what came of the data stays, for the next attempt.
        """
        image_id = checked(record.image_id)
        folder = await self.open()
        [(_, found)] = await self._threads.run(folder.thd_look, [image_id])
        outcome = self._judge(record, found)
        if outcome.deed in (Deed.SAME, Deed.SKIPPED):
            return outcome
        if not self._metaonly and not _is_whole(record, found):
            copy = DataCopy(self._threads, folder, record, source, moved, self._chunksize)
            if found.size is not None and found.size == record.size and await copy.adopt():
                outcome = Outcome(image_id, Deed.COMPLETED)
            else:
                await copy.make()
                notes = (f"went on from byte {copy.kept}",) if copy.kept else ()
                outcome = replace(outcome, size=copy.size, notes=notes)
        content = write_dump(self._described(record, found.record))
        await self._threads.run(folder.thd_describe, image_id, content)
        return outcome

    async def remove(self, record: ImageRecord) -> None:
        """Remove an image that the source has not."""
        folder = await self.open()
        await self._threads.run(folder.thd_remove, checked(record.image_id))


def _is_whole(record: ImageRecord, found: Found) -> bool:
    """Tell whether the data that is there is the image's, by its description."""
    there = found.record
    if there is None or found.size is None or not found.summed:
        return False
    size = there.size if record.size is None else record.size
    return found.size == size and same_data(record, there)
