"""The service as a client of the identity service, and of others by its catalogue.

A :class:`ServiceSession` logs in with the service's own credentials when it first needs a token,
keeps that token until shortly before its end, and gets a new one when it is refused. Requests can
also be made with a caller's token and catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.logger import Logger

from glance.domain.errors import ConfigError
from glance.identity.catalog import Catalogs, find_endpoint
from glance.identity.credentials import Credentials, check_url
from glance.identity.discovery import is_versioned, v3_url
from glance.identity.http import Answer, CallFailed, HttpCaller
from glance.identity.singleflight import SingleFlight
from glance.identity.tokens import Malformed, timestamp

#: Type of the identity service in the catalogue.
IDENTITY = "identity"

#: Seconds before its end at which a token is replaced; of one that lives shortly, a fifth of it.
MARGIN = 60.0

#: Seconds for which no login is tried after the credentials were refused: a service that goes on
#: trying may have its account locked.
REFUSED_PAUSE = 10.0

_log = Logger()


class LoginRefused(CallFailed):
    """The identity service does not know us, or not like that.

    :param status: of its answer.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token of the service's own.

    :param renew_at: when to get another one, by the reactor's clock.
    """

    token: str = field(repr=False)
    catalog: Sequence[Mapping[str, Any]] = field(repr=False)
    renew_at: float


class ServiceSession:
    """Makes requests to services of the cloud.

    :param reactor: the reactor; only its clock is used here.
    :param http: asks.
    :param credentials: of this service.
    :param interface: which endpoints are used: ``internal``, ``public`` or ``admin``.
    :param region: whose endpoints; ``None`` for the first.
    """

    def __init__(
        self,
        reactor: Any,
        http: HttpCaller,
        credentials: Credentials,
        *,
        interface: str = "internal",
        region: str | None = None,
    ) -> None:
        self._reactor = reactor
        self._http = http
        self._credentials = credentials
        self._interface = interface
        self._region = region
        self._own: OwnToken | None = None
        self._logins: SingleFlight[None, OwnToken] = SingleFlight()
        self._v3_urls: dict[str, str] = {}
        self._refused_until = 0.0
        self._refused_with = 0

    async def request(
        self,
        method: str,
        target: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        catalog: Sequence[Mapping[str, Any]] | None = None,
        interface: str | None = None,
        region: str | None = None,
        repeat: bool = True,
    ) -> Answer:
        """Make a request with a token.

        :param target: type of the service to ask, looked up in the catalogue (``identity`` means
            its version 3), or the URL that ``path`` is put behind.
        :param path: with a slash in front.
        :param json: the body.
        :param token: a caller's; ``None`` for the service's own, which is renewed once when the
            answer is 401.
        :param catalog: where to look ``target`` up; ``None`` for that of the service's own token.
        :param interface: other than the session's.
        :param region: other than the session's.
        :param repeat: whether doing it twice does no harm; if so, it is repeated when it fails.
        :returns: the answer, whatever its status is below 500.
        :raises CallFailed: there was none, there is no such service, or the login failed.
        """

        async def ask(sent: str, known: Sequence[Mapping[str, Any]]) -> Answer:
            url = await self.url(
                target, known, interface or self._interface, region or self._region
            )
            sent_headers = {**(headers or {}), "X-Auth-Token": sent}
            return await self._http.request(
                method, url + path, headers=sent_headers, params=params, json=json, repeat=repeat
            )

        if token is not None and catalog is not None:
            return await ask(token, catalog)
        own = await self.own_token()
        if token is not None:
            return await ask(token, own.catalog)
        answer = await ask(own.token, own.catalog if catalog is None else catalog)
        if answer.status == 401:
            own = await self.renewed(own)
            answer = await ask(own.token, own.catalog if catalog is None else catalog)
        return answer

    async def url(
        self,
        target: str,
        catalog: Sequence[Mapping[str, Any]],
        interface: str,
        region: str | None = None,
    ) -> str:
        """Return the URL of a service, without slashes at its end.

        :param target: its type, or its URL itself.
        :raises CallFailed: the catalogue has none.
        """
        if "://" in target:
            return target.rstrip("/")
        found = find_endpoint(catalog, target, interface, region)
        if found is not None:
            try:
                found = check_url(found, "endpoint")
            except ConfigError:
                raise CallFailed(
                    f"the catalogue's {interface} endpoint of {target} is no URL"
                ) from None
        elif target != IDENTITY:
            where = f" in region {region}" if region else ""
            raise CallFailed(f"the catalogue has no {interface} endpoint of {target}{where}")
        if target != IDENTITY:
            assert found is not None
            return found
        return await self._v3_url(found or self._credentials.auth_url)

    async def own_token(self) -> OwnToken:
        """Return the service's own token, logging in where that is needed.

        :raises CallFailed: that did not work.
        """
        own = self._own
        if own is not None and self._reactor.seconds() < own.renew_at:
            return own
        return await self._logins.run(None, self._log_in)

    def stop(self) -> None:
        """Break off a login that is under way."""
        self._logins.fail_all(CallFailed("the service is stopping"))

    async def renewed(self, refused: OwnToken) -> OwnToken:
        """Return a token that is not the one that was refused.

        :raises CallFailed: the login did not work.
        """
        if self._own is refused:
            self._own = None
        return await self.own_token()

    async def _log_in(self) -> OwnToken:
        source = self._credentials.source
        if self._reactor.seconds() < self._refused_until:
            raise LoginRefused(
                f"the credentials of {source} were refused just now", self._refused_with
            )
        url = await self._v3_url(self._credentials.auth_url)
        answer = await self._http.request("POST", f"{url}/auth/tokens", json=self._credentials.body)
        if answer.status not in (200, 201):
            self._refused_until = self._reactor.seconds() + REFUSED_PAUSE
            self._refused_with = answer.status
            raise LoginRefused(
                f"{url}/auth/tokens refused the credentials of {source} ({answer.status})",
                answer.status,
            )
        self._own = self._read(answer)
        _log.debug("Logged in to {url}", url=url)
        return self._own

    def _read(self, answer: Answer) -> OwnToken:
        token = answer.header("X-Subject-Token")
        try:
            body = answer.json()["token"]
            life = timestamp(body["expires_at"]) - timestamp(body["issued_at"])
            catalog = Catalogs().get(body.get("catalog") or [])
        except (CallFailed, Malformed, ValueError, KeyError, TypeError, AttributeError):
            token = None
        if not token:
            raise CallFailed("the answer to the login is none of an identity service")
        # By the difference, since the identity service's clock may differ from ours.
        usable = life - min(MARGIN, life / 5)
        return OwnToken(token, catalog, self._reactor.seconds() + usable)

    async def _v3_url(self, url: str) -> str:
        """Return the URL of version 3 below that of an endpoint, asking there if need be."""
        if is_versioned(url):
            return url
        known = self._v3_urls.get(url)
        if known is None:
            answer = await self._http.request("GET", url + "/")
            known = self._v3_urls[url] = _chosen(url, answer)
        return known


def _chosen(url: str, answer: Answer) -> str:
    try:
        document = answer.json() if answer.status in (200, 300) else None
    except CallFailed:
        document = None
    if document is None:
        # Something in between that knows of the versions' own paths only.
        return f"{url}/v3"
    found = v3_url(url, document)
    if found is None:
        raise CallFailed(f"{url} offers no version 3 of the identity API")
    return found
