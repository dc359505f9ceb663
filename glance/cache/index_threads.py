"""Where index drivers do what blocks: files, not the catalogue's database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

from glance.db.threads import Threads, Turns
from glance.domain.correlation import carried

P = ParamSpec("P")
T = TypeVar("T")


class JobThreads(Protocol):
    """What is needed of ``glance.db.threads.Threads``."""

    def start(self) -> None:
        """Take jobs from now on."""

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        """Have a thread do a job."""

    def stop(self) -> Any:
        """End the threads."""


class IndexThreads:
    """Two threads of an index's own, so that reading goes on while a change waits for a lock.

    :param reactor: results come back to it.
    :param thd_closing: called in each thread when it ends.
    :param threads: those to use instead of real ones.
    """

    def __init__(
        self,
        reactor: Any,
        thd_closing: Callable[[], None] = lambda: None,
        threads: JobThreads | None = None,
    ) -> None:
        self._threads = threads or Threads(reactor, 2, thd_closing, "cache-index")
        self._changing = Turns()

    def start(self) -> None:
        """Take work from now on."""
        self._threads.start()

    def read(self, thd: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run a function that waits for nobody."""
        return self._threads.run(partial(carried(thd), *args, **kwargs))

    def change(self, thd: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run a function that may wait for other processes, after those asked for before."""
        job = partial(carried(thd), *args, **kwargs)
        return self._changing.run(partial(self._threads.run, job))

    def stop(self) -> Deferred[None]:
        """Let what runs come to its end, for a while, and end the threads."""
        return maybeDeferred(self._threads.stop)
