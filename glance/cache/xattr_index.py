"""The index in the copies themselves: their extended attributes and times.

``user.hits``, the time of the last access, the time of the last change and the size are where the
OpenStack Glance project's service has them too. It takes a file's access time for the last hit; but
that also changes, on most file systems once between two hits, when somebody merely reads: a backup,
or a client that goes away. So we note the last hit in an attribute of our own as well, together
with the number of hits: as long as that number is right nobody else has counted since, and the
note holds.

Entries are files, so nothing is here to be forgotten: without its attributes a copy has no hits.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from glance.cache.index_threads import IndexThreads, JobThreads
from glance.cache.interfaces import ICacheIndex
from glance.cache.layout import CacheDirectory
from glance.domain.caching import CachedImage
from glance.domain.errors import ConfigError, Unavailable

_HITS: Final = "user.hits"
#: Ours: how many hits there were and when the last one was; an MD5, where it was noted.
_LAST_HIT: Final = "user.last_hit"
_CHECKSUM: Final = "user.checksum"

#: How a file system says that it has no attributes.
_UNSUPPORTED: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES})


class NoAttributes(ConfigError):
    """The cache's file system keeps no attributes of users."""


@implementer(ICacheIndex)
class XattrIndex:
    """Keeps book in extended attributes.

    :param directory: the cache's.
    :param threads: those to use instead of two of its own.
    """

    name = "xattr"
    _log = Logger()

    def __init__(
        self, directory: CacheDirectory, reactor: Any, threads: JobThreads | None = None
    ) -> None:
        self._directory = directory
        self._threads = IndexThreads(reactor, threads=threads)

    def start(self) -> Deferred[None]:
        """Try whether the file system has attributes.

        :raises NoAttributes: it has not.
        """
        self._threads.start()
        return self._threads.change(self._thd_start)

    def stop(self) -> Deferred[None]:
        """End the threads."""
        return self._threads.stop()

    def entries(self) -> Deferred[list[CachedImage]]:
        """Return an entry for each copy."""
        return self._threads.read(self._thd_entries)

    def add(self, entries: Sequence[CachedImage]) -> Deferred[None]:
        """Note what is known of copies; those without a file are passed over."""
        work = {entry.image_id: _adding(entry) for entry in entries}
        return self._threads.change(self._thd_each, work)

    def remove(self, image_ids: Sequence[str]) -> Deferred[None]:
        """Forget what is known of copies whose files are still there."""
        return self._threads.change(self._thd_each, dict.fromkeys(image_ids, _thd_forget))

    def touch(self, hits: Mapping[str, tuple[int, float]]) -> Deferred[None]:
        """Count hits."""
        work = {image_id: _counting(more, at) for image_id, (more, at) in hits.items()}
        return self._threads.change(self._thd_each, work)

    def _thd_start(self) -> None:
        self._directory.thd_prepare()
        root = self._directory.root
        try:
            with tempfile.TemporaryFile(dir=root) as probe:
                os.setxattr(probe.fileno(), _HITS, b"0")
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                raise NoAttributes(
                    f"[DEFAULT]image_cache_driver = xattr: the file system of {root} has no "
                    f"extended attributes for users: {error.strerror}."
                ) from None
            # A disk that is full says nothing of attributes.
            raise Unavailable(
                f"The image cache's directory cannot be written to: {error.strerror}."
            ) from error

    def _thd_entries(self) -> list[CachedImage]:
        found = []
        for file in self._directory.thd_copies():
            with suppress(OSError), _opened(file.path) as fd:
                found.append(_thd_entry(file.image_id, fd))
        return found

    def _thd_each(self, work: Mapping[str, Callable[[str, int], None]]) -> None:
        """Do something to each of some copies, and let no other process do so meanwhile."""
        done, failed = 0, None
        with self._directory.thd_alone("index"):
            for image_id, thd in work.items():
                try:
                    with _opened(self._directory.copy(image_id)) as fd:
                        thd(image_id, fd)
                    done += 1
                except (FileNotFoundError, ValueError):
                    continue  # It went away, or can never have been there.
                except OSError as error:
                    failed = error
        if failed is None:
            return
        if not done:
            raise Unavailable(f"Attributes cannot be written: {failed.strerror}.") from failed
        # To have all of it done again would count twice what was counted.
        self._log.warn("Attributes of some copies cannot be written: {e}", e=failed.strerror)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a copy, so that it is the same file all the time.

    :raises FileNotFoundError: it is gone, or is none.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(error.errno, "a symbolic link", path) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file", path)
        yield fd
    finally:
        os.close(fd)


def _thd_entry(image_id: str, fd: int) -> CachedImage:
    state = os.fstat(fd)
    hits = _whole(_thd_attribute(fd, _HITS))
    counted, _, at = (_thd_attribute(fd, _LAST_HIT) or "").partition(" ")
    noted = _time(at) if counted == str(hits) else None
    return CachedImage(
        image_id,
        state.st_size,
        hits,
        state.st_atime if noted is None else noted,
        state.st_mtime,
        _thd_attribute(fd, _CHECKSUM),
    )


def _thd_attribute(fd: int, name: str) -> str | None:
    try:
        return os.getxattr(fd, name).decode("ascii", "replace")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def _whole(text: str | None) -> int:
    try:
        return max(0, int(text or ""))
    except ValueError:
        return 0


def _time(text: str) -> float | None:
    try:
        at = float(text)
    except ValueError:
        return None
    return at if math.isfinite(at) else None


def _adding(entry: CachedImage) -> Callable[[str, int], None]:
    def thd_add(image_id: str, fd: int) -> None:
        if entry.checksum is None:
            _thd_drop(fd, _CHECKSUM)
        else:
            os.setxattr(fd, _CHECKSUM, entry.checksum.encode())
        _thd_note(fd, entry, _nanoseconds(entry.last_modified))

    return thd_add


def _counting(more: int, at: float) -> Callable[[str, int], None]:
    def thd_count(image_id: str, fd: int) -> None:
        known = _thd_entry(image_id, fd)
        last = max(known.last_accessed, at)
        counted = replace(known, hits=known.hits + more, last_accessed=last)
        _thd_note(fd, counted, os.fstat(fd).st_mtime_ns)

    return thd_count


def _thd_note(fd: int, entry: CachedImage, modified: int) -> None:
    # In this order: hits without their note are right, a note without its hits would not be.
    os.setxattr(fd, _HITS, b"%d" % entry.hits)
    os.setxattr(fd, _LAST_HIT, f"{entry.hits} {entry.last_accessed!r}".encode())
    os.utime(fd, ns=(_nanoseconds(entry.last_accessed), modified))


def _thd_forget(image_id: str, fd: int) -> None:
    for name in (_HITS, _LAST_HIT, _CHECKSUM):
        _thd_drop(fd, name)


def _thd_drop(fd: int, name: str) -> None:
    try:
        os.removexattr(fd, name)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise


def _nanoseconds(at: float) -> int:
    return round(at * 1e9)
