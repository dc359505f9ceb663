"""Look after a node's cache for as long as a process lives: clean, prune and fill it by the clock.

Any number of processes of a node may do so: each duty is done by one of them at a time, and those
that find it being done skip that turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from glance.domain.errors import GlanceError

#: Seconds that a stop waits for a duty under way, which a database that hangs may hold up.
STOP_TIME = 5.0


@dataclass(frozen=True, slots=True)
class Duty:
    """What is done again and again.

    :param name: for the log.
    :param interval: seconds between the beginnings of two turns.
    :param do: does it.
    """

    name: str
    interval: float
    do: Callable[[], Coroutine[Any, Any, object]]


class Upkeep(Service):
    """Does duties at their intervals.

    Failures are logged when they begin and when they change, and the next turn tries again.

    :param jitter: ``[DEFAULT] cache_interval_jitter``, percent of an interval that a turn is put
        off by at most.
    :param break_off: ends what may take long, and what others than we have begun of it.
    :param draw: returns a number from 0 to 1 at random.
    """

    _log = Logger()

    def __init__(
        self,
        duties: Sequence[Duty],
        reactor: Any,
        *,
        jitter: float,
        break_off: Callable[[], Coroutine[Any, Any, None]],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._reactor = reactor
        self._jitter = jitter / 100
        self._break_off = break_off
        self._draw = draw
        self._loops = [(duty, self._loop_for(duty)) for duty in duties]
        #: Turns that wait for their moment, and those that have begun.
        self._pauses: dict[str, Deferred[None]] = {}
        self._turns: dict[str, Deferred[None]] = {}
        self._failing: dict[str, str] = {}

    def _loop_for(self, duty: Duty) -> LoopingCall:
        loop = LoopingCall(lambda: self._turn(duty, loop))
        loop.clock = self._reactor
        return loop

    def startService(self) -> None:
        """Take the first turns now, or as soon as the jitter allows."""
        super().startService()
        for duty, loop in self._loops:
            loop.start(duty.interval, now=True)

    def _turn(self, duty: Duty, loop: LoopingCall) -> Deferred[None]:
        turn: Deferred[None] = Deferred.fromCoroutine(self._take_turn(duty, loop))
        self._turns[duty.name] = turn
        return turn

    async def _take_turn(self, duty: Duty, loop: LoopingCall) -> None:
        delay = duty.interval * self._jitter * self._draw()
        if delay:
            pause: Deferred[None] = deferLater(self._reactor, delay)
            self._pauses[duty.name] = pause
            pause.addErrback(lambda _: None)
            await pause
        if not loop.running:
            return
        try:
            await duty.do()
        except (GlanceError, OSError) as error:
            if self._is_news(duty, str(error)):
                self._log.error(
                    "The cache's upkeep ({duty}) failed and will be tried again: {error}",
                    duty=duty.name,
                    error=error,
                )
        except Exception as error:
            if self._is_news(duty, type(error).__name__):
                self._log.failure(
                    "The cache's upkeep ({duty}) failed and will be tried again", duty=duty.name
                )
        else:
            if self._failing.pop(duty.name, None) is not None:
                self._log.info("The cache's upkeep ({duty}) works again", duty=duty.name)

    def _is_news(self, duty: Duty, problem: str) -> bool:
        """Tell whether a failure is another one than last time."""
        before, self._failing[duty.name] = self._failing.get(duty.name), problem
        return before != problem

    def rest(self) -> None:
        """Begin no more turns; those under way go on."""
        for _, loop in self._loops:
            if loop.running:
                loop.stop()
        for pause in self._pauses.values():
            pause.cancel()

    def stopService(self) -> Deferred[Any]:
        """Break off what is under way; the Deferred fires when that is over, or takes long."""
        super().stopService()
        self.rest()
        ending: Deferred[None] = Deferred.fromCoroutine(self._break_off())
        ending.addErrback(lambda failure: self._log.failure("Ending the cache's upkeep", failure))
        waiting: Deferred[Any] = Deferred()
        # The time limit ends the waiting, not the work.
        DeferredList([ending, *self._turns.values()]).addCallback(waiting.callback)
        waiting.addTimeout(STOP_TIME, self._reactor)
        return waiting.addErrback(lambda failure: failure.trap(TimeoutError) and None)
