"""Doing many things side by side on the reactor's thread, and all of them to their end."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from glance.domain.errors import GlanceError

#: Seconds for which work that waits for nothing may hold up everything else.
_LONGEST = 0.05


async def side_by_side(works: Iterable[Coroutine[Any, Any, None]]) -> bool:
    """Run coroutines side by side until all have ended.

    Cancelling it cancels them; it ends when they have. What they fail with from then on does not
    matter: a connection that is given up may look like one that cannot be made.

    :returns: whether it was cancelled.
    :raises Exception: what the first of them failed with; the others are cancelled then.
    """
    running: set[Deferred[None]] = set()
    failure: Failure | None = None
    waiting: Deferred[None] = Deferred()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        for one in list(running):
            one.cancel()

    def ended(result: Any, one: Deferred[None]) -> None:
        nonlocal failure
        running.discard(one)
        if isinstance(result, Failure):
            meant = stopped and isinstance(result.value, CancelledError | GlanceError)
            if not meant and failure is None:
                failure = result
            if not stopped:
                stop()
        if not running and not waiting.called:
            waiting.callback(None)

    for work in works:
        if stopped:
            work.close()
            continue
        one = Deferred.fromCoroutine(work)
        running.add(one)
        one.addBoth(ended, one)
    cancelled = False
    while running:
        waiting = Deferred()
        try:
            await waiting
        except CancelledError:
            cancelled = True
            # Once is enough: what they still do is to clean up.
            if not stopped:
                stop()
    if failure is not None:
        failure.raiseException()
    return cancelled


class Breath:
    """Lets others have a turn now and then, in work that waits for nothing.

    :param reactor: the reactor; only its clock is used here.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._since = reactor.seconds()

    async def take(self) -> None:
        """Wait for a turn of the reactor's if the last one was long ago."""
        if self._reactor.seconds() - self._since > _LONGEST:
            await deferLater(self._reactor, 0)
            self._since = self._reactor.seconds()
