"""Asking other services over HTTP: with time limits, bounded answers, and repeated when that helps.

Nothing is followed that an answer says: a redirect is an answer like any other, since what we send
has secrets in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from hyperlink import URL
from OpenSSL import SSL
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
)
from twisted.internet.protocol import Protocol
from twisted.internet.protocol import connectionDone as DONE
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from glance.identity.timing import limited

#: Seconds that one attempt may take where nothing else is configured.
ATTEMPT_TIME = 10.0

#: Seconds before the first repetition; it doubles with each.
PAUSE = 0.25

#: Most bytes of an answer.
BODY_LIMIT = 8 * 1024 * 1024

#: Most requests under way at once; others wait for their turn.
MOST_AT_ONCE = 64

#: Idle connections kept open to one host.
KEPT_CONNECTIONS = 8

#: Parts of a URL that are sent as they are.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")

_log = Logger()


class CallFailed(Exception):
    """A service did not answer, or not as it should; the text is for the log.

    :param cause: what came in between, where there was no answer at all.
    """

    def __init__(self, text: str, cause: BaseException | None = None) -> None:
        super().__init__(text)
        self.cause = cause


class TooLong(Exception):
    """An answer is longer than any should be."""


class BadHost(Exception):
    """A host's name cannot be encoded, so nobody has it."""


class Address(URL):
    """A URL that may have an address of IPv6, which hyperlink takes for a misspelt name."""

    def to_uri(self) -> URL:
        """Return the URL as it is sent.

        :raises BadHost: the host's name can be none.
        """
        if ":" in self.host:
            return URL.to_uri(self.replace(host="h")).replace(host=self.host)
        if self._is_sent_as_it_is():
            return self
        try:
            return super().to_uri()
        except UnicodeError as error:
            # Twisted connects to no such name, even where a resolver knows it.
            raise BadHost(f"{self.host!r} is no name of a host ({error})") from None

    def _is_sent_as_it_is(self) -> bool:
        """Tell whether all is plain; to find that out the long way takes most of a request."""
        more = self.query or self.fragment or self.userinfo
        return not more and all(map(_PLAIN.fullmatch, self.path)) and _is_plain_host(self.host)


@lru_cache(maxsize=256)
def _is_plain_host(host: str) -> bool:
    if not _PLAIN.fullmatch(host):
        return False
    try:
        return bool(URL(scheme="http", host=host).to_uri().host == host)
    except UnicodeError:
        return False


#: What may go wrong between us and a service.
_TROUBLE = (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
    OSError,
    RequestTransmissionFailed,
    ResponseFailed,
    SSL.Error,
    TimeoutError,
    VerificationError,
    TooLong,
    BadHost,
)


#: Parameters of a query; of some there may be several.
Params = Mapping[str, str | Sequence[str]]

#: Whose text says it all.
_SELF_EXPLAINING = (ConnectError, ConnectionDone, ConnectionLost, DNSLookupError, TooLong, BadHost)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a service."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        values = self.headers.getRawHeaders(name)
        return values[-1] if values else None

    def json(self) -> Any:
        """Return the body as a JSON value.

        :raises CallFailed: it is none.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise CallFailed(f"the answer ({self.status}) is not in JSON") from None


def make_treq(reactor: Any, tls: Any, attempt_time: float) -> tuple[HTTPClient, HTTPConnectionPool]:
    """Make a client that keeps connections open, and the pool that holds them.

    :param tls: an ``IPolicyForHTTPS``.
    """
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = KEPT_CONNECTIONS
    if (factory := getattr(pool, "_factory", None)) is not None:
        # Or each connection would log its beginning and its end.
        vars(pool)["_factory"] = type("_QuietFactory", (factory,), {"noisy": False})
    agent = Agent(reactor, contextFactory=tls, connectTimeout=attempt_time, pool=pool)
    return HTTPClient(agent), pool


class HttpCaller:
    """Asks.

    :param reactor: the reactor; only its clock is used here.
    :param treq: a treq client.
    :param attempt_time: seconds that one attempt may take, from connecting to the last byte.
    :param retries: how often a request that failed is repeated.
    """

    def __init__(
        self, reactor: Any, treq: Any, *, attempt_time: float = ATTEMPT_TIME, retries: int = 3
    ) -> None:
        self._reactor = reactor
        self._treq = treq
        self._attempt_time = attempt_time
        self._retries = retries
        self._turns = DeferredSemaphore(MOST_AT_ONCE)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        repeat: bool = True,
    ) -> Answer:
        """Make a request, and repeat it while the connection or the service fails.

        :param json: the body.
        :param repeat: whether doing it twice does no harm.
        :raises CallFailed: there was no answer, or only ones of 500 and above.
        """
        pause = PAUSE
        for attempt in range(self._retries + 1 if repeat else 1):
            if attempt:
                await deferLater(self._reactor, pause)
                pause *= 2
            try:
                answer = await self.once(method, url, headers=headers, params=params, json=json)
            except CallFailed as error:
                failure = error
            else:
                if answer.status < 500:
                    return answer
                failure = CallFailed(f"{method} {url}: it answered {answer.status}")
            _log.debug("{trouble}", trouble=failure)
        raise failure

    async def once(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params | None = None,
        json: Any = None,
    ) -> Answer:
        """Make a request once, and return the answer whatever its status.

        :param json: the body.
        :raises CallFailed: there was no answer; its ``cause`` says why.
        """
        with calling(method, url):
            return await self._take_turn(method, url, headers, params, json)

    async def _take_turn(self, *request: Any) -> Answer:
        await self._turns.acquire()
        try:
            attempt = Deferred.fromCoroutine(self._attempt(*request))
            return await limited(attempt, self._attempt_time, self._reactor)
        finally:
            self._turns.release()

    async def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Params | None,
        json: Any,
    ) -> Answer:
        sent = Headers({"Accept": ["application/json"], "User-Agent": ["glance"]})
        body = None
        if json is not None:
            sent.setRawHeaders("Content-Type", ["application/json"])
            body = orjson.dumps(json)
        for name, value in (headers or {}).items():
            sent.setRawHeaders(name, [value])
        response = await self._treq.request(
            method,
            Address.from_text(url),
            headers=sent,
            params=dict(params or {}),
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        return Answer(response.code, response.headers, await read_body(response))


@contextmanager
def calling(method: str, url: str) -> Iterator[None]:
    """Have what comes between us and a service told as such.

    :raises CallFailed: something did; its ``cause`` says what.
    """
    try:
        yield
    except _TROUBLE as error:
        cause = innermost(error)
        raise CallFailed(f"{method} {url}: {describe(cause)}", cause) from None


def read_body(response: Any, limit: int = BODY_LIMIT) -> Deferred[bytes]:
    """Read an answer's body.

    Cancelling closes the connection.

    :raises TooLong: it is longer than the limit; the rest is not read.
    """
    reader = _Body(limit)
    response.deliverBody(reader)
    return reader.done


class _Body(Protocol):
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._length = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        self._length += len(data)
        if self._length <= self._limit:
            self._pieces.append(data)
        elif not self.done.called:
            self._close()
            self.done.errback(TooLong(f"its answer is longer than {self._limit} bytes"))

    def connectionLost(self, reason: Failure = DONE) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(reason)

    def _close(self) -> None:
        # Which of them there is depends on how the body is coded.
        transport: Any = self.transport
        close = getattr(transport, "abortConnection", None) or transport.loseConnection
        close()


def innermost(error: BaseException) -> BaseException:
    """Return what Twisted has wrapped, where it has."""
    reasons = getattr(error, "reasons", None)
    return innermost(reasons[0].value) if reasons else error


def describe(error: BaseException) -> str:
    """Say in a line what went wrong between us and a service."""
    error = innermost(error)
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, SSL.Error):
        texts = [str(part[-1]) for part in error.args[0]] if error.args and error.args[0] else []
        return f"TLS failed ({', '.join(texts) or 'the connection was cut'})"
    if isinstance(error, VerificationError):
        return "TLS failed (the certificate is not for this host)"
    text = str(error).strip().rstrip(".")
    if text and isinstance(error, _SELF_EXPLAINING):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
