"""Writing the files of a dump: the half that blocks.

What is written gets its name only when it is whole and on the disk. An image's data comes first,
then what it can be checked by, and its description last: where that stands, all the rest does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from twisted.logger import Logger

from glance.replicate.dump_files import (
    data_name,
    sum_name,
    thd_open_folder,
    thd_open_plain,
    thd_read_record,
    thd_read_sum,
    thd_size,
    translated,
)
from glance.replicate.errors import DumpBusy
from glance.replicate.reading import is_image_id
from glance.replicate.record import ImageRecord

#: Locked by whoever writes to the directory. It stays: who removed it could free another's lock.
LOCK_NAME: Final = ".glance-replicator.lock"

_NO_LOCKS: Final = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_READ: Final = 1024 * 1024

_log = Logger()


def part_name(image_id: str) -> str:
    """Return the name of an image's data while it is not whole."""
    return f".{image_id}.part"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of an image.

    :param record: its description; ``None`` where there is none that can be read.
    :param size: length of its data, ``None`` where there is none.
    :param summed: whether the file to check the data by is there.
    """

    record: ImageRecord | None = None
    size: int | None = None
    summed: bool = False


class Folder:
    """A directory that a dump is written to. Its methods block.

    :param path: of the directory.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._lock_fd = -1

    def thd_open(self) -> Folder:
        """Open the directory, and keep others from writing to it.

        :raises DumpError: it is not there, or cannot be written to.
        :raises DumpBusy: another run writes to it.
        """
        self._fd = thd_open_folder(self.path)
        try:
            self._lock()
        except BaseException:
            self.thd_close()
            raise
        return self

    def _lock(self) -> None:
        with translated(self._shown(LOCK_NAME), "written"):
            self._lock_fd = thd_open_plain(LOCK_NAME, os.O_RDWR | os.O_CREAT, self._fd)
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DumpBusy(
                    f"Another glance-replicator writes to {self.path}; wait for it to end."
                ) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                _log.warn("{path} has no file locks; let no other run write to it.", path=self.path)

    def thd_close(self) -> None:
        """Let others write."""
        for fd in (self._lock_fd, self._fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1

    def thd_names(self) -> list[str]:
        """Return the ids of all images with a description."""
        with translated(self.path, "read"):
            return sorted(name for name in os.listdir(self._fd) if is_image_id(name))

    def thd_look(self, image_ids: Iterable[str]) -> list[tuple[ImageRecord | None, Found]]:
        """Return what there is of images; descriptions also if they cannot be read."""
        return [self._look(image_id) for image_id in image_ids]

    def _look(self, image_id: str) -> tuple[ImageRecord | None, Found]:
        record = None
        if self._is_there(image_id):
            record = thd_read_record(image_id, self._fd, self.path)
        return record, Found(
            None if record is None or record.trouble else record,
            thd_size(data_name(image_id), self._fd),
            thd_read_sum(image_id, self._fd) is not None,
        )

    def _is_there(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except OSError:
            return False
        return True

    def thd_part(self, image_id: str, resume: bool) -> PartFile:
        """Open the file that an image's data goes to.

        :param resume: whether what is in it already is kept.
        """
        part = PartFile(self._fd, self.path, image_id)
        part.thd_open(resume)
        return part

    def thd_hash(self, image_id: str, hashes: Iterable[Any], stopped: threading.Event) -> None:
        """Hash the data of an image that is there."""
        name = data_name(image_id)
        with (
            translated(self._shown(name), "read"),
            os.fdopen(thd_open_plain(name, os.O_RDONLY, self._fd), "rb", buffering=0) as file,
        ):
            thd_hash_file(file.fileno(), os.fstat(file.fileno()).st_size, hashes, stopped)

    def thd_write_sum(self, image_id: str, digest: str) -> None:
        """Write the file to check an image's data by, as sha512sum(1) has it."""
        self._replace(sum_name(image_id), f"{digest}  {data_name(image_id)}\n".encode())
        self._sync()

    def thd_describe(self, image_id: str, content: bytes) -> None:
        """Write an image's description."""
        self._replace(image_id, content)
        self._sync()

    def thd_remove(self, image_id: str) -> None:
        """Remove all that there is of an image, first what says that it is there."""
        for name in (image_id, data_name(image_id), sum_name(image_id), part_name(image_id)):
            with translated(self._shown(name), "removed"), contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._fd)
        self._sync()

    def _replace(self, name: str, content: bytes) -> None:
        temporary = f".{name}.new"
        with translated(self._shown(name), "written"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._fd)
            fd = thd_open_plain(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._fd)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(fd)
                os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=self._fd)
                raise

    def _sync(self) -> None:
        sync_folder(self._fd, self.path)

    def _shown(self, name: str) -> str:
        return os.path.join(self.path, name)


class PartFile:
    """An image's data while it is not whole. Its methods block, and wait for each other.

    :ivar length: bytes that it has.
    """

    def __init__(self, dir_fd: int, folder: str, image_id: str) -> None:
        self.length = 0
        self.path = os.path.join(folder, part_name(image_id))
        self._dir_fd = dir_fd
        self._folder = folder
        self._image_id = image_id
        self._name = part_name(image_id)
        self._lock = threading.Lock()
        self._file: Any = None

    def thd_open(self, resume: bool) -> None:
        """Open it.

        :param resume: whether what is in it already is kept.
        """
        with translated(self.path, "written"):
            fd = self._open_old() if resume else -1
            if fd < 0:
                self._unlink()
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                fd = thd_open_plain(self._name, flags, self._dir_fd)
            self._file = os.fdopen(fd, "r+b", buffering=0)
            self.length = os.fstat(fd).st_size

    def _open_old(self) -> int:
        """Open what an earlier run left, unless it is anything but that."""
        try:
            fd = thd_open_plain(self._name, os.O_RDWR, self._dir_fd)
        except OSError:
            return -1
        if os.fstat(fd).st_nlink == 1:
            return fd
        os.close(fd)
        return -1

    def thd_cut(self, length: int) -> None:
        """Leave out all after some length."""
        with self._lock, translated(self.path, "written"):
            os.ftruncate(self._file.fileno(), length)
            self.length = length

    def thd_hash(self, hashes: Iterable[Any], stopped: threading.Event) -> None:
        """Hash what it has."""
        with self._lock, translated(self.path, "read"):
            thd_hash_file(self._file.fileno(), self.length, hashes, stopped)

    def thd_write(self, data: bytes) -> None:
        """Write at the end."""
        with self._lock, translated(self.path, "written"):
            view, fd = memoryview(data), self._file.fileno()
            while view:
                count = os.pwrite(fd, view, self.length)
                # Begin writing back now, or the end would wait for gigabytes of dirty pages.
                os.posix_fadvise(fd, self.length, count, os.POSIX_FADV_DONTNEED)
                self.length += count
                view = view[count:]

    def thd_publish(self) -> None:
        """Give it its name.

        A description of what was there is removed first: it might be of other data.
        """
        with self._lock, translated(self.path, "finished"):
            os.fsync(self._file.fileno())
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._image_id, dir_fd=self._dir_fd)
            name = data_name(self._image_id)
            os.rename(self._name, name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)

    def thd_close(self, keep: bool) -> None:
        """Close it.

        :param keep: whether it stays for another run, or has its name already.
        """
        with self._lock, translated(self.path, "removed"):
            self._file.close()
            if not keep:
                self._unlink()

    def _unlink(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._dir_fd)


def thd_hash_file(fd: int, size: int, hashes: Iterable[Any], stopped: threading.Event) -> None:
    """Hash the first bytes of a file, until all are or somebody says that it is not wanted."""
    hashes = tuple(hashes)
    position = 0
    while position < size and not stopped.is_set():
        data = os.pread(fd, min(_READ, size - position), position)
        if not data:
            raise OSError(errno.EIO, "cut short")
        for one in hashes:
            one.update(data)
        position += len(data)


def sync_folder(fd: int, path: str) -> None:
    """See to it that names in a directory are on the disk, where the file system can do so."""
    with translated(path, "written"):
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
