"""The cache's directory: where copies, unfinished ones, broken ones and wishes stand.

The layout is that of the OpenStack Glance project's service, so that a directory can be adopted and
handed back::

    <image id>              a complete copy
    incomplete/<image id>   one that is being written, or that nobody has finished
    invalid/<image id>      one that was found to be wrong
    queue/<image id>        an empty file: the image is to be cached; the oldest is first
    locks/                  ours: what must not be done by two processes at once

Everything here blocks and belongs into a thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from glance.domain.caching import can_be_named
from glance.domain.errors import ConfigError, Unavailable

#: Seconds that the node's lock is waited for; its holders are done in milliseconds.
LOCK_TIME: Final = 10.0

_LOCK_SUFFIX: Final = ".fill"

_log = Logger()


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file of the cache.

    :param size: bytes.
    :param modified: when it was last written, seconds since the epoch.
    """

    image_id: str
    path: str
    size: int
    modified: float


class CacheDirectory:
    """Names the cache's files and lists them.

    :param root: ``image_cache_dir``.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self._incomplete = os.path.join(self.root, "incomplete")
        self._invalid = os.path.join(self.root, "invalid")
        self._queue = os.path.join(self.root, "queue")
        self._locks = os.path.join(self.root, "locks")
        self._directories = (self._incomplete, self._invalid, self._queue, self._locks)

    def copy(self, image_id: str) -> str:
        """Return where a complete copy is."""
        return os.path.join(self.root, _checked(image_id))

    def partial(self, image_id: str) -> str:
        """Return where an unfinished copy is."""
        return os.path.join(self._incomplete, _checked(image_id))

    def invalid(self, image_id: str) -> str:
        """Return where a copy goes that is wrong."""
        return os.path.join(self._invalid, _checked(image_id))

    def wish(self, image_id: str) -> str:
        """Return the queue's file of an image."""
        return os.path.join(self._queue, _checked(image_id))

    def fill_lock(self, image_id: str) -> str:
        """Return what is locked by who writes the copy of an image."""
        return os.path.join(self._locks, _checked(image_id) + _LOCK_SUFFIX)

    def thd_prepare(self) -> None:
        """Make what is missing of the directories, and check that they can be used.

        :raises ConfigError: they cannot; the message names the option.
        """
        probe = os.path.join(self._locks, "probe")
        try:
            os.makedirs(self.root, exist_ok=True)
            for path in self._directories:
                os.makedirs(path, mode=0o700, exist_ok=True)
                if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.root)
            fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            finally:
                os.close(fd)
        except OSError as error:
            place = error.filename or probe
            # Only of what is no directory is it told that it exists.
            why = "Not a directory" if error.errno == errno.EEXIST else error.strerror
            raise ConfigError(
                f"[DEFAULT]image_cache_dir = {self.root} cannot be used: {place}: {why}."
            ) from None

    def _thd_restore(self) -> None:
        """Make the directories anew if somebody has removed them, which is a way to empty a cache.

        Not the root: where that is gone, a file system may be. Whoever needs what is missing says
        so.
        """
        if not all(map(os.path.isdir, self._directories)) and os.path.isdir(self.root):
            with suppress(ConfigError):
                self.thd_prepare()
                _log.warn(
                    "Directories of the image cache were removed from {root} and are made anew",
                    root=self.root,
                )

    @contextmanager
    def thd_alone(self, name: str = "admission", wait: float = LOCK_TIME) -> Iterator[None]:
        """Be the only one on this node that does something.

        :param name: what is done; ``admission`` is claiming, making room, deleting.
        :param wait: seconds that another one is waited for.
        :raises Unavailable: it took longer.
        """
        self._thd_restore()
        path = os.path.join(self._locks, name)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + wait
            pause = 0.0005
            while not try_lock(fd, fcntl.LOCK_EX):
                if time.monotonic() >= deadline:
                    raise Unavailable(f"The image cache is busy with {name}.")
                time.sleep(pause)
                pause = min(2 * pause, 0.02)
            yield
        finally:
            os.close(fd)

    def thd_hold(self, name: str) -> int | None:
        """Become the only one on this node that does something, for as long as that takes.

        :param name: what is done.
        :returns: a descriptor, which is closed at the end; ``None`` if another one does it.
        """
        self._thd_restore()
        path = os.path.join(self._locks, name)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if try_lock(fd, fcntl.LOCK_EX):
            return fd
        os.close(fd)
        return None

    def thd_copies(self) -> list[CacheFile]:
        """List the complete copies."""
        return _thd_list(self.root)

    def thd_partials(self) -> list[CacheFile]:
        """List the unfinished copies."""
        return self._thd_below(self._incomplete)

    def thd_invalid(self) -> list[CacheFile]:
        """List the copies that were found to be wrong."""
        return self._thd_below(self._invalid)

    def _thd_below(self, directory: str) -> list[CacheFile]:
        try:
            return _thd_list(directory)
        except FileNotFoundError:
            if not os.path.isdir(self.root):
                raise
            # Whoever removed it removed the files in it.
            return []

    def thd_fill_locks(self) -> dict[str, str]:
        """Return the files that fills are locked by, held or not, by image."""
        found = {}
        for name in os.listdir(self._locks):
            image_id = name.removesuffix(_LOCK_SUFFIX)
            if name.endswith(_LOCK_SUFFIX) and can_be_named(image_id):
                found[image_id] = os.path.join(self._locks, name)
        return found

    def thd_queued(self) -> list[str]:
        """List the images that are to be cached, the oldest wish first."""
        wishes = sorted(
            self._thd_below(self._queue), key=lambda wish: (wish.modified, wish.image_id)
        )
        return [wish.image_id for wish in wishes]

    def thd_enqueue(self, image_id: str) -> bool:
        """Wish that an image be cached; tell whether that is new and not fulfilled already."""
        if os.path.lexists(self.copy(image_id)):
            return False
        self._thd_restore()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            os.close(os.open(self.wish(image_id), flags, 0o600))
        except FileExistsError:
            return False
        return True

    def thd_dequeue(self, image_id: str) -> bool:
        """Take a wish back; tell whether there was one."""
        return thd_unlinked(self.wish(image_id))

    def thd_dequeue_all(self) -> int:
        """Take all wishes back; return how many there were."""
        return sum(map(self.thd_dequeue, self.thd_queued()))


def _checked(image_id: str) -> str:
    if not can_be_named(image_id):
        raise ValueError("not an image's id")
    return image_id


def _thd_list(directory: str) -> list[CacheFile]:
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if not can_be_named(entry.name):
                continue
            with suppress(FileNotFoundError):
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(state.st_mode):
                    found.append(CacheFile(entry.name, entry.path, state.st_size, state.st_mtime))
    return found


def thd_unlinked(path: str) -> bool:
    """Remove a file; tell whether it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def thd_close(fd: int | None) -> None:
    """Close a file that was opened for somebody who has gone, if there was one."""
    if fd is not None:
        os.close(fd)


def try_lock(fd: int, how: int) -> bool:
    """Lock an open file if nobody has it, without waiting.

    :param how: ``fcntl.LOCK_SH`` or ``fcntl.LOCK_EX``.
    """
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
