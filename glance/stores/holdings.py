"""What is in the directories of a file store, and moving out of them what no image refers to.

A directory may hold millions of files, and the system lists them in no order. They are listed in
the order of their names all the same, a window of names at a time, so that memory stays bounded and
a listing can be gone on with later: each window costs one more look through the directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from glance.stores import datadirs
from glance.stores.errors import BadLocation, DataNotFound, DeleteForbidden, StoreError
from glance.stores.interfaces import FOREIGN, LEFTOVER, OBJECT, Held, IHoldings
from glance.stores.partfile import is_partial, thd_remove_if_dead
from glance.stores.threads import Threads

T = TypeVar("T")

#: Directory, beside the files, for those that were set aside.
ASIDE: Final = ".glance-quarantine"

#: Names kept in memory at a time, about 20 MB of them.
WINDOW: Final = 200_000

_ESCAPED: Final = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u\{([0-9a-f]+)\})")
_DENIED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


def key_of(path: str) -> str:
    """Return a path as text that can be printed and kept anywhere.

    Names of files are bytes; what is no text in them, and what would upset a terminal, is escaped.
    """
    if path.isprintable() and "\\" not in path:
        return path
    return "".join(map(_escape, path))


def _escape(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{{{code:x}}}"


def path_of(key: str) -> str:
    """Return the path that a key stands for."""

    def char(match: re.Match[str]) -> str:
        if match[1]:
            return chr(0xDC00 + int(match[1], 16))
        return chr(int(match[2], 16)) if match[2] else "\\"

    return _ESCAPED.sub(char, key) if "\\" in key else key


@dataclass(slots=True)
class _Window:
    """Some names of a directory in order, and whether there are more behind them."""

    directory: str
    after: str
    names: list[str]
    last: bool

    def covers(self, directory: str, after: str) -> bool:
        """Tell whether the names that follow another are here."""
        if directory != self.directory or after < self.after:
            return False
        return self.last or bool(self.names and after < self.names[-1])


@implementer(IHoldings)
class FileHoldings:
    """The files of a file store.

    :param threads: of the store.
    :param directories: its directories, as configured.
    :param window: how many names to keep in memory at most.
    """

    def __init__(self, threads: Threads, directories: Iterable[str], window: int = WINDOW) -> None:
        self._threads = threads
        self._directories = list(directories)
        self._size = window
        self._window: _Window | None = None
        self._real: dict[str, str] = {}

    def page(self, after: str, limit: int) -> Deferred[list[Held]]:
        """List the files that come next, by directory and name."""
        return self._threads.run(self._thd_page, after, limit, timeout=0)

    def look(self, key: str) -> Deferred[Held | None]:
        """Look at a file again."""
        return self._threads.run(_thd_held, *os.path.split(path_of(key)))

    def keys_of(self, urls: Sequence[str]) -> Deferred[list[list[str]]]:
        """Return the paths that URLs may mean."""
        return self._threads.run(self._thd_keys, list(urls), timeout=0)

    def is_barren(self, url: str) -> Deferred[bool]:
        """Tell whether the directory of a URL has no entry, or is not there."""
        return self._threads.run(_thd_is_barren, url)

    def set_aside(self, held: Held) -> Deferred[str]:
        """Move a file into a directory beside it."""
        return self._threads.run(_thd_worded, _thd_set_aside, held)

    def put_back(self, held: Held, place: str) -> Deferred[bool]:
        """Move a file back."""
        return self._threads.run(_thd_worded, _thd_put_back, held, place)

    def drop_leftover(self, held: Held) -> Deferred[bool]:
        """Remove the temporary file of a dead writer."""
        return self._threads.run(_thd_worded, _thd_drop, held)

    def _thd_roots(self) -> list[str]:
        return sorted({datadirs.thd_real(path) for path in self._directories})

    def _thd_page(self, after: str, limit: int) -> list[Held]:
        held: list[Held] = []
        before, name = os.path.split(path_of(after))
        for directory in self._thd_roots():
            if directory < before:
                continue
            start = name if directory == before else ""
            while len(held) < limit:
                names = self._thd_names(directory, start, limit - len(held))
                if not names:
                    break
                start = names[-1]
                found = (_thd_held(directory, each) for each in names)
                held += [each for each in found if each is not None]
        return held

    def _thd_names(self, directory: str, after: str, limit: int) -> list[str]:
        window = self._window
        if window is None or not window.covers(directory, after):
            window = self._window = _thd_window(directory, after, self._size)
        start = bisect_right(window.names, after)
        return window.names[start : start + limit]

    def _thd_keys(self, urls: Sequence[str]) -> list[list[str]]:
        roots = set(self._thd_roots())
        found: list[list[str]] = []
        for url in urls:
            try:
                pairs = datadirs.split_url(url)
            except BadLocation:
                found.append([])
                continue
            keys = [(self._thd_real(directory), name) for directory, name in pairs]
            found.append([key_of(os.path.join(root, name)) for root, name in keys if root in roots])
        return found

    def _thd_real(self, directory: str) -> str:
        real = self._real.get(directory)
        if real is None:
            # Whoever writes locations chooses what stands in them.
            if len(self._real) > 1000:
                self._real.clear()
            real = self._real[directory] = datadirs.thd_real(directory)
        return real


def _thd_window(directory: str, after: str, size: int) -> _Window:
    try:
        with os.scandir(directory) as entries:
            names = nsmallest(size + 1, (e.name for e in entries if e.name > after))
    except OSError as e:
        raise StoreError(f"{directory} cannot be listed: {e.strerror}.") from e
    if not after and ASIDE in names:
        names.remove(ASIDE)
    return _Window(directory, after, names[:size], len(names) <= size)


def _thd_is_barren(url: str) -> bool:
    try:
        directories = [directory for directory, _ in datadirs.split_url(url)]
    except BadLocation:
        return False
    for directory in directories:
        try:
            with os.scandir(directory) as entries:
                if next(entries, None) is not None:
                    return False
        except FileNotFoundError:
            continue
        except OSError as e:
            raise StoreError(f"{directory} cannot be listed: {e.strerror}.") from e
    return True


def _thd_held(directory: str, name: str) -> Held | None:
    """Look at a file; ``None`` when it is not there, or a live writer's."""
    path = os.path.join(directory, name)
    try:
        state = os.lstat(path)
        kind = FOREIGN
        if stat.S_ISREG(state.st_mode) and datadirs.plain_name(name):
            kind = OBJECT
        elif stat.S_ISREG(state.st_mode) and is_partial(name):
            if not thd_remove_if_dead(path, name, only_look=True):
                return None
            kind = LEFTOVER
    except FileNotFoundError:
        return None
    except OSError as e:
        if e.errno in _DENIED and is_partial(name):
            # Whose it is cannot be told.
            return None
        raise StoreError(f"{directory} cannot be looked into: {e.strerror}.") from e
    shown = key_of(path)
    return Held(shown, os.path.basename(shown), kind, state.st_size, state.st_mtime, _mark(state))


def _mark(state: os.stat_result) -> str:
    # With times and length, because a number is given to the next file when this one is gone.
    facts = state.st_dev, state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size
    return ".".join(f"{fact:x}" for fact in facts)


def _thd_worded(function: Callable[..., T], *args: object) -> T:
    try:
        return function(*args)
    except FileNotFoundError:
        raise DataNotFound("The file is not there any more.") from None
    except OSError as e:
        if e.errno in _DENIED:
            raise DeleteForbidden("The store's permissions do not allow it.") from e
        raise StoreError(f"The store cannot do it: {e.strerror}.") from e


def _thd_set_aside(held: Held) -> str:
    path = path_of(held.key)
    directory, name = os.path.split(path)
    if _mark(os.lstat(path)) != held.mark:
        raise DataNotFound("Another file has the name by now.")
    aside = os.path.join(directory, ASIDE)
    with contextlib.suppress(FileExistsError):
        os.mkdir(aside, 0o700)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    place = os.path.join(aside, f"{name}.{moment}-{secrets.token_hex(4)}")
    _thd_move(path, place)
    return key_of(place)


def _thd_put_back(held: Held, place: str) -> bool:
    try:
        _thd_move(path_of(place), path_of(held.key))
    except FileExistsError:
        return False
    return True


def _thd_move(source: str, target: str) -> None:
    """Give a file another name, unless that is taken."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(source, target)
    else:
        os.unlink(source)
    for directory in {os.path.dirname(source), os.path.dirname(target)}:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Some file systems have no such thing; the names are as they should be all the same.
            with contextlib.suppress(OSError):
                os.fsync(fd)
        finally:
            os.close(fd)


def _thd_drop(held: Held) -> bool:
    path = path_of(held.key)
    return thd_remove_if_dead(path, os.path.basename(path))
