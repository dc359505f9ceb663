"""Run jobs in a few threads, and let those that would only wait for each other wait without one."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.domain.errors import Unavailable

Job = Callable[[], Any]
Jobs = queue.SimpleQueue["tuple[Job, Deferred[Any]] | None"]


class Threads:
    """A few threads that take jobs from one queue.

    Less than ``twisted.python.threadpool`` can do, for a fifth of its time per job, which every
    request pays.

    :param reactor: results come back to it.
    :param most: how many threads there may be; they are made when all others are busy.
    :param thd_closing: called in each thread when it ends.
    :param name: what they are called.
    """

    def __init__(
        self, reactor: Any, most: int, thd_closing: Callable[[], None], name: str = "database"
    ) -> None:
        self._reactor = reactor
        self._most = most
        self._thd_closing = thd_closing
        self._name = name
        self._jobs: Jobs = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._running = False

    def start(self) -> None:
        """Take jobs from now on."""
        self._running = True

    def run(self, job: Job) -> Deferred[Any]:
        """Have a thread do a job; the Deferred gets its result.

        Cancelling the Deferred drops the result; the job is done all the same.
        """
        done: Deferred[Any] = Deferred()
        if not self._running:
            done.errback(Unavailable("The service is stopping."))
            return done
        self._under_way += 1
        if self._under_way > len(self._threads) < self._most:
            thread = threading.Thread(
                target=self._thd_work,
                args=(self._jobs,),
                name=f"{self._name}-{len(self._threads)}",
                daemon=True,
            )
            self._threads.append(thread)
            thread.start()
        self._jobs.put((job, done))
        return done

    def _thd_work(self, jobs: Jobs) -> None:
        call = self._reactor.callFromThread
        while (item := jobs.get()) is not None:
            job, done = item
            try:
                call(self._done, done.callback, job())
            except BaseException:
                call(self._done, done.errback, Failure())
            del job, done, item
        self._thd_closing()

    def _done(self, fire: Callable[[Any], None], result: Any) -> None:
        self._under_way -= 1
        fire(result)

    def stop(self, patience: float = 5.0) -> Deferred[None]:
        """Let the threads finish what is queued, and end them.

        :param patience: seconds after which threads that have not ended, because a database does
            not answer them, are left to end with the process.
        """
        self._running = False
        threads, self._threads = self._threads, []
        jobs, self._jobs = self._jobs, queue.SimpleQueue()
        for _ in threads:
            jobs.put(None)
        if not threads:
            return succeed(None)
        return _Ending(self._reactor, threads, patience).ended


class _Ending:
    """The end of some threads, for which the reactor does not stand still."""

    _log = Logger()

    def __init__(self, reactor: Any, threads: list[threading.Thread], patience: float) -> None:
        self.ended: Deferred[None] = Deferred()
        self._reactor = reactor
        self._threads = threads
        self._deadline = reactor.callLater(patience, self._give_up)
        threading.Thread(target=self._thd_wait, name="database-end", daemon=True).start()

    def _thd_wait(self) -> None:
        for thread in self._threads:
            thread.join()
        self._reactor.callFromThread(self._all_ended)

    def _all_ended(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()
            self.ended.callback(None)

    def _give_up(self) -> None:
        count = sum(thread.is_alive() for thread in self._threads)
        self._log.warn(
            "{count} statements of the database did not end in time; going on without them",
            count=count,
        )
        self.ended.callback(None)


class Turns:
    """Have one piece of work done after the other, in the order asked for.

    What waits is no more than an entry here, wherever the work itself is done.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Deferred[Any]], Deferred[Any]]] = deque()
        self._busy = False
        self._starting = False

    def run(self, work: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Start work when its turn has come.

        Cancelling the Deferred gives up a turn that has not come yet, and otherwise drops the
        result: the next turn comes when the work has ended all the same.

        :param work: returns a Deferred that fires when the work has ended.
        :returns: a Deferred of the work's result.
        """
        answer: Deferred[Any] = Deferred()
        self._waiting.append((work, answer))
        self._go_on()
        return answer

    def _go_on(self) -> None:
        if self._starting:
            return  # of work that ended at once, further down on the stack
        self._starting = True
        while self._waiting and not self._busy:
            work, answer = self._waiting.popleft()
            if not answer.called:
                self._busy = True
                work().addBoth(self._ended, answer)
        self._starting = False

    def _ended(self, result: Any, answer: Deferred[Any]) -> None:
        self._busy = False
        self._go_on()
        answer.callback(result)
