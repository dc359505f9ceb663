"""Asking the identity service whether a token is valid."""

from __future__ import annotations

from collections.abc import Callable

from glance.identity.catalog import Catalogs
from glance.identity.http import CallFailed
from glance.identity.session import IDENTITY, ServiceSession
from glance.identity.tokens import Malformed, Token, parse

#: Tells the identity service that we compare access rules; it calls tokens that have such rules
#: invalid otherwise.
ACCESS_RULES = {"OpenStack-Identity-Access-Rules": "1.0"}


class Validator:
    """Asks.

    :param session: asks with the service's own token.
    :param now: the time in seconds since 1970.
    :param with_catalog: whether to fetch the catalogue that a token comes with.
    """

    def __init__(
        self,
        session: ServiceSession,
        now: Callable[[], float],
        catalogs: Catalogs,
        *,
        with_catalog: bool = True,
    ) -> None:
        self._session = session
        self._now = now
        self._catalogs = catalogs
        self._with_catalog = with_catalog

    async def validate(self, token: str, *, ended_too: bool = False) -> Token | None:
        """Return what the identity service says of a token; ``None`` that it is invalid.

        :param ended_too: whether a token that has ended is good all the same.
        :raises CallFailed: it says nothing that we could use.
        """
        params = {"allow_expired": "1"} if ended_too else {}
        if not self._with_catalog:
            params["nocatalog"] = "1"
        answer = await self._session.request(
            "GET",
            IDENTITY,
            "/auth/tokens",
            params=params,
            headers={"X-Subject-Token": token, **ACCESS_RULES},
        )
        if answer.status == 404:
            return None
        if answer.status == 200:
            try:
                return parse(
                    answer.json(), self._now(), self._catalogs, with_catalog=self._with_catalog
                )
            except Malformed as error:
                raise CallFailed(f"the description of a token cannot be used: {error}") from None
        if answer.status in (401, 403):
            raise CallFailed(
                f"the service's own token may not check others ({answer.status}); its user needs "
                "the role admin or service"
            )
        raise CallFailed(f"the check of a token was answered {answer.status}")
