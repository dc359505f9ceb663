"""Which failures may pass by themselves, and how long to wait until then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import random as chance
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from glance.domain.errors import GlanceError
from glance.remote import trouble
from glance.remote.errors import (
    Answered,
    LoginFailed,
    NotAuthenticated,
    Unreachable,
    Untrusted,
)
from glance.replicate.crew import side_by_side

T = TypeVar("T")

#: A side is lost when this many images in a row, and one more than there are at once, came to
#: nothing because of it.
_ROW = 3

#: Seconds before the first repetition, and at most; doubled by each.
PAUSE = 0.5
LONGEST_PAUSE = 30.0

#: The most seconds for which a service can have us wait.
_LONGEST_WISH = 300.0

#: What stands in front of a service says so where that is not there.
_AWAY = frozenset({502, 503, 504})


class Passing(GlanceError):
    """Something stands in the way that is going to be over, such as another upload."""


def may_pass(error: BaseException) -> bool:
    """Tell whether trying again may help."""
    return isinstance(error, Passing) or trouble.may_pass(error)


def is_away(error: BaseException) -> bool:
    """Tell whether it is the side itself that cannot be reached, rather than one image."""
    if isinstance(error, Answered):
        return error.status in _AWAY
    return isinstance(error, Unreachable | LoginFailed)


def is_closed(error: BaseException) -> bool:
    """Tell whether the side is not going to do anything for us any more."""
    if isinstance(error, LoginFailed):
        return error.refused
    return isinstance(error, NotAuthenticated | Untrusted) and not may_pass(error)


def pause(
    attempt: int, error: BaseException | None = None, random: Callable[[], float] = chance
) -> float:
    """Return how many seconds to wait, so that many who wait do not come back all at once.

    :param attempt: how many have failed before the last one.
    :param error: of the last one; it may say how long the service wants to be left alone.
    :param random: returns a number from 0 to 1.
    """
    longest = min(PAUSE * 2.0 ** min(attempt, 16), LONGEST_PAUSE)
    wish = getattr(error, "retry_after", None) or 0.0
    return longest * (0.5 + 0.5 * random()) + min(max(wish, 0.0), _LONGEST_WISH)


async def persevere(
    action: Callable[[], Awaitable[T]],
    retries: int,
    reactor: Any,
    told: Callable[[str, float], None] | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> T:
    """Do something again and again while what it fails with may pass.

    :param action: bears being done again.
    :param reactor: the reactor; only its clock is used here.
    :param told: called with the reason and the seconds until the next attempt.
    :param wanted: tells whether to go on trying.
    :raises GlanceError: what the last attempt failed with.
    :raises CancelledError: it was cancelled, whatever the attempt made of that.
    """
    results: list[T] = []

    async def act() -> None:
        results.append(await action())

    attempt = 0
    while True:
        try:
            if await side_by_side([act()]):
                raise CancelledError()
            return results[0]
        except GlanceError as error:
            if not may_pass(error) or attempt >= retries or not wanted():
                raise
            reason, seconds = error.message, pause(attempt, error)
        attempt += 1
        if told is not None:
            told(reason, seconds)
        await deferLater(reactor, seconds)


class Losses:
    """Notes what images come to nothing of, and tells when a side is lost.

    :param parallel: images at once.
    :ivar lost: why there is no use in going on; empty while there is.
    """

    def __init__(self, parallel: int) -> None:
        self.lost = ""
        self._longest = max(_ROW, parallel + 1)
        self._row = 0

    def none(self) -> None:
        """Note that something was done, so both sides are there."""
        self._row = 0

    def note(self, error: GlanceError) -> None:
        """Note that an image failed, after all attempts."""
        self._row = self._row + 1 if is_away(error) else 0
        if is_closed(error) or self._row >= self._longest:
            self.lost = self.lost or error.message
