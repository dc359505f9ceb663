"""One call for all who want the same at the same time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Flight(Generic[T]):
    """A call under way, and those who wait for it."""

    def __init__(self) -> None:
        self.waiting: dict[Deferred[T], None] = {}
        self.call: Deferred[T] | None = None


class SingleFlight(Generic[K, T]):
    """Joins calls that are asked for under one key while one of them is under way.

    Whoever cancels stops waiting and disturbs nobody else. When nobody waits any more, the call is
    cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}

    def run(self, key: K, start: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """Return the result of the call under way, or of a new one.

        :param start: makes the call; used where none is under way.
        """
        flight = self._flights.get(key)
        begin = flight is None
        if flight is None:
            flight = self._flights[key] = _Flight()
        waiter: Deferred[T] = Deferred(lambda waiter: self._leave(key, flight, waiter))
        flight.waiting[waiter] = None
        if begin:
            flight.call = Deferred.fromCoroutine(start())
            flight.call.addBoth(self._arrived, key, flight)
        return waiter

    def fail_all(self, error: Exception) -> None:
        """Cancel every call.

        :param error: what those who wait are told.
        """
        for key, flight in list(self._flights.items()):
            self._forget(key, flight)
            self._tell(flight, Failure(error))
            if flight.call is not None:
                flight.call.cancel()

    def _leave(self, key: K, flight: _Flight[T], waiter: Deferred[T]) -> None:
        flight.waiting.pop(waiter, None)
        if not flight.waiting:
            self._forget(key, flight)
            if flight.call is not None:
                flight.call.cancel()

    def _arrived(self, result: T | Failure, key: K, flight: _Flight[T]) -> None:
        self._forget(key, flight)
        # Where nobody waits, a failure is nobody's: the call was cancelled.
        self._tell(flight, result)

    def _tell(self, flight: _Flight[T], result: T | Failure) -> None:
        waiting, flight.waiting = flight.waiting, {}
        for waiter in waiting:
            if waiter.called:
                # Cancelled by what another one did with the result.
                continue
            if isinstance(result, Failure):
                waiter.errback(result)
            else:
                waiter.callback(result)

    def _forget(self, key: K, flight: _Flight[T]) -> None:
        # A new flight may have taken its place already.
        if self._flights.get(key) is flight:
            del self._flights[key]
