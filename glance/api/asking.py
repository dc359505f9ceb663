"""Ask parts of the service that may never answer whether they work, and always get an answer.

A database or a file server that hangs keeps whoever asks it. So each is asked once at a time,
however many want to know; nobody waits longer than a while; and as long as the question is open
after that the answer is that there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.failure import Failure

T = TypeVar("T")


class NoAnswer(Exception):
    """The part did not answer in time."""


class Question(Generic[T]):
    """One question to one part.

    :param reactor: keeps time.
    :param ask: puts the question; the answer may be any value, or a failure.
    :param patience: seconds that an answer is waited for.
    :param fresh: seconds for which an answer stands.
    """

    def __init__(
        self, reactor: Any, ask: Callable[[], Deferred[T]], patience: float, fresh: float = 0.0
    ) -> None:
        self._reactor = reactor
        self._ask = ask
        self._patience = patience
        self._fresh = fresh
        self._asked: float | None = None
        self._waiting: list[Deferred[T]] = []
        self._answer: tuple[float, T | Failure] | None = None

    def answer(self) -> Deferred[T]:
        """Return the answer.

        :raises NoAnswer: there is none within the time.
        """
        now = self._reactor.seconds()
        waiter: Deferred[T] = Deferred(self._waiting_no_more)
        if self._answer is not None and now - self._answer[0] < self._fresh:
            waiter.callback(self._answer[1])
            return waiter
        asking = self._asked is None
        if asking:
            self._asked = now
        assert self._asked is not None
        left = self._asked + self._patience - now
        if left <= 0:
            return fail(NoAnswer())
        self._waiting.append(waiter)
        waiter.addTimeout(left, self._reactor, onTimeoutCancel=_no_answer)
        if asking:
            maybeDeferred(self._ask).addBoth(self._answered)
        return waiter

    def _waiting_no_more(self, waiter: Deferred[T]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def _answered(self, result: T | Failure) -> None:
        self._asked = None
        if isinstance(result, Failure):
            # Kept for a while; what its frames hold is not.
            result.cleanFailure()
        self._answer = (self._reactor.seconds(), result)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)


def _no_answer(result: Any, seconds: float) -> Any:
    raise NoAnswer
