"""Threads of a store's own, so that a slow or hanging store holds up nobody else.

Everything a driver does that can block runs here. A call may have a deadline: when it passes, the
caller gets :class:`~glance.stores.errors.StoreTimeout` at once, while the thread, which nothing can
interrupt inside a system call, stays behind. Each thread that is overdue is made up for by a fresh
one, up to as many again as the pool was given, and the threads are daemons: neither later calls nor
the end of the process wait for a dead file server.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from glance.stores.errors import StoreError, StoreTimeout

T = TypeVar("T")

_WARN_EVERY: Final = 60.0
_STOP_WAIT: Final = 10.0
_UNSET: Final = -1.0


class Pool(Protocol):
    """What :class:`Threads` needs of the thing that runs its calls."""

    def start(self) -> None:
        """Get ready to take calls."""

    def stop(self, done: Callable[[], None]) -> None:
        """Let the threads end once their work is done, then call ``done``."""

    def resize(self, size: int) -> None:
        """Allow that many threads from now on."""

    def call(self, work: Callable[[], Any], deliver: Callable[[bool, Any], None]) -> None:
        """Run ``work`` off the reactor thread and pass its outcome to ``deliver`` on it."""


class _DaemonThreadPool(ThreadPool):
    """A Twisted pool whose threads do not keep the process from ending."""

    @staticmethod
    def threadFactory(*args: Any, **kwargs: Any) -> Thread:  # type: ignore[override]
        return Thread(*args, daemon=True, **kwargs)


class RealPool:
    """Threads of a ``twisted.python.threadpool.ThreadPool`` of one's own."""

    def __init__(self, reactor: Any, name: str, size: int) -> None:
        self._reactor = reactor
        self._name = name
        self._pool = _DaemonThreadPool(0, size, name)

    def start(self) -> None:
        """Get ready to take calls; threads appear as they are needed."""
        self._pool.start()

    def stop(self, done: Callable[[], None]) -> None:
        """End the threads and call ``done``, off the reactor thread since it joins them."""

        def thd_stop() -> None:
            self._pool.stop()
            self._reactor.callFromThread(done)

        Thread(target=thd_stop, name=f"{self._name}-stop", daemon=True).start()

    def resize(self, size: int) -> None:
        """Allow ``size`` threads; work that waits gets a new thread at once."""
        self._pool.adjustPoolsize(maxthreads=size)
        if self._pool.started and self._pool.workers < size:
            self._pool.startAWorker()

    def call(self, work: Callable[[], Any], deliver: Callable[[bool, Any], None]) -> None:
        """Run ``work`` in a thread."""

        def thd_result(ok: bool, result: Any) -> None:
            self._reactor.callFromThread(deliver, ok, result)

        self._pool.callInThreadWithCallback(thd_result, work)


class InlinePool:
    """Runs every call at once in the caller's thread: for tests, where order must be certain."""

    def start(self) -> None:
        """Do nothing."""

    def stop(self, done: Callable[[], None]) -> None:
        """Call ``done`` at once."""
        done()

    def resize(self, size: int) -> None:
        """Do nothing."""

    def call(self, work: Callable[[], Any], deliver: Callable[[bool, Any], None]) -> None:
        """Run ``work`` here and now."""
        try:
            result = work()
        except Exception:
            deliver(False, Failure())
        else:
            deliver(True, result)


class HeldPool(InlinePool):
    """Keeps calls until the test lets them go one by one: for tests of calls in flight."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable[[bool, Any], None]]] = []
        self.size: int | None = None

    def resize(self, size: int) -> None:
        """Note the size."""
        self.size = size

    def call(self, work: Callable[[], Any], deliver: Callable[[bool, Any], None]) -> None:
        """Put the call in the line."""
        self.waiting.append((work, deliver))

    def release(self, index: int = 0) -> None:
        """Run one of the waiting calls."""
        super().call(*self.waiting.pop(index))

    def release_all(self) -> None:
        """Run waiting calls, and those they lead to, until none is left."""
        while self.waiting:
            self.release()


@dataclass(frozen=True, slots=True)
class Words:
    """How messages speak of what is behind the calls.

    :param subject: for those who ask.
    :param label: for the log; ``{store}`` is the name.
    :param limits: which options ``{threshold}`` percent and the deadline are of.
    """

    subject: str
    label: str
    limits: str


STORE_WORDS: Final = Words(
    subject="The store",
    label="Store {store}",
    limits="(filesystem_store_threadpool_threshold is {threshold} percent), {overdue} of them "
    "past filesystem_store_timeout",
)


class _Call:
    """One call on its way: whether its caller still waits, and its clock."""

    __slots__ = ("abandoned", "overdue", "timer")

    def __init__(self) -> None:
        self.abandoned = False
        self.overdue = False
        self.timer: Any = None


class Threads:
    """Runs blocking functions in a pool and answers with Deferreds.

    :param reactor: for deadlines and for the way back from the threads.
    :param name: of the store; names the threads and stands in messages.
    :param size: threads at work at most, those that hang not counted.
    :param timeout: seconds that a call may take unless it says otherwise; ``0`` for no end.
    :param threshold: percentage of busy threads from which on a warning is logged. Warnings come
        only where ``timeout`` is on: without it, busy threads are just work being done.
    :param pool: what runs the calls; tests give an :class:`InlinePool` or :class:`HeldPool`.
    :param words: for whom they are, if not for a store.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        name: str,
        size: int,
        timeout: float = 0,
        threshold: int = 100,
        pool: Pool | None = None,
        words: Words = STORE_WORDS,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._words = words
        self._size = size
        self._timeout = timeout
        self._threshold = threshold
        self._pool: Pool = RealPool(reactor, name, size) if pool is None else pool
        self._running = False
        self._busy = 0
        self._overdue = 0
        self._warned: float | None = None

    def start(self) -> None:
        """Get ready to take calls. Starting twice does nothing."""
        if not self._running:
            self._running = True
            self._pool.start()

    def stop(self, patience: float = 0) -> Deferred[None]:
        """Take no more calls, finish those under way, and end the threads.

        :param patience: seconds after which the Deferred fires even if threads hang: they are
            daemons. 0 for as long as a call may take.
        """
        done: Deferred[None] = Deferred()
        if not self._running:
            done.callback(None)
            return done
        self._running = False

        def finish(late: bool) -> None:
            if done.called:
                return
            if late:
                self.log.warn(
                    f"{self._words.label}: {{n}} file operations hang; not waiting for them any "
                    "longer.",
                    store=self._name,
                    n=self._busy,
                )
            elif timer.active():
                timer.cancel()
            done.callback(None)

        wait = patience or self._timeout or _STOP_WAIT
        timer = self._reactor.callLater(wait, finish, True)
        self._pool.stop(lambda: finish(False))
        return done

    @property
    def running(self) -> bool:
        """Whether calls are taken."""
        return self._running

    def bounded(self, waited_for: Deferred[None]) -> Deferred[None]:
        """Wait for another Deferred, but not longer than a call may take."""
        waiter: Deferred[None] = Deferred()
        timer: Any = None
        if self._timeout:
            timer = self._reactor.callLater(self._timeout, waiter.callback, None)

        def done(_: None) -> None:
            if not waiter.called:
                if timer is not None:
                    timer.cancel()
                waiter.callback(None)

        waited_for.addCallback(done)
        return waiter

    def run(
        self,
        fn: Callable[..., T],
        *args: Any,
        timeout: float = _UNSET,
        must_run: bool = False,
        late: Callable[[T], Any] | None = None,
        settled: Callable[[], None] | None = None,
    ) -> Deferred[T]:
        """Run a blocking function in a thread.

        :param timeout: seconds, instead of the pool's; ``0`` for no end. Time in the queue counts.
        :param must_run: run it even if its caller gave up while it stood in the queue.
        :param late: called in a thread with the result of a call whose caller had given up (by
            deadline or cancelling), to release what the result holds.
        :param settled: called on the reactor thread when the function has truly ended or was
            skipped: just before the Deferred fires, or however long after its caller gave up.
        :raises StoreTimeout: the deadline passed.
        """
        if not self._running:
            if settled is not None:
                settled()
            failed: Deferred[T] = Deferred()
            failed.errback(Failure(StoreError(f"{self._words.subject} is not running.")))
            return failed
        call = _Call()
        answer: Deferred[T] = Deferred(lambda _: self._abandon(call))
        context = contextvars.copy_context()

        def thd_work() -> Any:
            if call.abandoned and not must_run:
                raise CancelledError
            return context.run(fn, *args)

        def deliver(ok: bool, result: Any) -> None:
            self._end(call)
            if settled is not None:
                settled()
            if not call.abandoned:
                if ok:
                    answer.callback(result)
                else:
                    answer.errback(result)
            elif ok and late is not None and not self._running:
                # Its caller gave up because all ends; no other call is taken any more.
                Thread(target=late, args=(result,), name=f"{self._name}-late", daemon=True).start()
            elif ok and late is not None:
                tidy: Deferred[Any] = self.run(late, result, timeout=0, must_run=True)
                tidy.addErrback(
                    lambda f: self.log.failure("Tidying after a late file operation", f)
                )

        def expire() -> None:
            self._abandon(call)
            call.overdue = True
            self._overdue += 1
            self._resize()
            self._check_threshold()
            text = f"{self._words.subject} did not answer in time; try again later."
            answer.errback(Failure(StoreTimeout(text)))

        self._busy += 1
        self._check_threshold()
        seconds = self._timeout if timeout == _UNSET else timeout
        if seconds > 0:
            call.timer = self._reactor.callLater(seconds, expire)
        self._pool.call(thd_work, deliver)
        return answer

    def _abandon(self, call: _Call) -> None:
        call.abandoned = True
        if call.timer is not None and call.timer.active():
            call.timer.cancel()

    def _end(self, call: _Call) -> None:
        self._busy -= 1
        if call.timer is not None and call.timer.active():
            call.timer.cancel()
        if call.overdue:
            self._overdue -= 1
            self._resize()

    def _resize(self) -> None:
        self._pool.resize(self._size + min(self._overdue, self._size))

    def _check_threshold(self) -> None:
        if not self._timeout or self._busy * 100 < self._threshold * self._size:
            return
        now = self._reactor.seconds()
        if self._warned is not None and now - self._warned < _WARN_EVERY:
            return
        self._warned = now
        self.log.warn(
            f"{self._words.label}: {{busy}} file operations under way for {{size}} threads "
            f"{self._words.limits}.",
            store=self._name,
            busy=self._busy,
            size=self._size,
            threshold=self._threshold,
            overdue=self._overdue,
        )
