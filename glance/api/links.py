"""Absolute URLs of this service, as the client reaches it."""

from __future__ import annotations

from twisted.web.server import Request


def base_url(request: Request, public_endpoint: str | None) -> str:
    """Return the service's URL without a trailing slash.

    :param public_endpoint: ``[DEFAULT] public_endpoint``, which wins over the request's own host.
    """
    if public_endpoint:
        return public_endpoint.rstrip("/")
    scheme = "https" if request.isSecure() else "http"
    host = request.getHeader("Host")
    if not host:
        address = request.getHost()
        host = f"{address.host}:{address.port}"
    return f"{scheme}://{host}"


def absolute(request: Request, public_endpoint: str | None, path: str) -> str:
    """Return the URL of a path of this service."""
    return base_url(request, public_endpoint) + path
