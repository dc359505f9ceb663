"""Who a caller is, by the tokens that come with the request."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from zope.interface import implementer

from glance.domain.errors import Unauthenticated
from glance.identity.accessrules import allowed
from glance.identity.authentication import IAuthenticator
from glance.identity.context import Identity, RequestContext
from glance.identity.http import CallFailed
from glance.identity.lookup import REFUSED, TokenLookup, Verdict
from glance.identity.session import ServiceSession
from glance.identity.tokens import Token

#: What a token can look like: it goes into a header of a request of ours. Longer ones than this
#: are none that any identity service of today hands out.
_TOKEN = re.compile(rb"[!-~]{1,8192}")

_log = Logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """How tokens are judged.

    :param challenge: what a caller without a valid token is told (``WWW-Authenticate``).
    :param anonymous: whether such a caller may look at what is public.
    :param service_type: ours, as access rules have it.
    :param service_roles: any of them makes a service token good for a token that has ended.
    :param service_roles_required: whether a service token without them is refused.
    :param refused_bindings: tokens bound to these are refused; ``None`` for any at all.
    """

    challenge: str
    anonymous: bool = False
    service_type: str = "image"
    service_roles: frozenset[str] = frozenset({"service"})
    service_roles_required: bool = True
    refused_bindings: frozenset[str] | None = frozenset({"kerberos"})


@implementer(IAuthenticator)
class KeystoneAuthenticator:
    """Tell callers apart by their Keystone tokens.

    Only ``X-Auth-Token`` (or ``X-Storage-Token``) and ``X-Service-Token`` are read. Headers in
    which a proxy of old would have said who somebody is are not looked at.

    :param lookup: finds out whether tokens are valid.
    :param session: logs in at start, so that the first caller does not wait for that.
    :param is_admin: whether somebody may see and do everything (rule ``context_is_admin``).
    :param stop: closes connections.
    """

    def __init__(
        self,
        lookup: TokenLookup,
        session: ServiceSession,
        rules: Rules,
        is_admin: Callable[[Identity], bool],
        stop: Callable[[], Deferred[None]],
    ) -> None:
        self._lookup = lookup
        self._session = session
        self._rules = rules
        self._is_admin = is_admin
        self._stop = stop

    def start(self) -> None:
        """Log in, so that wrong credentials are told now."""
        ensureDeferred(self._session.own_token()).addErrback(self._not_logged_in)

    def _not_logged_in(self, failure: Any) -> None:
        failure.trap(CallFailed)
        _log.error("The identity service cannot be used yet: {why}", why=failure.value)

    def stop(self) -> Deferred[None]:
        """Break off what is under way and close all connections."""
        self._lookup.stop()
        self._session.stop()
        return self._stop()

    def authenticate(
        self, headers: Headers, request_id: str, method: str, path: str
    ) -> RequestContext | Deferred[RequestContext]:
        """Return the caller's context; at once if its tokens are known."""
        user = _token_of(headers, b"x-auth-token") or _token_of(headers, b"x-storage-token")
        service = _token_of(headers, b"x-service-token")
        request = _Request(request_id, method, path, user, service)
        # What is known is judged without a Deferred or a coroutine: nearly all requests are so.
        caller: Verdict | None
        vouching: Verdict | None = None
        if service is not None:
            vouching = REFUSED if service is NONSENSE else self._lookup.known(service)
            if vouching is None:
                return ensureDeferred(self._find_out(request))
        trusted = self._checked_service(vouching, request)
        if user is None or user is NONSENSE:
            caller = REFUSED
        else:
            caller = self._lookup.known(user, ended_too=trusted)
            if caller is None:
                return ensureDeferred(self._find_out(request))
        return self._context(request, caller, vouching, trusted)

    async def _find_out(self, request: _Request) -> RequestContext:
        """Do the same where something has to be asked."""
        vouching: Verdict | None = None
        if request.service is not None:
            vouching = await self._verdict(request.service)
        trusted = self._checked_service(vouching, request)
        caller = await self._verdict(request.user, ended_too=trusted)
        return self._context(request, caller, vouching, trusted)

    async def _verdict(self, token: str | None, *, ended_too: bool = False) -> Verdict:
        if token is None or token is NONSENSE:
            return REFUSED
        known = self._lookup.known(token, ended_too=ended_too)
        return known or await self._lookup.ask(token, ended_too=ended_too)

    def _checked_service(self, vouching: Verdict | None, request: _Request) -> bool:
        """Tell whether a calling service may do what only services may.

        :raises Unauthenticated: its token is not valid; then nothing else counts.
        """
        if vouching is None:
            return False
        if (
            vouching is REFUSED
            or not self._unbound(vouching)
            or not self._allowed(vouching, request)
        ):
            raise self._refusal("The service token is not valid, or not for this request.")
        trusted = not self._rules.service_roles.isdisjoint(vouching.role_names)
        if not trusted and self._rules.service_roles_required:
            raise self._refusal("The service token has no role of a service.")
        return trusted

    def _context(
        self, request: _Request, caller: Verdict, vouching: Verdict | None, trusted: bool
    ) -> RequestContext:
        if (
            caller is REFUSED
            or not self._unbound(caller)
            or not (trusted or self._allowed(caller, request))
        ):
            return self._stranger(request)
        identity = caller.identity
        if vouching is not None and vouching is not REFUSED:
            identity = caller.identity_with(vouching)
        return RequestContext(request.id, identity, request.user, self._is_admin(identity))

    def _stranger(self, request: _Request) -> RequestContext:
        if self._rules.anonymous:
            return RequestContext(request.id, read_only=True)
        if request.user is None:
            raise self._refusal("Authentication is required: send a token as X-Auth-Token.")
        raise self._refusal("The token is not valid, or not for this request.")

    def _refusal(self, message: str) -> Unauthenticated:
        return Unauthenticated(message, self._rules.challenge)

    def _allowed(self, token: Token, request: _Request) -> bool:
        rules = token.access_rules
        if rules is None:
            return True
        return allowed(rules, self._rules.service_type, request.method, request.path)

    def _unbound(self, token: Token) -> bool:
        refused = self._rules.refused_bindings
        if not token.bound_to:
            return True
        return refused is not None and refused.isdisjoint(token.bound_to)


@dataclass(frozen=True, slots=True)
class _Request:
    id: str
    method: str
    path: str
    user: str | None = field(repr=False)
    service: str | None = field(repr=False)


#: Stands for a token that can be none.
NONSENSE = "\x00"


def _token_of(headers: Headers, name: bytes) -> str | None:
    values = headers.getRawHeaders(name)
    if not values:
        return None
    value: bytes = values[0]
    if not value and len(values) == 1:
        return None
    if _TOKEN.fullmatch(value) is None or any(other != value for other in values):
        return NONSENSE
    return value.decode("ascii")
