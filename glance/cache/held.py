"""Descriptors that are closed when the last operation on them has truly ended.

An operation whose deadline has passed still hangs in its thread; the number of a descriptor that
was closed meanwhile could by then be that of another file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from glance.stores.threads import Threads

T = TypeVar("T")

_log = Logger()


class Held:
    """Some descriptors, and the operations on them.

    :param threads: runs the operations.
    """

    def __init__(self, threads: Threads, *descriptors: int) -> None:
        self._threads = threads
        self._descriptors = descriptors
        self._users = 1
        self._closed = False

    def run(self, thd_function: Callable[..., T], *args: Any, **more: Any) -> Deferred[T]:
        """Run something that works on them, as :meth:`Threads.run` does."""
        self._users += 1
        return self._threads.run(thd_function, *args, settled=self._leave, **more)

    def close(self) -> None:
        """Close them as soon as nothing works on them. May be called again."""
        if not self._closed:
            self._closed = True
            self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        if self._threads.running:
            closing = self._threads.run(_thd_close, self._descriptors, must_run=True, timeout=0)
            closing.addErrback(lambda f: _log.failure("Closing files of the cache", f))
        else:
            _thd_close(self._descriptors)


def _thd_close(descriptors: tuple[int, ...]) -> None:
    for fd in descriptors:
        os.close(fd)
