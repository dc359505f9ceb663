"""The whole HTTP service, put together from its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from klein.resource import KleinResource

from glance.api.errors import render_error
from glance.api.healthcheck import HealthcheckResource
from glance.api.routing import Dispatcher, Reply, make_app, write_reply
from glance.api.streaming import StreamingRequest, StreamingSite
from glance.api.versions import VersionRoot
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
    """Answer a request that is refused for how its body is sent."""
    content_type, body = render_error(status, explanation, request.getHeader("Accept") or "")
    request.write(write_reply(request, Reply(status, body, content_type)))
    request.finish()


def make_site(
    reactor: Any,
    authenticator: IAuthenticator,
    resources: Iterable[object],
    healthcheck: HealthcheckResource,
    *,
    public_endpoint: str | None,
    max_request_id_length: int,
    body_limit: int,
    client_timeout: float | None,
    max_header: int,
    keep_alive: bool = True,
    log: Any = None,
) -> StreamingSite:
    """Put the service's resources under one HTTP server.

    :param resources: objects with methods marked by :func:`glance.api.routing.route`.
    :param body_limit: most bytes of a JSON body.
    :param client_timeout: seconds without a byte after which a connection is closed.
    """
    dispatcher = Dispatcher(authenticator, max_request_id_length)
    api = KleinResource(make_app(dispatcher, resources))
    root = VersionRoot(api, public_endpoint, {b"healthcheck": healthcheck})
    return StreamingSite(
        root,
        reactor,
        streams=is_upload,
        refuse=refuse,
        body_limit=body_limit,
        timeout=client_timeout,
        max_header=max_header,
        keep_alive=keep_alive,
        log=log,
    )
