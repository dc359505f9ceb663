"""Which versions of the API there are, and which one a request means."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from twisted.web.resource import Resource
from twisted.web.server import Request

from glance.api.links import base_url
from glance.api.routing import answer_error
from glance.domain.errors import Invalid

#: Minor versions that this service's routes amount to, newest first.
MINOR_VERSIONS = (7, 6, 5, 4, 3, 2, 1, 0)

_ACCEPT_PREFIX = "application/vnd.openstack.images-"

#: What may become part of a URL that the service tells.
_HOST = re.compile(rb"[A-Za-z0-9._~:\[\]%-]*")

SEGMENTS = frozenset({"v2", *(f"v2.{minor}" for minor in MINOR_VERSIONS)})


def version_in_accept(accept: str | None) -> str | None:
    """Return the version that an ``Accept`` header names in place of the path, if it does."""
    if accept is None or not accept.startswith(_ACCEPT_PREFIX):
        return None
    version = accept.removeprefix(_ACCEPT_PREFIX).partition(";")[0].strip()
    return version if version in SEGMENTS else None


class VersionsResource(Resource):
    """The versions document.

    :param status: 300 where it answers for something else, 200 where it was asked for.
    """

    isLeaf = True

    def __init__(self, public_endpoint: str | None, status: int) -> None:
        super().__init__()
        self._public_endpoint = public_endpoint
        self._status = status

    def render(self, request: Request) -> bytes:
        """List the versions, whatever the method."""
        href = base_url(request, self._public_endpoint) + "/v2/"
        versions = [
            {
                "id": f"v2.{minor}",
                "status": "CURRENT" if minor == MINOR_VERSIONS[0] else "SUPPORTED",
                "links": [{"rel": "self", "href": href}],
            }
            for minor in MINOR_VERSIONS
        ]
        request.setResponseCode(self._status)
        request.setHeader(b"content-type", b"application/json")
        return orjson.dumps({"versions": versions})


class VersionRoot(Resource):
    """The root of the service: the versions, the API below each, the health check.

    :param api: the API's resource.
    :param extra: resources by first path segment.
    """

    def __init__(self, api: Resource, public_endpoint: str | None, extra: dict[bytes, Any]) -> None:
        super().__init__()
        self._api = api
        self._extra = extra
        self._public_endpoint = public_endpoint
        self._choices = VersionsResource(public_endpoint, 300)
        self._versions = VersionsResource(public_endpoint, 200)
        self._options = _Options()
        self._not_text = _Refuse("The URL is not UTF-8 text in percent-encoding.")
        self._no_host = _Refuse("The header Host must hold a host's name or address.")
        self._slash = _AddSlash(public_endpoint)

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """Choose by the first segment of the path, or by the ``Accept`` header."""
        if not _is_text(request.path):
            return self._not_text
        if not _HOST.fullmatch(request.getHeader(b"Host") or b""):
            return self._no_host
        if request.method == b"OPTIONS":
            return self._options
        before, rest = request.prepath, request.postpath
        assert before is not None and rest is not None
        while not name and rest:
            # Leading slashes mean nothing.
            before[-1] = name = rest.pop(0)
        segment = name.decode("ascii", "replace")
        if segment in SEGMENTS:
            return self._api if rest else self._slash
        if name in self._extra:
            return self._extra[name]
        if version_in_accept(request.getHeader("Accept")) is not None:
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

    def render(self, request: Request) -> bytes:
        request.setHeader(b"content-length", b"0")
        return b""


class _AddSlash(Resource):
    """Send a client from ``/v2`` to ``/v2/``."""

    isLeaf = True

    def __init__(self, public_endpoint: str | None) -> None:
        super().__init__()
        self._public_endpoint = public_endpoint

    def render(self, request: Request) -> bytes:
        path = request.path.decode("ascii", "replace").rstrip("/")
        path = "/" + path.lstrip("/") + "/"
        target = base_url(request, self._public_endpoint) + path
        request.setResponseCode(302)
        request.setHeader("Location", target)
        request.setHeader(b"content-type", b"text/plain; charset=UTF-8")
        return f"302 Found\n\nThe resource was found at {target}\n\n".encode()
