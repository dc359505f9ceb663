"""The whole HTTP service, put together from its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from klein.resource import KleinResource
from twisted.web.resource import Resource

from glance.api.errors import render_error
from glance.api.limits import Limits
from glance.api.routing import Dispatcher, Finish, Reply, make_app, name_request, write_reply
from glance.api.settings import Exposure
from glance.api.streaming import StreamingRequest, StreamingSite
from glance.api.versions import VersionRoot
from glance.domain.cors import Cors
from glance.identity.authentication import IAuthenticator

#: Requests whose body is image data.
_UPLOAD = re.compile(rb"/*(?:v2(?:\.\d+)?/+)?images/[^/]+/file")


def is_upload(method: bytes, uri: bytes) -> bool:
    """Tell from the request line whether a request brings image data.

    Decided on the decoded path, as routes are: ``/fil%65`` is a file.
    """
    if method != b"PUT":
        return False
    return _UPLOAD.fullmatch(unquote_to_bytes(uri.partition(b"?")[0])) is not None


def refuse(request: StreamingRequest, status: int, explanation: str) -> None:
    """Answer a request that is refused for how it is sent."""
    name_request(request)
    content_type, body = render_error(status, explanation, request.getHeader("Accept") or "")
    request.write(write_reply(request, Reply(status, body, content_type)))
    request.finish()


def make_site(
    reactor: Any,
    authenticator: IAuthenticator,
    resources: Iterable[object],
    healthcheck: Resource,
    *,
    public_endpoint: str | None,
    max_request_id_length: int,
    limits: Limits,
    minors: Sequence[int],
    exposure: Exposure = Exposure(),  # noqa: B008 - it is frozen
    cors: Cors | None = None,
    trust_proxies: bool = False,
    compress: Finish | None = None,
    log: Any = None,
) -> StreamingSite:
    """Put the service's resources under one HTTP server.

    :param resources: objects with methods marked by :func:`glance.api.routing.route`.
    :param minors: minor versions of the API that there are, newest first.
    :param compress: see :class:`glance.api.routing.Dispatcher`; the other parameters are those of
        :class:`glance.api.streaming.StreamingSite`.
    """
    dispatcher = Dispatcher(authenticator, max_request_id_length, compress)
    api = KleinResource(make_app(dispatcher, resources))
    root = VersionRoot(api, public_endpoint, minors, {b"healthcheck": healthcheck})
    return StreamingSite(
        root,
        reactor,
        streams=is_upload,
        refuse=refuse,
        limits=limits,
        exposure=exposure,
        cors=cors,
        trust_proxies=trust_proxies,
        log=log,
    )
