"""The right to write the copy of an image, which one process of the node has at a time.

It is a lock on a file, so it ends with its holder. That file also says how much room the copy takes
and, at the end, what was found out about it (the *verdict*), for the other processes that read the
copy while it grows::

    <size in bytes, 20 digits> <verdict>

Everything here blocks and belongs into a thread.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import Final

from glance.cache.layout import CacheDirectory, thd_unlinked, try_lock

#: What a filler has found out: nothing yet; all bytes are there and right; they are wrong; the
#: copy is given up, though no byte of it is known to be wrong.
OPEN: Final = "open"
GOOD: Final = "good"
BAD: Final = "bad"
GIVEN_UP: Final = "given up"

_VERDICTS: Final = frozenset({OPEN, GOOD, BAD, GIVEN_UP})
_ERROR_ATTRIBUTE: Final = "user.error"


class Claim:
    """A copy that this process writes.

    One of the methods that end it must be called: :meth:`thd_commit`, :meth:`thd_reject`,
    :meth:`thd_give_up` or :meth:`thd_release`. They close ``lock``, and leave ``fd`` to the caller,
    whose readers may still need it. If one fails, another is tried, :meth:`abandon` at last.

    :param fd: the unfinished copy, open for reading and writing, locked as being in use.
    :param lock: the lock's descriptor.
    :param offset: bytes that are there already, which somebody else left behind.
    """

    def __init__(
        self, directory: CacheDirectory, image_id: str, size: int, fd: int, lock: int, offset: int
    ) -> None:
        self.image_id = image_id
        self.size = size
        self.fd = fd
        self.offset = offset
        self._directory = directory
        self._lock = lock

    @property
    def ended(self) -> bool:
        """Whether the right to write is given back."""
        return self._lock < 0

    def thd_judge(self, verdict: str) -> None:
        """Tell the readers in other processes how it ends, before it has."""
        thd_write_state(self._lock, self.size, verdict)

    def thd_commit(self) -> bool:
        """Make the copy one that is served; the caller has checked every byte of it.

        :returns: ``False`` if the copy was deleted meanwhile; there is none then.
        """
        os.fsync(self.fd)
        self.thd_judge(GOOD)
        source = self._directory.partial(self.image_id)
        with self._directory.thd_alone():
            ours = _is_same(source, self.fd)
            if ours:
                os.rename(source, self._directory.copy(self.image_id))
                self._directory.thd_dequeue(self.image_id)
            self._thd_unlock()
        return ours

    def thd_reject(self, reason: str) -> None:
        """Put the copy aside, since it is wrong.

        :param reason: for whoever inspects the file.
        """
        self.thd_judge(BAD)
        source = self._directory.partial(self.image_id)
        with self._directory.thd_alone():
            if _is_same(source, self.fd):
                # Not every file system has attributes.
                with suppress(OSError):
                    os.setxattr(self.fd, _ERROR_ATTRIBUTE, reason.encode())
                os.replace(source, self._directory.invalid(self.image_id))
            self._thd_unlock()

    def thd_give_up(self) -> None:
        """Remove the copy, since it cannot be written."""
        # What cannot be written may be this, too.
        with suppress(OSError):
            self.thd_judge(GIVEN_UP)
        source = self._directory.partial(self.image_id)
        with self._directory.thd_alone():
            if _is_same(source, self.fd):
                os.unlink(source)
            self._thd_unlock()

    def thd_release(self) -> None:
        """Leave the copy as it is, for another to go on with."""
        source = self._directory.partial(self.image_id)
        with self._directory.thd_alone():
            if not os.fstat(self.fd).st_size and _is_same(source, self.fd):
                if try_lock(self.fd, fcntl.LOCK_EX):
                    os.unlink(source)
                else:
                    # Somebody follows, and can go on with this very file. To have tried has cost
                    # us our own lock (flock(2)).
                    fcntl.flock(self.fd, fcntl.LOCK_SH)
            self._thd_unlock()

    def abandon(self) -> None:
        """Give the right to write back as a process does that dies, where nothing else is possible.

        It waits for nobody and may be called anywhere, after any other.
        """
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _thd_unlock(self) -> None:
        # In this order: who has the file open sees that it is gone, and that it is unlocked next.
        thd_unlinked(self._directory.fill_lock(self.image_id))
        self.abandon()


def _is_same(path: str, fd: int) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(fd))


def thd_write_state(fd: int, size: int, verdict: str) -> None:
    """Write what a lock's file says."""
    os.pwrite(fd, f"{size:020d} {verdict:<10}\n".encode(), 0)


def thd_read_state(fd: int) -> tuple[int, str] | None:
    """Read what a lock's file says: size and verdict; ``None`` if nothing yet."""
    size, _, verdict = os.pread(fd, 64, 0).decode("ascii", "replace").partition(" ")
    if not size.isdigit() or verdict.strip() not in _VERDICTS:
        return None
    return int(size), verdict.strip()
