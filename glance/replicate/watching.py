"""Keeping two sides in step: one run after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.domain.errors import GlanceError
from glance.replicate.outcome import Summary

#: Makes one run.
Round = Callable[[], Awaitable[Summary]]


class Watch:
    """Makes runs, with a pause after each, until it is told to stop.

    A run that fails is said, and the next one goes on.

    :param make_round: starts a run; it has to bear being cancelled.
    :param interval: seconds from the beginning of a run to that of the next one; where a run takes
        longer, the next beginnings that were missed are left out.
    :param told: called with the summary of each run, or with why there is none.
    """

    _log = Logger()

    def __init__(
        self,
        make_round: Round,
        interval: float,
        reactor: Any,
        told: Callable[[Summary | GlanceError], None],
    ) -> None:
        self._make_round = make_round
        self._interval = interval
        self._told = told
        self._running: Deferred[Any] | None = None
        self._ended: Deferred[Any] | None = None
        self._loop = LoopingCall(self._round)
        self._loop.clock = reactor

    def start(self) -> None:
        """Make the first run now."""
        self._ended = self._loop.start(self._interval)

    async def stop(self) -> None:
        """Make no more; cancel the one under way and wait for its end."""
        if self._loop.running:
            self._loop.stop()
            # Only once: another time would break off what ends a run.
            if self._running is not None:
                self._running.cancel()
        if self._ended is not None:
            await self._ended

    def _round(self) -> Deferred[None]:
        running = Deferred.fromCoroutine(_awaited(self._make_round))
        self._running = running

        def tell(result: Any) -> None:
            self._running = None
            if not isinstance(result, Failure):
                self._told(result)
            elif isinstance(result.value, GlanceError):
                self._told(result.value)
            elif not (result.check(CancelledError) and not self._loop.running):
                log(result)

        def log(failure: Failure) -> None:
            # Whatever it was, the next run may do better.
            self._log.failure("A run of the replicator", failure)

        return running.addBoth(tell).addErrback(log)


async def _awaited(make_round: Round) -> Summary:
    return await make_round()
