"""The files of a dump: the half that blocks.

Names below a directory are made of an image's id, which has been checked, and of nothing else.
Neither symbolic links nor anything but plain files are read or written: a dump may come from
anywhere, and its directory may be one that others write to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Iterator
from typing import Any, Final

from glance.domain.errors import Invalid
from glance.domain.text import shorten
from glance.replicate.dump_documents import LONGEST, read_dump
from glance.replicate.errors import BadDocument, DumpError, NoData, NoRoom
from glance.replicate.reading import is_image_id
from glance.replicate.record import ImageRecord

#: Status of an image of which only the id is known.
UNREADABLE: Final = "unreadable"

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PLAIN: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
#: Made by file systems for their own use, and closed to all but root.
_NOT_OURS: Final = frozenset({"lost+found"})
_SUM: Final = re.compile(rb"([0-9a-f]{128}) [ *][^\n]+\n")


def checked(image_id: str) -> str:
    """Return an image's id if it can be a file's name.

    :raises Invalid: it is no UUID.
    """
    if not is_image_id(image_id):
        raise Invalid(f"{shorten(image_id)} is no image's id, so no file is named by it.")
    return image_id


def data_name(image_id: str) -> str:
    """Return the name of the file with an image's data."""
    return f"{image_id}.img"


def sum_name(image_id: str) -> str:
    """Return the name of the file that sha512sum(1) can check the data by."""
    return f"{image_id}.sha512"


@contextlib.contextmanager
def translated(path: str, doing: str) -> Iterator[None]:
    """Turn an ``OSError`` into an error that names the path.

    :param doing: what was tried, such as ``read``.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG and doing == "read":
            raise DumpError(f"{path} is longer than any image's description.") from error
        if error.errno in _FULL:
            raise NoRoom(f"{path} cannot be {doing}: {_said(error)}.") from error
        if error.errno == errno.ELOOP:
            raise DumpError(f"{path} is a symbolic link; links are not followed.") from error
        raise DumpError(f"{path} cannot be {doing}: {_said(error)}.") from error


def _said(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def thd_open_folder(directory: str) -> int:
    """Open a directory; return its descriptor.

    :raises DumpError: there is none.
    """
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DumpError(f"The directory {directory} does not exist.") from None
    except NotADirectoryError:
        raise DumpError(f"{directory} is no directory.") from None
    except OSError as error:
        raise DumpError(f"{directory} cannot be opened: {_said(error)}.") from error


def thd_open_plain(path: str, flags: int, dir_fd: int | None = None) -> int:
    """Open a plain file.

    :param path: below ``dir_fd`` if that is given.
    :raises OSError: it is not there, or no plain file.
    """
    fd = os.open(path, flags | _PLAIN, 0o666, dir_fd=dir_fd)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "no plain file")


def thd_read_small(path: str, longest: int, dir_fd: int | None = None) -> bytes:
    """Return all of a plain file.

    :raises OSError: it is not there, is no plain file, or longer.
    """
    with os.fdopen(thd_open_plain(path, os.O_RDONLY, dir_fd), "rb") as file:
        content = file.read(longest + 1)
    if len(content) > longest:
        raise OSError(errno.EFBIG, "too long")
    return content


def thd_size(name: str, dir_fd: int | None = None) -> int | None:
    """Return the length of a plain file, ``None`` where there is none of that name."""
    try:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def thd_read_record(path: str, dir_fd: int | None = None, folder: str = "") -> ImageRecord:
    """Read an image's description, whatever it may be.

    :param path: of the file, which is called as the image is; below ``dir_fd`` if that is given.
    :param folder: that ``dir_fd`` is, for messages.
    :returns: with ``trouble`` if it cannot be read, or is not there.
    """
    image_id = os.path.basename(path)
    shown = os.path.join(folder, path)
    try:
        with translated(shown, "read"):
            content = thd_read_small(path, LONGEST, dir_fd)
        return read_dump(content, shown, image_id)
    except (BadDocument, DumpError) as error:
        return ImageRecord(image_id, UNREADABLE, trouble=error.message)


def thd_read_sum(path: str, dir_fd: int | None = None) -> str | None:
    """Return the SHA-512 that the file beside an image's data has, in hexadecimal digits.

    :param path: of the image's description.
    """
    try:
        found = _SUM.fullmatch(thd_read_small(sum_name(path), 1024, dir_fd))
    except OSError:
        return None
    return found[1].decode() if found else None


def thd_find(directory: str) -> list[tuple[str, str]]:
    """Find the descriptions of images in a directory and below.

    :returns: ids and the directories that they are in, the upper ones first.
    :raises DumpError: a directory cannot be read. Images in it might be taken for missing.
    """
    os.close(thd_open_folder(directory))
    found = []

    def fail(error: OSError) -> None:
        raise DumpError(f"{error.filename} cannot be read: {_said(error)}.") from error

    for folder, folders, files in os.walk(directory, onerror=fail):
        folders[:] = sorted(set(folders) - _NOT_OURS)
        found += [(name, folder) for name in sorted(files) if is_image_id(name)]
    return found


class DataFile:
    """An image's data, open for reading. Reading and closing wait for each other.

    :param path: of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self._lock = threading.Lock()
        self._file: Any = None

    def thd_open(self) -> DataFile:
        """Open it.

        :raises NoData: it is not there.
        """
        with translated(self.path, "opened"):
            try:
                fd = thd_open_plain(self.path, os.O_RDONLY)
            except FileNotFoundError:
                raise NoData(f"There is no data: {self.path} does not exist.") from None
            # An object, so that no descriptor is left where nobody closes it.
            self._file = os.fdopen(fd, "rb", buffering=0)
            self.size = os.fstat(fd).st_size
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return self

    def thd_read(self, offset: int, count: int, piece: int) -> list[bytes]:
        """Return bytes in pieces of some length.

        :raises DumpError: the file has become shorter, or cannot be read.
        """
        pieces = []
        with self._lock, translated(self.path, "read"):
            if self._file.closed:
                return []
            end = offset + count
            while offset < end:
                data = os.pread(self._file.fileno(), min(piece, end - offset), offset)
                if not data:
                    raise DumpError(f"{self.path} has become shorter while it was read.")
                pieces.append(data)
                offset += len(data)
        return pieces

    def thd_close(self) -> None:
        """Close it."""
        with self._lock:
            self._file.close()
