"""Run the reactor for one piece of work, which signals cancel."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from glance.services.signals import act_upon, stop_once

#: Seconds that work which was cancelled gets for its end.
END_TIME = 10.0


def run_until_done(
    reactor: Any,
    work: Callable[[], Awaitable[int]],
    tidy: Callable[[], object],
    leave: Callable[[int], object] = os._exit,
) -> int:
    """Run the reactor until some work ends; return its exit code.

    The first SIGINT or SIGTERM cancels the work, whose end is then waited for; the exit code is 128
    and the signal's number. Another SIGINT ends the process at once.

    :param work: does it; told by being cancelled to come to an end.
    :param tidy: leaves the terminal as it should be, whatever happens.
    :param leave: ends the process.
    :raises Exception: the work's own.
    """
    return _Drive(reactor, work, tidy, leave).run()


class _Drive:
    def __init__(
        self,
        reactor: Any,
        work: Callable[[], Awaitable[int]],
        tidy: Callable[[], object],
        leave: Callable[[int], object],
    ) -> None:
        self._reactor = reactor
        self._work = work
        self._tidy = tidy
        self._leave = leave
        self._doing: Deferred[int] | None = None
        self._result: Any = None
        self._signalled = 0

    def run(self) -> int:
        self._reactor.callWhenRunning(self._start)
        try:
            self._reactor.run()
        finally:
            self._tidy()
        result = self._result
        cancelled = isinstance(result, Failure) and result.check(CancelledError)
        if isinstance(result, Failure) and not cancelled:
            result.raiseException()
        if self._signalled:
            return 128 + self._signalled
        assert isinstance(result, int)
        return result

    def _start(self) -> None:
        acts = {number: partial(self._end, number) for number in (signal.SIGTERM, signal.SIGINT)}
        act_upon(self._reactor, acts)
        self._doing = Deferred.fromCoroutine(_awaited(self._work))
        self._doing.addBoth(self._ended)

    def _end(self, number: signal.Signals) -> None:
        if self._signalled:
            if number is signal.SIGINT:
                self._at_once(number)
            return
        self._signalled = int(number)
        self._reactor.callLater(END_TIME, self._at_once, number)
        if self._doing is not None:
            self._doing.cancel()

    def _at_once(self, number: signal.Signals) -> None:
        # Threads that hang would hold up any other way out.
        self._tidy()
        self._leave(128 + int(number))

    def _ended(self, result: Any) -> None:
        self._result = result
        stop_once(self._reactor)


async def _awaited(work: Callable[[], Awaitable[int]]) -> int:
    return await work()
