"""Room in the cache: it is made before a copy is begun, so that the limit holds at every moment.

What counts is every file: complete copies, what copies being written are going to have, what was
left unfinished, what is invalid. Whoever claims, deletes or makes room does so alone on the node
(``CacheDirectory.thd_alone``), and what is being read stays: readers hold a shared lock on it.

Everything here blocks and belongs into a thread.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import Final

from glance.cache.claims import OPEN, Claim, thd_write_state
from glance.cache.layout import CacheDirectory, CacheFile, thd_unlinked, try_lock
from glance.cache.use import Use, thd_look_at, thd_reserved
from glance.domain.caching import in_order

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Refusal(Enum):
    """Why an image cannot be claimed."""

    #: There is a complete copy.
    PRESENT = "present"
    #: Another process writes it.
    BUSY = "busy"
    #: It does not fit, whatever may be removed.
    NO_ROOM = "no room"
    #: It does not fit unless others go, and nobody has said in which order they do.
    NO_ORDER = "no order"


@dataclass(slots=True)
class Removed:
    """What was removed.

    :param copies: ids of images whose complete copies are gone: the index has to learn of that.
    :param files: all files.
    :param size: their bytes.
    """

    copies: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0

    def add(self, file: CacheFile, *, complete: bool) -> None:
        """Note a file."""
        self.files += 1
        self.size += file.size
        if complete:
            self.copies.append(file.image_id)

    def include(self, more: Removed) -> None:
        """Note what was removed besides."""
        self.copies += more.copies
        self.files += more.files
        self.size += more.size


class Room:
    """Claims and removes copies.

    :param max_size: ``image_cache_max_size``, bytes.
    """

    def __init__(self, directory: CacheDirectory, max_size: int) -> None:
        self._directory = directory
        self._max_size = max_size

    def could_hold(self, size: int) -> bool:
        """Tell whether there could be room for a copy, were there no others."""
        return size <= self._max_size

    def thd_open(self, image_id: str, size: int) -> int | None:
        """Open a complete copy, in use from now on until the descriptor is closed.

        :param size: bytes that the image has; a copy of another length is put aside.
        :returns: a descriptor, or ``None`` if there is no copy that can be served.
        """
        path = self._directory.copy(image_id)
        try:
            fd = os.open(path, _READ)
        except OSError:
            return None
        with ExitStack() as undo:
            undo.callback(os.close, fd)
            # Whoever is about to remove it has the lock; then it is gone in a moment, or already.
            if not try_lock(fd, fcntl.LOCK_SH):
                return None
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode) or not state.st_nlink:
                return None
            if state.st_size == size:
                undo.pop_all()
                return fd
            with self._directory.thd_alone(), suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(path), state):
                    os.replace(path, self._directory.invalid(image_id))
        return None

    def thd_claim(
        self, image_id: str, size: int, order: Sequence[str] | None, *, resume: bool = True
    ) -> tuple[Claim | Refusal, Removed]:
        """Make room for the copy of an image, and get the right to write it.

        :param size: bytes that the image has.
        :param order: ids of cached images, those first that are to go first; ``None`` where that
            was not looked up, since it is mostly not asked for.
        :param resume: whether what another one left unfinished is gone on with; only who can tell
            in the end that it was right may do that.
        """
        removed = Removed()
        with self._directory.thd_alone(), ExitStack() as undo:
            if os.path.lexists(self._directory.copy(image_id)):
                return Refusal.PRESENT, removed
            lock = self._thd_lock_fill(image_id)
            if lock is None:
                return Refusal.BUSY, removed
            undo.callback(os.close, lock)
            undo.callback(thd_unlinked, self._directory.fill_lock(image_id))
            use = thd_look_at(self._directory, apart_from=image_id)
            offset = self._thd_left_behind(image_id, size if resume else -1)
            # Bytes too many by the limit, or too few that the file system has; whichever is more.
            lacking = max(
                use.total + size - self._max_size,
                size - offset - (self._thd_free() - use.promised),
            )
            if size > self._max_size:
                return Refusal.NO_ROOM, removed
            if lacking > 0:
                if order is None:
                    return Refusal.NO_ORDER, removed
                if not self._thd_remove(lacking, use, order, removed):
                    return Refusal.NO_ROOM, removed
            thd_write_state(lock, size, OPEN)
            fd = os.open(self._directory.partial(image_id), _WRITE, 0o600)
            undo.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_SH)
            undo.pop_all()
        return Claim(self._directory, image_id, size, fd, lock, offset), removed

    def thd_is_claimed(self, image_id: str) -> bool:
        """Tell whether some process writes the copy of an image."""
        with self._directory.thd_alone():
            return thd_reserved(self._directory.fill_lock(image_id)) is not None

    def thd_follow(self, image_id: str) -> tuple[int, int] | None:
        """Open the copy that another process is writing, in use from now on.

        :returns: descriptors of the copy and of its lock's file; ``None`` if there is none.
        """
        # Alone, since whoever claims it may be about to put another file in the place of this one.
        with self._directory.thd_alone(), ExitStack() as undo:
            try:
                lock = os.open(self._directory.fill_lock(image_id), _READ)
                undo.callback(os.close, lock)
                fd = os.open(self._directory.partial(image_id), _READ)
            except OSError:
                return None
            undo.callback(os.close, fd)
            if not try_lock(fd, fcntl.LOCK_SH):
                return None
            undo.pop_all()
        return fd, lock

    def thd_excess(self) -> int:
        """Return how many bytes there are beyond the limit; negative for those that are left."""
        with self._directory.thd_alone():
            return thd_look_at(self._directory).total - self._max_size

    def thd_is_written(self, lock: int) -> bool:
        """Tell whether who writes a copy is alive.

        :param lock: a descriptor of its lock's file, as :meth:`thd_follow` returns it.
        """
        # Alone, since nobody else may find it locked meanwhile.
        with self._directory.thd_alone():
            if not try_lock(lock, fcntl.LOCK_SH):
                return True
            fcntl.flock(lock, fcntl.LOCK_UN)
            return False

    def thd_prune(self, order: Sequence[str]) -> Removed:
        """Remove what is beyond the limit, as far as it is not in use."""
        removed = Removed()
        with self._directory.thd_alone():
            use = thd_look_at(self._directory)
            lacking = use.total - self._max_size
            self._thd_remove(lacking, use, order, removed, partly=True)
        return removed

    def thd_clean(self, stall_time: float) -> Removed:
        """Remove invalid copies, and unfinished ones that nobody works on.

        :param stall_time: seconds without progress after which that is so.
        """
        removed = Removed()
        with self._directory.thd_alone():
            use = thd_look_at(self._directory)
            now = time.time()
            stale = [p for p in use.partials if now - p.modified >= stall_time]
            for file in [*use.invalid, *(p for p in stale if p.image_id not in use.live)]:
                if _thd_remove_unused(file):
                    removed.add(file, complete=False)
        return removed

    def thd_drop(self, image_ids: Iterable[str], *, unfinished: bool = False) -> Removed:
        """Remove complete copies, also of images that are being sent.

        :param unfinished: whether copies that are being written go, too.
        """
        removed = Removed()
        wanted = set(image_ids)
        with self._directory.thd_alone():
            for file in self._copies_of(wanted):
                if thd_unlinked(file.path):
                    removed.add(file, complete=True)
            if unfinished:
                for image_id in wanted:
                    thd_unlinked(self._directory.partial(image_id))
        return removed

    def _copies_of(self, image_ids: Iterable[str]) -> Iterator[CacheFile]:
        for image_id in image_ids:
            path = self._directory.copy(image_id)
            try:
                state = os.lstat(path)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(state.st_mode):
                yield CacheFile(image_id, path, state.st_size, state.st_mtime)

    # With the node's lock held.

    def _thd_lock_fill(self, image_id: str) -> int | None:
        """Get the right to write a copy; ``None`` if somebody has it."""
        path = self._directory.fill_lock(image_id)
        lock = os.open(path, _WRITE, 0o600)
        with ExitStack() as undo:
            undo.callback(os.close, lock)
            if not try_lock(lock, fcntl.LOCK_EX):
                return None
            if not os.fstat(lock).st_size:
                undo.pop_all()
                return lock
            # What a dead process left is replaced, by which who follows it sees that it is dead.
            os.unlink(path)
        return self._thd_lock_fill(image_id)

    def _thd_left_behind(self, image_id: str, most: int) -> int:
        """Return how much there is of a copy to go on with; remove one that cannot be used.

        :param most: bytes that it may have.
        """
        path = self._directory.partial(image_id)
        try:
            state = os.lstat(path)
        except FileNotFoundError:
            return 0
        # What had not reached the disk when the machine went down is zeros now, and readers would
        # get it before anybody can tell.
        whole = state.st_size <= most and state.st_mtime > _booted_at()
        # An empty one may be followed, and is as good as a new one.
        if stat.S_ISREG(state.st_mode) and (whole or not state.st_size):
            return state.st_size
        os.unlink(path)
        return 0

    def _thd_free(self) -> int:
        state = os.statvfs(self._directory.root)
        return state.f_bavail * state.f_frsize

    def _thd_remove(
        self,
        lacking: int,
        use: Use,
        order: Sequence[str],
        removed: Removed,
        *,
        partly: bool = False,
    ) -> bool:
        """Remove files until enough bytes are free; nothing at all if that is not possible.

        :param partly: remove what can be removed even if it is not enough.
        :returns: whether there is enough.
        """
        copies = {file.image_id: file for file in use.copies}
        oldest_first = sorted(use.invalid, key=lambda file: file.modified)
        stale = [p for p in use.partials if p.image_id not in use.live]
        candidates = [
            *((file, False) for file in oldest_first),
            *((file, False) for file in sorted(stale, key=lambda file: file.modified)),
            *((copies[name], True) for name in in_order(copies, order)),
        ]
        if not partly and lacking > 0:
            # To keep them locked until it is known would take as many descriptors as files.
            unused = (file.size for file, _ in candidates if _thd_is_unused(file))
            if not any(total >= lacking for total in accumulate(unused)):
                return False
        for file, complete in candidates:
            if lacking <= 0:
                break
            # Somebody may have opened it since; then the next ones have to go.
            if _thd_remove_unused(file):
                removed.add(file, complete=complete)
                lacking -= file.size
        return lacking <= 0


def _booted_at() -> float:
    """Return when the machine was started, seconds since the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def _thd_unused(path: str) -> Iterator[bool]:
    """Tell whether nobody has a file open; if so, nobody can open it meanwhile."""
    try:
        fd = os.open(path, _READ)
    except OSError:
        yield False
        return
    try:
        yield try_lock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def _thd_is_unused(file: CacheFile) -> bool:
    with _thd_unused(file.path) as unused:
        return unused


def _thd_remove_unused(file: CacheFile) -> bool:
    with _thd_unused(file.path) as unused:
        return unused and thd_unlinked(file.path)
