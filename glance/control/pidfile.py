"""Pid files: where they are, what they say, and who may change them.

``twistd`` writes a server's pid file and removes it when it ends in order. Here they are read, and
removed when they are stale. Whoever starts a server or removes a file holds a lock meanwhile, so
that two starts at the same moment make one server, and a file that a new server has just written
is not removed as that of the old one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glance.control.errors import PidFileError

#: More than any process number has digits.
_LONGEST = 64

_ELSEWHERE = " Name another file with --pid-file."


@dataclass(frozen=True)
class PidFile:
    """A pid file, there or not.

    :param path: absolute.
    """

    path: Path

    def read(self) -> int | None:
        """Return the process number in it: None without a file, 0 if the file is empty.

        :raises PidFileError: it cannot be read, or holds something else.
        """
        try:
            # A pipe of that name must not keep us waiting.
            how = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.path, how)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PidFileError(
                    f"The pid file {self.path} is a symbolic link, and not followed. Remove it, or "
                    "name another file with --pid-file."
                ) from None
            raise self._error("cannot be read", error) from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PidFileError(f"The pid file {self.path} is not a regular file.")
            text = os.read(descriptor, _LONGEST).strip()
        except OSError as error:
            raise self._error("cannot be read", error) from None
        finally:
            os.close(descriptor)
        if not text:
            return 0
        if not text.isdigit():
            raise PidFileError(
                f"{self.path} does not hold a process number, so it may be no pid file; it is left "
                "alone. Remove it, or name another file with --pid-file."
            )
        return int(text)

    def prepare(self, mode: int = 0o755) -> None:
        """Make its directory.

        :raises PidFileError: it cannot be made.
        """
        try:
            self.path.parent.mkdir(mode=mode, parents=True, exist_ok=True)
        except OSError as error:
            taken = isinstance(error, FileExistsError)
            reason = "something else has its name" if taken else _reason(error)
            raise PidFileError(
                f"The directory of the pid file {self.path} cannot be made: {reason}. "
                "Name another file with --pid-file."
            ) from None

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock; wait for it.

        :param waiting: called once if somebody else holds it.
        :raises PidFileError: its directory cannot be written.
        """
        lock = self.try_lock()
        if lock is None:
            waiting()
            lock = self._lock(fcntl.LOCK_EX)
            assert lock is not None
        with lock:
            yield

    def try_lock(self) -> Lock | None:
        """Take the lock, or return None if somebody else holds it.

        :raises PidFileError: its directory cannot be written.
        """
        return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _lock(self, how: int) -> Lock | None:
        path = f"{self.path}.lock"
        while True:
            try:
                descriptor = os.open(
                    path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
                )
            except OSError as error:
                raise self._error(f"cannot be locked by {path}", error, _ELSEWHERE) from None
            lock = Lock(path, descriptor)
            try:
                fcntl.flock(descriptor, how)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            # The holder before us removes the file; a lock on what is no longer there is none.
            if lock.stands():
                return lock
            os.close(descriptor)

    def discard(self) -> None:
        """Remove the file; for the holder of the lock.

        :raises PidFileError: it cannot be removed.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._error("cannot be removed", error) from None

    def remove(self, pid: int) -> bool:
        """Remove the file if it still holds a certain process number.

        :returns: whether it did.
        :raises PidFileError: it cannot be removed.
        """
        if self.read() != pid:
            return False
        with self.lock():
            if self.read() != pid:
                return False
            self.discard()
            return True

    def mark(self, pid: int) -> None:
        """Write a process number, unless there is a file; for the holder of the lock.

        :raises PidFileError: it cannot be written.
        """
        try:
            with self.path.open("x") as file:
                file.write(str(pid))
        except FileExistsError:
            return
        except OSError as error:
            raise self._error("cannot be written", error, _ELSEWHERE) from None

    def _error(self, what: str, error: OSError, advice: str = "") -> PidFileError:
        return PidFileError(f"The pid file {self.path} {what}: {_reason(error)}.{advice}")


@dataclass
class Lock:
    """A lock that is held.

    :param path: the file that it is a lock on.
    """

    path: str
    descriptor: int

    def stands(self) -> bool:
        """Tell whether the locked file is still the one of that name."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give it back, and leave no file behind."""
        if self.descriptor >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True)
class Places:
    """Where things are kept of which nobody said where.

    :param system: the directory that is used where it can be written.
    :param personal: the one that is used otherwise.
    """

    system: Path
    personal: Path

    def directory(self) -> Path:
        """Return the directory to write to."""
        return self.system if _can_write(self.system) else self.personal

    def find(self, name: str) -> Path:
        """Return the path of a file that should be there: our own, else the system's."""
        path = self.directory() / name
        # Unlike Path.exists this passes over directories that we may not look into.
        if not os.path.exists(path) and os.path.exists(self.system / name):
            return self.system / name
        return path


def _can_write(directory: Path) -> bool:
    """Tell whether files can be made in a directory that is there or can be made."""
    for place in (directory, *directory.parents):
        try:
            found = place.stat()
        except FileNotFoundError:
            continue
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and os.access(place, os.W_OK | os.X_OK)
    return False


def _reason(error: OSError) -> str:
    """Say what the system said."""
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
