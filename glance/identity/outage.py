"""Telling the operator once, and not once per request, that a service is away."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: Seconds after which an outage that goes on is told of again.
AGAIN = 60.0

#: Seconds that are at least between two such lines, however often it comes and goes.
APART = 5.0


class Outage:
    """Notes whether a service answers, and logs when that changes.

    :param name: of the service.
    :param clock: the reactor.
    """

    _log = Logger()

    def __init__(self, name: str, clock: IReactorTime) -> None:
        self._name = name
        self._clock = clock
        self._last: float | None = None
        self._told = False

    def failed(self, why: str) -> None:
        """Note that it did not answer, or not as it should.

        :param why: in words for the log.
        """
        now = self._clock.seconds()
        pause = AGAIN if self._told else APART
        if self._last is None or now - self._last >= pause:
            self._last, self._told = now, True
            self._log.error("{name} cannot be used: {why}", name=self._name, why=why)
        else:
            self._log.debug("{name} cannot be used: {why}", name=self._name, why=why)

    def answered(self) -> None:
        """Note that it answered."""
        if self._told:
            self._told = False
            self._log.info("{name} answers again", name=self._name)
