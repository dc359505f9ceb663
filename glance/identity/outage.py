"""Telling the operator once, and not once per request, that a service is away."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: Seconds after which an outage that goes on is told of again.
AGAIN = 60.0


class Outage:
    """Notes whether a service answers, and logs when that changes.

    :param name: of the service.
    :param clock: the reactor.
    """

    _log = Logger()

    def __init__(self, name: str, clock: IReactorTime) -> None:
        self._name = name
        self._clock = clock
        self._told: float | None = None

    def failed(self, why: str) -> None:
        """Note that it did not answer, or not as it should.

        :param why: in words for the log.
        """
        now = self._clock.seconds()
        if self._told is None or now - self._told >= AGAIN:
            self._told = now
            self._log.error("{name} cannot be used: {why}", name=self._name, why=why)
        else:
            self._log.debug("{name} cannot be used: {why}", name=self._name, why=why)

    def answered(self) -> None:
        """Note that it answered."""
        if self._told is not None:
            self._told = None
            self._log.info("{name} answers again", name=self._name)
