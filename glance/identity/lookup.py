"""Finding out whether a token is valid: known here, known in memcached, asked of Keystone."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from glance.domain.errors import Unavailable
from glance.identity.catalog import Catalogs
from glance.identity.http import CallFailed
from glance.identity.memory import Memory
from glance.identity.outage import Outage
from glance.identity.singleflight import SingleFlight
from glance.identity.timing import limited
from glance.identity.tokens import Malformed, Token, from_kept, to_kept
from glance.identity.validation import Validator

#: Valid tokens that a process remembers.
MOST_TOKENS = 10_000

#: Invalid ones. They are kept apart, so that whoever sends many pushes out no valid ones.
MOST_REFUSED = 10_000

#: Seconds for which an invalid token is not asked about again, ``token_cache_time`` at most.
REFUSED_TIME = 30.0

#: Seconds after which a request is answered that the identity service does not answer.
WHOLE_TIME = 30.0

_log = Logger()


class Refused(enum.Enum):
    """The verdict on a token that is not valid."""

    REFUSED = enum.auto()


REFUSED: Final = Refused.REFUSED
Verdict = Token | Refused


class Shelf(Protocol):
    """Where processes share what they know."""

    async def get(self, key: bytes) -> bytes | None:
        """Return what is kept under a key. Never fails."""

    def put(self, key: bytes, value: bytes, life: float) -> None:
        """Keep something for some seconds. Never fails, waits for nothing."""


class TokenLookup:
    """Finds out.

    :param reactor: the reactor; only its clock is used.
    :param validator: asks the identity service.
    :param cache_time: ``token_cache_time``; 0 or less asks about every request.
    :param now: the time in seconds since 1970.
    :param shelf: shared with other processes.
    :param with_catalog: whether catalogues are kept.
    :param whole_time: seconds that all of it may take.
    """

    def __init__(
        self,
        reactor: Any,
        validator: Validator,
        *,
        cache_time: float,
        now: Callable[[], float],
        catalogs: Catalogs,
        shelf: Shelf | None = None,
        with_catalog: bool = True,
        whole_time: float = WHOLE_TIME,
    ) -> None:
        self._reactor = reactor
        self._validator = validator
        self._cache_time = cache_time
        self._now = now
        self._catalogs = catalogs
        self._shelf = shelf if cache_time > 0 else None
        self._with_catalog = with_catalog
        self._whole_time = whole_time
        self._valid: Memory[Token] = Memory(MOST_TOKENS, reactor.seconds)
        self._refused: Memory[Refused] = Memory(MOST_REFUSED, reactor.seconds)
        self._flights: SingleFlight[bytes, Verdict] = SingleFlight()
        self._outage = Outage("The identity service", reactor)

    def known(self, token: str, *, ended_too: bool = False) -> Verdict | None:
        """Return what is known in this process; ``None`` for nothing.

        :param ended_too: whether a token that has ended is good all the same.
        """
        key = _key(token)
        found = self._valid.get(key)
        if found is not None:
            return found
        if ended_too:
            key = _key(token, ended_too=True)
            found = self._valid.get(key)
            if found is not None:
                return found
        return self._refused.get(key)

    def ask(self, token: str, *, ended_too: bool = False) -> Deferred[Verdict]:
        """Find out about a token that is not known.

        :raises Unavailable: the identity service does not answer.
        """
        key = _key(token, ended_too=ended_too)
        return self._flights.run(key, lambda: self._find_out(token, key, ended_too))

    def stop(self) -> None:
        """Break off all that is under way."""
        self._flights.fail_all(Unavailable("The service is stopping."))

    async def _find_out(self, token: str, key: bytes, ended_too: bool) -> Verdict:
        found = await self._from_shelf(_key(token), key if ended_too else None)
        if found is not None:
            return found
        asked = Deferred.fromCoroutine(self._validator.validate(token, ended_too=ended_too))
        try:
            answer = await limited(asked, self._whole_time, self._reactor)
        except (CallFailed, TimeoutError) as error:
            self._outage.failed(str(error))
            raise Unavailable(
                "The identity service cannot be asked just now, so nobody can be told apart. "
                "Try again later."
            ) from None
        self._outage.answered()
        return self._remember(token, key, answer, ended_too)

    def _remember(self, token: str, key: bytes, answer: Token | None, ended_too: bool) -> Verdict:
        left = 0.0 if answer is None else answer.expires_at - self._now()
        if answer is None or (left <= 0 and not ended_too):
            self._refused.put(key, REFUSED, min(REFUSED_TIME, self._cache_time))
            return REFUSED
        # One that has not ended is as good for those who come without a service.
        key, life = (
            (_key(token), min(left, self._cache_time)) if left > 0 else (key, self._cache_time)
        )
        self._valid.put(key, answer, life)
        if self._shelf is not None:
            self._shelf.put(_name(key), to_kept(answer), life)
        return answer

    async def _from_shelf(self, *keys: bytes | None) -> Token | None:
        """Return what other processes know, and remember it."""
        if self._shelf is None:
            return None
        for number, key in enumerate(keys):
            if key is None:
                continue
            kept = await self._shelf.get(_name(key))
            if kept is None:
                continue
            try:
                token = from_kept(kept, self._catalogs, with_catalog=self._with_catalog)
            except Malformed as error:
                _log.warn("What memcached has of a token is not used: {error}", error=error)
                continue
            # From when it was checked, whoever did that: a revoked token must end in time.
            life = token.checked_at + self._cache_time - self._now()
            if number == 0:
                life = min(life, token.expires_at - self._now())
            if life > 0:
                self._valid.put(key, token, min(life, self._cache_time))
                return token
        return None


def _key(token: str, *, ended_too: bool = False) -> bytes:
    """Return what a token is known by, which is no token itself."""
    data = token.encode()
    return hashlib.sha256(data + b" ended" if ended_too else data).digest()


def _name(key: bytes) -> bytes:
    return key.hex().encode()
