"""Where the token comes from that goes with requests to another image service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from glance.identity.http import CallFailed
from glance.identity.session import LoginRefused, OwnToken, ServiceSession
from glance.remote.errors import LoginFailed, NoEndpoint, Untrusted
from glance.remote.trouble import BUSY, is_tls


class Tokens(Protocol):
    """Gives tokens."""

    @property
    def secrets(self) -> Iterable[str]:
        """What must not be shown to anybody."""

    async def current(self) -> str | None:
        """Return the token to send; ``None`` for none.

        :raises LoginFailed: there should be one.
        """

    async def renewed(self, refused: str | None) -> str | None:
        """Return another token than one that was refused; ``None`` if there is none.

        :raises LoginFailed: there should be one.
        """


class GivenToken:
    """The one that we were given, or none at all."""

    def __init__(self, token: str | None) -> None:
        self._token = token or None

    @property
    def secrets(self) -> Iterable[str]:
        """The token."""
        return (self._token,) if self._token else ()

    async def current(self) -> str | None:
        """Return the token."""
        return self._token

    async def renewed(self, refused: str | None) -> str | None:
        """Return nothing: there is no other."""
        return None


class KeystoneTokens:
    """Logs in to Keystone when a token is needed, and again when it is refused."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session
        self._last: OwnToken | None = None

    @property
    def secrets(self) -> Iterable[str]:
        """The token that there is; the password never reaches a service that we repeat."""
        return (self._last.token,) if self._last else ()

    async def current(self) -> str | None:
        """Return the token of the session."""
        try:
            self._last = await self._session.own_token()
        except CallFailed as error:
            raise _failed(error) from None
        return self._last.token

    async def endpoint(self, service: str, interface: str, region: str | None = None) -> str:
        """Return the URL of a service, as the catalogue has it.

        :param service: its type.
        :param region: ``None`` for any.
        :raises NoEndpoint: the catalogue has none.
        :raises LoginFailed: there is no token, and so no catalogue.
        """
        await self.current()
        assert self._last is not None
        try:
            return await self._session.url(service, self._last.catalog, interface, region)
        except CallFailed as error:
            raise NoEndpoint(f"Nobody knows where the service is: {error}.") from None

    async def renewed(self, refused: str | None) -> str | None:
        """Log in anew, unless another request has done so already."""
        if self._last is None or self._last.token != refused:
            return await self.current()
        try:
            self._last = await self._session.renewed(self._last)
        except CallFailed as error:
            raise _failed(error) from None
        return self._last.token


def _failed(error: CallFailed) -> LoginFailed | Untrusted:
    refused = isinstance(error, LoginRefused) and error.status not in BUSY
    if isinstance(error, LoginRefused) and error.status == 401:
        return LoginFailed(
            f"You are not authenticated: {error}. User, password, project or domain is wrong.",
            refused,
        )
    if is_tls(error.cause):
        return Untrusted(f"The identity service cannot be trusted: {error}.")
    return LoginFailed(f"The identity service gave no token: {error}.", refused)
