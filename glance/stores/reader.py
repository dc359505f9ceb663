"""Reading from the file store: small reads for those who copy, the descriptor for ``sendfile``."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from glance.stores.errors import BadLocation, DataNotFound, DeleteForbidden, StoreError
from glance.stores.interfaces import IFileReader
from glance.stores.threads import Threads

_log = Logger()

# One page in so many bytes stands for its neighbours: the kernel reads and forgets in large steps.
_STRIDE: Final = 512 * 1024
_ODD_NAME: Final = {errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ENXIO}


def _thd_missing(directory: str) -> StoreError:
    # With the whole directory gone (not mounted?) nothing is known about the file: "not found"
    # would let a deletion count as done.
    if os.path.isdir(directory):
        return DataNotFound("The store does not hold the image's data.")
    return StoreError("A directory of the store is missing.")


def thd_open_file(directory: str, name: str) -> tuple[int, int]:
    """Open a stored file; return its descriptor and size.

    :raises DataNotFound: there is none.
    :raises BadLocation: it is something else than a regular file.
    """
    # O_NONBLOCK: a FIFO under that name must not hold the thread until somebody writes to it.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(os.path.join(directory, name), flags)
    except FileNotFoundError:
        raise _thd_missing(directory) from None
    except OSError as e:
        if e.errno in _ODD_NAME:
            raise BadLocation("The location is not one of a file in this store.") from None
        raise StoreError(f"The store cannot open the image's data: {e.strerror}.") from e
    state = os.fstat(fd)
    if not stat.S_ISREG(state.st_mode):
        os.close(fd)
        raise BadLocation("The location is not one of a file in this store.")
    os.set_blocking(fd, True)
    return fd, state.st_size


def thd_size_of(directory: str, name: str) -> int:
    """Return the size of a stored file.

    :raises DataNotFound: there is none.
    :raises BadLocation: it is something else than a regular file.
    """
    try:
        state = os.lstat(os.path.join(directory, name))
    except FileNotFoundError:
        raise _thd_missing(directory) from None
    except OSError as e:
        if e.errno in _ODD_NAME:
            raise BadLocation("The location is not one of a file in this store.") from None
        raise StoreError(f"The store cannot look at the image's data: {e.strerror}.") from e
    if not stat.S_ISREG(state.st_mode):
        raise BadLocation("The location is not one of a file in this store.")
    return state.st_size


def thd_delete_file(directory: str, name: str) -> None:
    """Delete a stored file for good.

    :raises DataNotFound: there is none.
    :raises DeleteForbidden: the permissions do not allow it.
    :raises BadLocation: it is something else than a regular file.
    """
    path = os.path.join(directory, name)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise BadLocation("The location is not one of a file in this store.")
        os.unlink(path)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as e:
            # The name is gone; that it might come back after a power cut is no reason to fail.
            _log.warn("{path} cannot be synchronised: {error}", path=directory, error=e)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise _thd_missing(directory) from None
    except OSError as e:
        if e.errno in _ODD_NAME:
            raise BadLocation("The location is not one of a file in this store.") from None
        if e.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise DeleteForbidden("The store's permissions do not allow deleting.") from e
        raise StoreError(f"The store cannot delete the image's data: {e.strerror}.") from e


def thd_read(fd: int, offset: int, length: int) -> bytes:
    """Read a range of a file; fewer bytes only at its end."""
    try:
        data = os.pread(fd, length, offset)
        while len(data) < length:
            more = os.pread(fd, length - len(data), offset + len(data))
            if not more:
                break
            data += more
    except OSError as e:
        raise StoreError(f"The store cannot read the image's data: {e.strerror}.") from e
    return data


def thd_bring_in(fd: int, offset: int, stop: int) -> None:
    """Have the kernel read a range of a file into the page cache, and wait until it is there."""
    try:
        os.posix_fadvise(fd, offset, stop - offset, os.POSIX_FADV_WILLNEED)
        for at in _samples(offset, stop):
            os.pread(fd, 1, at)
    except OSError as e:
        raise StoreError(f"The store cannot read the image's data: {e.strerror}.") from e


def _samples(offset: int, stop: int) -> list[int]:
    return [*range(offset, stop - 1, _STRIDE), stop - 1]


def cached(fd: int, offset: int, stop: int) -> bool:
    """Tell, without ever waiting for the disk, whether a range seems to be in the page cache."""
    byte = bytearray(1)
    try:
        return all(os.preadv(fd, [byte], at, os.RWF_NOWAIT) for at in _samples(offset, stop))
    except OSError:
        return False


@implementer(IFileReader)
class FileReader:
    """One file of a file store, open for reading.

    :param threads: of the store.
    :param fd: the descriptor, which this object closes.
    :param size: of the file.
    """

    def __init__(self, threads: Threads, fd: int, size: int) -> None:
        self._threads = threads
        self._fd = fd
        self._users = 1
        self._closed = False
        self.size = size

    def fileno(self) -> int:
        """Return the open descriptor.

        :raises ValueError: the reader is closed.
        """
        if self._closed:
            raise ValueError("The reader is closed.")
        return self._fd

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """Read up to ``length`` bytes; fewer only at the end of the object."""
        if self._closed:
            return fail(StoreError("The reader is closed."))
        length = min(length, self.size - offset)
        if length <= 0:
            return succeed(b"")
        self._users += 1
        return self._threads.run(thd_read, self._fd, offset, length, settled=self._leave)

    def prefetch(self, offset: int, length: int) -> Deferred[int]:
        """Bring a range into the page cache, without a trip to a thread if it is there already."""
        if self._closed:
            return fail(StoreError("The reader is closed."))
        stop = min(offset + length, self.size)
        if stop <= offset or cached(self._fd, offset, stop):
            return succeed(length)
        self._users += 1
        fetching = self._threads.run(thd_bring_in, self._fd, offset, stop, settled=self._leave)
        return fetching.addCallback(lambda _: length)

    def close(self) -> None:
        """Close the file once the reads in flight have ended."""
        if not self._closed:
            self._closed = True
            self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        if self._threads.running:
            # Closing asks the file server on some file systems.
            closing = self._threads.run(os.close, self._fd, must_run=True)
            closing.addErrback(lambda f: _log.failure("Closing a file", f))
        else:
            os.close(self._fd)
