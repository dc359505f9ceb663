"""The seam where callers are told apart.

The API asks an :class:`IAuthenticator` for the context of every request. What identifies callers
by Keystone tokens plugs in here; without it every caller is the administrator of a service that
listens to its own machine only.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.web.http_headers import Headers
from zope.interface import Interface, implementer

from glance.identity.context import Identity, RequestContext

#: Who everybody is where nobody is told apart: every default rule lets this one pass.
ADMINISTRATOR = Identity(roles=frozenset({"admin", "member", "reader"}))


class IAuthenticator(Interface):
    """Tells who makes a request."""

    def authenticate(
        headers: Headers, request_id: str, method: str, path: str
    ) -> RequestContext | Deferred[RequestContext]:
        """Return the caller's context, at once where it is known.

        :param method: of the request, for tokens that are good for some requests only.
        :param path: of the request, from its version segment on, without query.

        Identity headers that a client sends (``X-User-Id``, ``X-Roles``, …) are never believed.

        :raises Unauthenticated: there is no valid token and strangers are not served.
        :raises Unavailable: the identity service does not answer.
        """

    def start() -> None:
        """Get ready for requests. Some may come before that is done."""

    def stop() -> Deferred[None]:
        """Break off what is under way and close all connections."""


@implementer(IAuthenticator)
class NoAuthentication:
    """Take every caller for the administrator, as pipelines without Keystone do."""

    def authenticate(
        self, headers: Headers, request_id: str, method: str, path: str
    ) -> RequestContext:
        """Return the administrator's context, whatever the headers say."""
        return RequestContext(request_id, ADMINISTRATOR, is_admin=True)

    def start(self) -> None:
        """Have nothing to get ready."""

    def stop(self) -> Deferred[None]:
        """Have nothing to stop."""
        return succeed(None)
