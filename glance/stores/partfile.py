"""A file under construction: the blocking half of writing to the file store.

The bytes go to a hidden temporary name in the directory where they will stay, and the file is held
under an exclusive ``flock`` for as long as its writer lives. Locks die with their process, so
:func:`thd_sweep` can tell what a dead process left from what a live one, this or another, is
writing. Publishing is a hard link: it either gives the whole durable file its name or fails since
the name is taken.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from typing import Final

from twisted.logger import Logger

from glance.stores.errors import DuplicateData, StoreError, StoreFull, WriteDenied

_log = Logger()

ZERO_PIECE: Final = 64 * 1024
_ZEROS: Final = bytes(ZERO_PIECE)
_LEFTOVER: Final = re.compile(r"\..+\.([0-9a-f]{8})-[0-9a-f]{16}\.part")
# Where the lock does not reach other machines (NFS mounted with local locks), this much silence
# tells that a writer on another machine is gone; a live one touches its file all the time.
_FOREIGN_SILENCE: Final = 3600.0
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
_NO_LOCKS: Final = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_NO_DIR_SYNC: Final = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn an ``OSError`` of writing into the store's own errors, without the file's path.

    :param doing: what was tried, for the message of an error that has no name of its own.
    """
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            raise StoreFull("The store has no room left for the image.") from e
        if e.errno in _DENIED:
            raise WriteDenied("The store's permissions do not allow writing.") from e
        raise StoreError(f"The store failed while {doing}: {os.strerror(e.errno or 0)}.") from e


def host_mark() -> str:
    """Return eight hexadecimal digits that stand for this machine in temporary names."""
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]


class PartFile:
    """One file being written. Its methods block, and may run in several threads at once.

    :param directory: where the file will stay.
    :param name: its final name there.
    :param perm: its final mode; ``0`` leaves that to the umask.
    :param direct: write past the page cache where the file system can.
    :param thin: leave holes instead of writing zeros.
    """

    def __init__(self, directory: str, name: str, perm: int, direct: bool, thin: bool) -> None:
        self.directory = directory
        self.name = name
        self._perm = perm
        self._thin = thin
        self._direct = direct
        self._lock = threading.Lock()
        self._length = 0
        self._temporary: str | None = None
        self._published: tuple[int, int, int] | None = None
        self._dir_fd = -1
        self._fd = -1

    def thd_open(self) -> PartFile:
        """Create the temporary file and lock it.

        :raises DuplicateData: the final name is taken.
        """
        with translated("creating a file"):
            self._dir_fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if self._taken():
                    raise DuplicateData("The store holds data of that name already.")
                while not self._create():
                    pass
            except BaseException:
                self.thd_close()
                raise
        return self

    def _taken(self) -> bool:
        try:
            os.lstat(self.name, dir_fd=self._dir_fd)
        except FileNotFoundError:
            return False
        return True

    def _create(self) -> bool:
        temporary = f".{self.name}.{host_mark()}-{secrets.token_hex(8)}.part"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        # With a mode of its own the file opens up to others only when it is complete.
        mode = 0o600 if self._perm > 0 else 0o666
        fd = -1
        if self._direct:
            try:
                fd = os.open(temporary, flags | os.O_DIRECT, mode, dir_fd=self._dir_fd)
            except OSError as e:
                if e.errno != errno.EINVAL:
                    raise
                self._direct = False
                # Some file systems create the file before they refuse the flag.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=self._dir_fd)
        if fd < 0:
            fd = os.open(temporary, flags, mode, dir_fd=self._dir_fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as e:
            if e.errno not in _NO_LOCKS:
                os.close(fd)
                raise
            _log.warn("{path} has no file locks; leftovers stay there.", path=self.directory)
        if not os.fstat(fd).st_nlink:
            # A sweep came between creating and locking and took the file for a leftover.
            os.close(fd)
            return False
        self._fd, self._temporary = fd, temporary
        return True

    def thd_write(self, offset: int, data: memoryview) -> None:
        """Write all of ``data`` at an offset.

        :raises StoreFull: no room.
        :raises WriteDenied: not allowed.
        """
        with translated("writing"):
            if self._thin:
                for start, stop in runs_of_data(data):
                    self._write(offset + start, data[start:stop])
            else:
                self._write(offset, data)
        end = offset + len(data)
        with self._lock:
            self._length = max(self._length, end)

    def _write(self, offset: int, data: memoryview) -> None:
        while data:
            direct = self._direct
            try:
                n = os.pwrite(self._fd, data, offset)
            except OSError as e:
                # Direct writes want aligned memory, length and offset; what is not goes through
                # the page cache, and so does all that follows.
                if e.errno != errno.EINVAL or not direct:
                    raise
                self._leave_direct()
                continue
            if not direct:
                # Begin writing back now, or commit would wait for gigabytes of dirty pages.
                os.posix_fadvise(self._fd, offset, n, os.POSIX_FADV_DONTNEED)
            offset += n
            data = data[n:]

    def _leave_direct(self) -> None:
        # A write in flight took the flag when it began; clearing it touches only later ones.
        with self._lock:
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
            self._direct = False

    def thd_commit(self) -> int:
        """Make the file durable, give it its name and return its length.

        :raises DuplicateData: another writer was faster.
        """
        with translated("finishing a file"):
            if os.fstat(self._fd).st_size < self._length:
                os.ftruncate(self._fd, self._length)
            if self._perm > 0:
                try:
                    os.fchmod(self._fd, self._perm)
                except OSError as e:
                    _log.warn("filesystem_store_file_perm cannot be applied: {error}", error=e)
            os.fsync(self._fd)
            self._publish()
            try:
                self._sync_directory()
            except OSError:
                self.thd_unpublish()
                raise
        self.thd_close()
        return self._length

    def _publish(self) -> None:
        assert self._temporary is not None
        fds = {"src_dir_fd": self._dir_fd, "dst_dir_fd": self._dir_fd}
        try:
            os.link(self._temporary, self.name, follow_symlinks=False, **fds)
        except FileExistsError:
            raise DuplicateData("The store holds data of that name already.") from None
        except OSError as e:
            if e.errno not in _NO_LINKS:
                raise
            if self._taken():
                raise DuplicateData("The store holds data of that name already.") from None
            os.rename(self._temporary, self.name, **fds)
        else:
            # Should this fail, the sweep removes the second name, and only that.
            with contextlib.suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._dir_fd)
        self._temporary = None
        state = os.fstat(self._fd)
        # With the time, because a number is given to the next file when this one is gone.
        self._published = state.st_dev, state.st_ino, state.st_mtime_ns

    def _sync_directory(self) -> None:
        try:
            os.fsync(self._dir_fd)
        except OSError as e:
            if e.errno not in _NO_DIR_SYNC:
                raise

    def thd_unpublish(self) -> None:
        """Take back a commit whose caller had given up."""
        if self._published is None:
            return
        path = os.path.join(self.directory, self.name)
        with contextlib.suppress(FileNotFoundError):
            state = os.lstat(path)
            if (state.st_dev, state.st_ino, state.st_mtime_ns) == self._published:
                os.unlink(path)
        self._published = None

    def thd_discard(self) -> None:
        """Remove the temporary file, if it is still there, and let go of everything."""
        try:
            if self._temporary is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._temporary, dir_fd=self._dir_fd)
                self._temporary = None
        finally:
            self.thd_close()

    def thd_close(self) -> None:
        """Close the descriptors, and with them the lock."""
        fds, self._fd, self._dir_fd = (self._fd, self._dir_fd), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)


def runs_of_data(data: memoryview) -> Iterator[tuple[int, int]]:
    """Yield ``(start, stop)`` of the stretches that are not all zeros, in 64 KiB pieces."""
    start = None
    for at in range(0, len(data), ZERO_PIECE):
        piece = data[at : at + ZERO_PIECE]
        # A look at three bytes spares nearly all pieces with data the full comparison.
        size = len(piece)
        hole = not (piece[0] or piece[size // 2] or piece[-1]) and bytes(piece) == _ZEROS[:size]
        if hole and start is not None:
            yield start, at
            start = None
        elif not hole and start is None:
            start = at
    if start is not None:
        yield start, len(data)


def thd_sweep(directory: str) -> int:
    """Remove temporary files whose writers are gone; return how many went."""
    gone = 0
    try:
        with os.scandir(directory) as entries:
            leftovers = [e.name for e in entries if _LEFTOVER.fullmatch(e.name)]
    except OSError as e:
        _log.warn("{path} cannot be searched for leftovers: {error}", path=directory, error=e)
        return 0
    for name in leftovers:
        path = os.path.join(directory, name)
        try:
            gone += thd_remove_if_dead(path, name)
        except FileNotFoundError:
            continue
        except OSError as e:
            _log.warn("The leftover {path} stays: {error}", path=path, error=e)
    return gone


def is_partial(name: str) -> bool:
    """Tell whether a name is that of an unfinished file."""
    return _LEFTOVER.fullmatch(name) is not None


def thd_remove_if_dead(path: str, name: str, *, only_look: bool = False) -> bool:
    """Remove a temporary file if its writer is gone; return whether that was so.

    :param only_look: leave it where it is.
    :raises OSError: it is gone already, or the permissions do not allow it.
    """
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            return False
        match = _LEFTOVER.fullmatch(name)
        foreign = match is None or match[1] != host_mark()
        if foreign and time.time() - state.st_mtime < _FOREIGN_SILENCE:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if only_look:
            return True
        # A writer that has created the file and waits for the lock that is ours now will see that
        # its file has lost its name, and begin anew.
        os.unlink(path)
        return True
    finally:
        os.close(fd)
