"""Let work that must not stop half-way outlive the request that asked for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.domain.errors import GlanceError

T = TypeVar("T")
_log = Logger()


def detached(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Start work that cancelling does not reach.

    Cancelling the returned Deferred (as happens when a client goes away) lets go of the result; the
    work itself runs to its end, and a failure that nobody waits for any more is logged: in one line
    where it is one of those that a request is answered with.

    :returns: a Deferred of the work's result.
    """
    waiting: Deferred[T] = Deferred()
    abandoned = False

    def let_go(deferred: Deferred[T]) -> None:
        nonlocal abandoned
        abandoned = True
        deferred.errback(CancelledError())

    def done(result: Any) -> None:
        if not abandoned:
            waiting.callback(result)
        elif isinstance(result, Failure):
            _note(result)

    waiting = Deferred(let_go)
    ensureDeferred(work).addBoth(done)
    return waiting


def _note(failure: Failure) -> None:
    if failure.check(GlanceError):
        _log.warn("Work for a client that went away: {error}", error=failure.value)
    else:
        _log.failure("Work for a client that went away", failure)
