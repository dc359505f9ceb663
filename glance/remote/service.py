"""An image service as seen by our programs: requests with a token, and its errors as ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Protocol, TypeVar, cast

from twisted.logger import Logger

from glance.domain.errors import ConfigError
from glance.identity.credentials import Credentials
from glance.identity.http import Answer, CallFailed, HttpCaller, Params, make_treq
from glance.identity.session import ServiceSession
from glance.identity.tls import ClientTLS, Files
from glance.remote.endpoint import Endpoint
from glance.remote.errors import (
    Absent,
    Answered,
    Failed,
    NotAllowed,
    NotAuthenticated,
    RemoteError,
    Unintelligible,
)
from glance.remote.tokens import GivenToken, KeystoneTokens, Tokens
from glance.remote.trouble import explain
from glance.remote.words import words

#: Seconds that a request may take, unless told otherwise.
PATIENCE = 60.0

#: Seconds that a connection may take to be made.
CONNECT_TIME = 15.0

#: How often a login is tried again where the identity service fails.
LOGIN_RETRIES = 1

_KINDS: Mapping[int, type[Answered]] = {403: NotAllowed, 404: Absent}

_RETRY_DIGITS = 9

_log = Logger()


class HasStatus(Protocol):
    """What a service answered, in some form."""

    @property
    def status(self) -> int:
        """The status."""


A = TypeVar("A", bound=HasStatus)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificates are taken, and which one we have ourselves.

    :param authorities: option and path of a file with certificates of authorities.
    :param insecure: take any.
    :param certificate: option and path of our own certificate.
    :param key: option and path of its private key; unset, it is in the same file.
    """

    authorities: tuple[str, str | None] = ("cafile", None)
    insecure: bool = False
    certificate: tuple[str, str | None] = ("certfile", None)
    key: tuple[str, str | None] = ("keyfile", None)


class ImageService:
    """Makes requests to one image service.

    :param http: asks.
    :param tokens: where tokens come from.
    :param seconds: that ``http`` gives a request, for messages.
    """

    def __init__(
        self, http: HttpCaller, endpoint: Endpoint, tokens: Tokens, seconds: float = PATIENCE
    ) -> None:
        self.endpoint = endpoint
        self._http = http
        self._tokens = tokens
        self._seconds = seconds
        self._answered = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a request with a token.

        :param path: below the endpoint, with a slash in front.
        :param json: the body.
        :returns: an answer of success.
        :raises RemoteError: there is none.
        """

        async def ask(token: Mapping[str, str]) -> Answer:
            sent = {**(headers or {}), **token}
            url = self.endpoint.url + path
            try:
                return await self._http.once(method, url, headers=sent, params=params, json=json)
            except CallFailed as error:
                raise self.explain(error) from None

        return await self.authorized(method, path, ask)

    async def authorized(
        self, method: str, path: str, ask: Callable[[Mapping[str, str]], Awaitable[A | Answer]]
    ) -> A:
        """Have a request made with a token, once more with another one if the first is refused.

        :param path: below the endpoint, with a slash in front.
        :param ask: makes it with the headers that it is given. What it returns has a status; that
            of a failure is an :class:`~glance.identity.http.Answer`.
        :returns: what it returned, of a status of success.
        :raises RemoteError: there is none.
        """

        async def logged(token: str | None) -> A | Answer:
            answer = await ask({} if token is None else {"X-Auth-Token": token})
            url = self.endpoint.url + path
            _log.debug("{method} {url}: {status}", method=method, url=url, status=answer.status)
            return answer

        token = await self._tokens.current()
        answer = await logged(token)
        self._answered = True
        if answer.status == 401 and (other := await self._tokens.renewed(token)) is not None:
            answer = await logged(other)
        if answer.status // 100 == 2:
            return cast(A, answer)
        assert isinstance(answer, Answer)
        if answer.status == 401:
            wants = "wants a token" if token is None else "does not take the token"
            raise NotAuthenticated(
                f"You are not authenticated: {self.endpoint.place} {wants} (401).", 401
            )
        raise self._error(answer)

    async def request_json(self, method: str, path: str, **details: Any) -> dict[str, Any]:
        """Make a request as :meth:`request` does, and return the JSON object of its answer.

        :raises RemoteError: there is none.
        """
        answer = await self.request(method, path, **details)
        try:
            document = answer.json()
        except CallFailed:
            document = None
        if not isinstance(document, dict):
            raise self.unintelligible()
        return document

    def explain(self, failure: CallFailed) -> RemoteError:
        """Make the error of a request that got no answer."""
        return explain(failure, self.endpoint, self._seconds, answered=self._answered)

    def unintelligible(self) -> Unintelligible:
        """Make the error for an answer that no image service gives."""
        return Unintelligible(
            f"{self.endpoint.place} answered, but not as an image service does. Is it one?"
        )

    def _error(self, answer: Answer) -> Answered | Unintelligible:
        status, place = answer.status, self.endpoint.place
        if status < 400:
            # Where it leads to is not followed: a token would go there.
            where = words((answer.header("Location") or "").encode(), self._tokens.secrets)
            if status == HTTPStatus.MULTIPLE_CHOICES or not where:
                return self.unintelligible()
            return Unintelligible(f"{place} sends us on ({status}) to {where}; say so yourself.")
        said = words(answer.body, self._tokens.secrets)
        text = f"{place} answered {status}{_phrase(status)}"
        kind = _KINDS.get(status, Failed)
        message = f"{text}: {said}" if said else f"{text}."
        return kind(message, status, said, _retry_after(answer))


def _retry_after(answer: Answer) -> float | None:
    """Return in how many seconds a service wants to be asked again (RFC 9110, section 10.2.3)."""
    value = (answer.header("Retry-After") or "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:_RETRY_DIGITS])
    try:
        # By its own clock.
        moments = [parsedate_to_datetime(text) for text in (value, answer.header("Date") or "")]
        return max(0.0, (moments[0] - moments[1]).total_seconds())
    except (ValueError, TypeError):
        return None


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def connect(
    reactor: Any,
    endpoint: Endpoint,
    credentials: Credentials | str | None,
    *,
    trust: Trust | None = None,
    seconds: float = PATIENCE,
) -> ImageService:
    """Make what asks an image service; nothing is sent yet.

    :param credentials: to log in to Keystone with, or a token, or none.
    :param seconds: that each request may take.
    :raises ConfigError: a file of certificates cannot be used.
    """
    http = make_http(reactor, make_tls(trust or Trust()), seconds)
    return ImageService(http, endpoint, make_tokens(reactor, http, credentials), seconds)


def make_tls(trust: Trust) -> ClientTLS:
    """Make what secures connections.

    :raises ConfigError: a file of certificates cannot be used.
    """
    files = Files("", trust.authorities, trust.certificate, trust.key)
    return ClientTLS(files, insecure=trust.insecure)


def make_http(reactor: Any, tls: ClientTLS, seconds: float) -> HttpCaller:
    """Make what asks.

    :param seconds: that each request may take.
    """
    treq, _ = make_treq(reactor, tls, min(seconds, CONNECT_TIME))
    return HttpCaller(reactor, treq, attempt_time=seconds, retries=LOGIN_RETRIES)


def make_tokens(reactor: Any, http: HttpCaller, credentials: Credentials | str | None) -> Tokens:
    """Make what gives tokens.

    :raises ConfigError: the token can be none.
    """
    if isinstance(credentials, Credentials):
        return KeystoneTokens(ServiceSession(reactor, http, credentials))
    if credentials and not (credentials.isascii() and credentials.isprintable()):
        raise ConfigError("The token has characters in it that no token has.")
    return GivenToken(credentials)
