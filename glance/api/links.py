"""Absolute URLs of this service, as the client reaches it."""

from __future__ import annotations

from glance.api.streaming import StreamingRequest


def base_url(request: StreamingRequest, public_endpoint: str | None) -> str:
    """Return the service's URL without a trailing slash.

    :param public_endpoint: ``[DEFAULT] public_endpoint``, which wins over the request's own host
        and over what a proxy says.
    """
    if public_endpoint:
        return public_endpoint.rstrip("/")
    forwarded = request.forwarded
    scheme = forwarded.scheme or ("https" if request.isSecure() else "http")
    host = forwarded.host or request.getHeader("Host")
    if not host:
        address = request.getHost()
        name = f"[{address.host}]" if ":" in address.host else address.host
        host = f"{name}:{address.port}"
    return f"{scheme}://{host}{forwarded.prefix}"


def absolute(request: StreamingRequest, public_endpoint: str | None, path: str) -> str:
    """Return the URL of a path of this service."""
    return base_url(request, public_endpoint) + path
