"""Which versions of the API there are, and which one a request means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from twisted.web.resource import Resource

from glance.api.links import base_url
from glance.api.routing import answer_error
from glance.api.streaming import StreamingRequest
from glance.domain.errors import Invalid

#: Minor versions of every service, of one with several stores, and of one with an image cache.
_ALWAYS = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9, 15, 17})
_WITH_STORES = frozenset({8, 10, 11, 12, 13})
_WITH_CACHE = frozenset({14, 16, 18})

_ACCEPT_PREFIX = "application/vnd.openstack.images-"

#: What may become part of a URL that the service tells.
_HOST = re.compile(rb"[A-Za-z0-9._~:\[\]%-]*")


def minor_versions(*, stores: bool, cache: bool) -> tuple[int, ...]:
    """List the minor versions that the configuration entitles to, newest first.

    :param stores: several stores are configured.
    :param cache: there is an image cache.
    """
    found = _ALWAYS | (_WITH_STORES if stores else set()) | (_WITH_CACHE if cache else set())
    return tuple(sorted(found, reverse=True))


def version_in_accept(accept: str | None) -> str | None:
    """Return the version that an ``Accept`` header names in place of the path, if it does."""
    if accept is None or not accept.startswith(_ACCEPT_PREFIX):
        return None
    return accept.removeprefix(_ACCEPT_PREFIX).partition(";")[0].strip()


class VersionsResource(Resource):
    """The versions document.

    :param minors: the minor versions, newest first.
    :param status: 300 where it answers for something else, 200 where it was asked for.
    """

    isLeaf = True

    def __init__(self, public_endpoint: str | None, minors: Sequence[int], status: int) -> None:
        super().__init__()
        self._public_endpoint = public_endpoint
        self._minors = minors
        self._status = status

    def render(self, request: StreamingRequest) -> bytes:
        """List the versions, whatever the method."""
        href = base_url(request, self._public_endpoint) + "/v2/"
        versions = [
            {
                "id": f"v2.{minor}",
                "status": "CURRENT" if minor == self._minors[0] else "SUPPORTED",
                "links": [{"rel": "self", "href": href}],
            }
            for minor in self._minors
        ]
        request.setResponseCode(self._status)
        request.setHeader(b"content-type", b"application/json")
        return orjson.dumps({"versions": versions})


class VersionRoot(Resource):
    """The root of the service: the versions, the API below each, the health check.

    :param api: the API's resource.
    :param minors: the minor versions, newest first.
    :param extra: resources by first path segment.
    """

    def __init__(
        self,
        api: Resource,
        public_endpoint: str | None,
        minors: Sequence[int],
        extra: dict[bytes, Any],
    ) -> None:
        super().__init__()
        self._api = api
        self._extra = extra
        self._segments = frozenset({"v2", *(f"v2.{minor}" for minor in minors)})
        self._choices = VersionsResource(public_endpoint, minors, 300)
        self._versions = VersionsResource(public_endpoint, minors, 200)
        self._options = _Options()
        self._not_text = _Refuse("The URL is not UTF-8 text in percent-encoding.")
        self._no_host = _Refuse("There must be one header Host with a host's name or address.")
        self._slash = _AddSlash(public_endpoint)

    def getChildWithDefault(self, name: bytes, request: StreamingRequest) -> Any:
        """Choose by the first segment of the path, or by the ``Accept`` header."""
        if not _is_text(request.path):
            return self._not_text
        hosts = request.requestHeaders.getRawHeaders(b"Host")
        if hosts is None:
            # An old client; the others must say it (RFC 9112, section 3.2).
            if request.clientproto == b"HTTP/1.1":
                return self._no_host
        elif len(hosts) > 1 or not _HOST.fullmatch(hosts[0]):
            return self._no_host
        if request.method == b"OPTIONS":
            return self._options
        before, rest = request.prepath, request.postpath
        assert before is not None and rest is not None
        while not name and rest:
            # Leading slashes mean nothing.
            before[-1] = name = rest.pop(0)
        segment = name.decode("ascii", "replace")
        if segment in self._segments:
            return self._api if rest else self._slash
        if name in self._extra:
            return self._extra[name]
        if version_in_accept(request.getHeader("Accept")) in self._segments:
            rest.insert(0, before.pop())
            return self._api
        return self._versions if name == b"versions" else self._choices


def _is_text(path: bytes) -> bool:
    if b"%" not in path and path.isascii():
        return True
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return True


class _Refuse(Resource):
    """Refuse what no route can be compared with."""

    isLeaf = True

    def __init__(self, explanation: str) -> None:
        super().__init__()
        self._explanation = explanation

    def render(self, request: Any) -> bytes:
        return answer_error(request, Invalid(self._explanation))


class _Options(Resource):
    """Answer OPTIONS on every path alike: nothing to say."""

    isLeaf = True

    def render(self, request: StreamingRequest) -> bytes:
        request.setHeader(b"content-length", b"0")
        return b""


class _AddSlash(Resource):
    """Send a client from ``/v2`` to ``/v2/``."""

    isLeaf = True

    def __init__(self, public_endpoint: str | None) -> None:
        super().__init__()
        self._public_endpoint = public_endpoint

    def render(self, request: StreamingRequest) -> bytes:
        path = request.path.decode("ascii", "replace").rstrip("/")
        path = "/" + path.lstrip("/") + "/"
        target = base_url(request, self._public_endpoint) + path
        request.setResponseCode(302)
        request.setHeader("Location", target)
        request.setHeader(b"content-type", b"text/plain; charset=UTF-8")
        return f"302 Found\n\nThe resource was found at {target}\n\n".encode()
