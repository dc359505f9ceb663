"""Work that is cancelled, or comes too late, ends as such, whatever it makes of that itself.

Connections that are being made, and requests under way, fail with errors of their own when they are
cancelled, by which nobody could tell a time limit from a caller who went away, or that from a host
that nobody knows.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError
from twisted.python.failure import Failure

T = TypeVar("T")


def cancellable(work: Deferred[T]) -> Deferred[T]:
    """Return the result of work that fails with ``CancelledError`` if it is cancelled."""
    over = False

    def give_up(_: object) -> None:
        nonlocal over
        over = True
        work.cancel()

    def done(value: T | Failure) -> None:
        if not over:
            result.callback(value)

    result: Deferred[T] = Deferred(give_up)
    work.addBoth(done)
    return result


def limited(work: Deferred[T], seconds: float, reactor: Any) -> Deferred[T]:
    """Return the result of work that may take a limited time.

    Too late is always :exc:`~twisted.internet.defer.TimeoutError`, cancelled always
    ``CancelledError``.
    """
    over = False

    def give_up(_: object) -> None:
        nonlocal over
        over = True
        if call.active():
            call.cancel()
        work.cancel()

    def late() -> None:
        give_up(None)
        result.errback(TimeoutError(f"not done in {seconds} s"))

    def done(value: T | Failure) -> None:
        if over:
            return
        call.cancel()
        result.callback(value)

    result: Deferred[T] = Deferred(give_up)
    call = reactor.callLater(seconds, late)
    work.addBoth(done)
    return result
