"""One image's data on its way into a directory: resumed, proved, published."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any, Final

from glance.replicate.dump_writing import Folder, PartFile
from glance.replicate.errors import NoRoom, WrongData
from glance.replicate.hashing import expected_hash, new_hash
from glance.replicate.interfaces import Moved, Source
from glance.replicate.record import ImageRecord
from glance.replicate.taking import Taking
from glance.stores.threads import Threads

#: What the file beside the data holds, whatever the service hashes by.
_SUM: Final = "sha512"

Hashes = dict[str, Any]


class DataCopy:
    """The data of one image.

    :param folder: where it goes.
    :param record: as the source has it.
    :param moved: told how many bytes came.
    :param chunksize: bytes per write at least, where so many come.
    :ivar size: how many bytes came.
    :ivar kept: how many were there from an earlier attempt, and were right.
    """

    def __init__(
        self,
        threads: Threads,
        folder: Folder,
        record: ImageRecord,
        source: Source,
        moved: Moved,
        chunksize: int,
    ) -> None:
        self.size = 0
        self.kept = 0
        self._threads = threads
        self._folder = folder
        self._record = record
        self._source = source
        self._moved = moved
        self._chunksize = chunksize
        self._expected = expected_hash(record)
        self._what = f"image {record.image_id} from {source.place}"

    async def adopt(self) -> bool:
        """Take data that is there under its name for the image's, if its hash says so.

        It may be there since a run was broken off right before its end, or from a dump of other
        days.
        """
        if self._expected is None:
            return False
        hashes = self._hashes()
        await self._hash(self._folder.thd_hash, hashes, self._record.image_id)
        if not self._expected.fits(hashes[self._expected.algorithm]):
            return False
        await self._write_sum(hashes)
        return True

    async def make(self) -> None:
        """Get the data. What an earlier attempt left is gone on from, where a hash can prove it.

        :raises NoRoom: the file system is full; what came is removed.
        :raises WrongData: it is not the image's; likewise.
        :raises GlanceError: the source failed; what came stays.
        """
        try:
            await self._attempt(resume=self._expected is not None)
        except WrongData:
            # What was left was not the beginning of this, or it became wrong on its way.
            self.kept = 0
            await self._attempt(resume=False)

    async def _attempt(self, *, resume: bool) -> None:
        part = await self._threads.run(
            self._folder.thd_part,
            self._record.image_id,
            resume,
            late=lambda part: part.thd_close(True),
        )
        keep = True
        try:
            hashes = await self._fill(part)
            self._check(part, hashes)
            await self._threads.run(part.thd_publish)
        except (NoRoom, WrongData):
            keep = False
            raise
        finally:
            await self._threads.run(part.thd_close, keep, must_run=True)
        await self._write_sum(hashes)

    async def _fill(self, part: PartFile) -> Hashes:
        size = self._record.size
        if size is not None and part.length > size:
            await self._threads.run(part.thd_cut, 0)
        hashes = await self._hash_part(part)
        self.kept = part.length
        if part.length == size:
            return hashes
        stream = await self._source.open(self._record, part.length)
        try:
            if stream.offset != part.length:
                if stream.offset > part.length:
                    raise WrongData(f"{self._what}: the data does not begin where it was asked to.")
                await self._threads.run(part.thd_cut, stream.offset)
                hashes = await self._hash_part(part)
                self.kept = part.length
            works = [part.thd_write, *(one.update for one in hashes.values())]
            left = None if size is None else size - part.length
            await Taking(
                stream, self._threads, works, self._chunksize, left, self._count, self._what
            ).run()
        finally:
            stream.stop()
        return hashes

    def _check(self, part: PartFile, hashes: Hashes) -> None:
        size = self._record.size
        if size is not None and part.length != size:
            raise WrongData(
                f"{self._what}: {part.length} bytes of data came, but the image has {size}."
            )
        if self._expected is not None:
            algorithm, digest = self._expected
            found = hashes[algorithm].hexdigest()
            if found != digest:
                raise WrongData(
                    f"{self._what}: the data is not the image's, for its {algorithm} is {found}"
                    f" and should be {digest}."
                )

    def _count(self, count: int) -> None:
        self.size += count
        self._moved(count)

    def _hashes(self) -> Hashes:
        names = {_SUM} if self._expected is None else {_SUM, self._expected.algorithm}
        return {name: new_hash(name) for name in sorted(names)}

    async def _hash_part(self, part: PartFile) -> Hashes:
        hashes = self._hashes()
        if part.length:
            await self._hash(part.thd_hash, hashes)
        return hashes

    async def _hash(self, thd_hash: Callable[..., None], hashes: Hashes, *args: Any) -> None:
        stopped = Event()
        try:
            await self._threads.run(thd_hash, *args, hashes.values(), stopped)
        finally:
            # Nothing else ends it where nobody waits any more.
            stopped.set()

    async def _write_sum(self, hashes: Hashes) -> None:
        digest = hashes[_SUM].hexdigest()
        await self._threads.run(self._folder.thd_write_sum, self._record.image_id, digest)
