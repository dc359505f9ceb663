"""An image service as seen by our programs: requests with a token, and its errors as ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from twisted.logger import Logger

from glance.domain.errors import ConfigError
from glance.identity.credentials import Credentials
from glance.identity.http import Answer, CallFailed, HttpCaller, make_treq
from glance.identity.session import ServiceSession
from glance.identity.tls import ClientTLS, Files
from glance.remote.endpoint import Endpoint
from glance.remote.errors import (
    Absent,
    Answered,
    Failed,
    NotAllowed,
    NotAuthenticated,
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

_log = Logger()


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificates are taken.

    :param authorities: option and path of a file with certificates of authorities.
    :param insecure: take any.
    """

    authorities: tuple[str, str | None] = ("cafile", None)
    insecure: bool = False


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

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a request, once more with another token if the first one is refused.

        :param path: below the endpoint, with a slash in front.
        :param json: the body.
        :returns: an answer of success.
        :raises RemoteError: there is none.
        """

        async def ask(token: str | None) -> Answer:
            sent = dict(headers or {})
            if token is not None:
                sent["X-Auth-Token"] = token
            url = self.endpoint.url + path
            try:
                answer = await self._http.once(method, url, headers=sent, params=params, json=json)
            except CallFailed as error:
                raise explain(error, self.endpoint, self._seconds) from None
            _log.debug("{method} {url}: {status}", method=method, url=url, status=answer.status)
            return answer

        token = await self._tokens.current()
        answer = await ask(token)
        if answer.status == 401 and (other := await self._tokens.renewed()) is not None:
            answer = await ask(other)
        if answer.status // 100 == 2:
            return answer
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
        return kind(f"{text}: {said}" if said else f"{text}.", status, said)


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
    trust = trust or Trust()
    tls = ClientTLS(Files("", trust.authorities), insecure=trust.insecure)
    treq, _ = make_treq(reactor, tls, min(seconds, CONNECT_TIME))
    http = HttpCaller(reactor, treq, attempt_time=seconds, retries=LOGIN_RETRIES)
    return ImageService(http, endpoint, make_tokens(reactor, http, credentials), seconds)


def make_tokens(reactor: Any, http: HttpCaller, credentials: Credentials | str | None) -> Tokens:
    """Make what gives tokens.

    :raises ConfigError: the token can be none.
    """
    if isinstance(credentials, Credentials):
        return KeystoneTokens(ServiceSession(reactor, http, credentials))
    if credentials and not (credentials.isascii() and credentials.isprintable()):
        raise ConfigError("The token has characters in it that no token has.")
    return GivenToken(credentials)
