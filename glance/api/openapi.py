"""The API described in OpenAPI 3.1, made from the routes themselves.

So the description cannot say of a route what the route does not say of itself; that the service
keeps to it is tested by driving it with what the description allows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from glance import __version__
from glance.api import contract
from glance.api.answers import HEADERS, headers_of, links_of, operation_id, own_headers_of
from glance.api.errors import title_of
from glance.api.parameters import PARAMETERS, PARTS
from glance.api.routing import Handler, Reply, Route, route, statuses_of
from glance.api.streaming import StreamingRequest
from glance.identity.context import RequestContext

_PART = re.compile(r"<(\w+)>")
_REQUEST_ID = "X-OpenStack-Request-ID"

#: In which forms an error is told; see ``glance.api.errors.render_error``.
_ERROR_CONTENT: dict[str, Any] = {
    "application/json": {"schema": {"$ref": "#/components/schemas/error"}},
    "text/html": {"schema": {"type": "string"}},
    "text/plain": {"schema": {"type": "string"}},
}


def describe(
    routes: Iterable[tuple[Route, Handler]], served: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the description of an API (OpenAPI Specification 3.1.0).

    :param routes: routes with their handlers, whose docstrings say what they are for.
    :param served: the documents of ``/v2/schemas``.
    """
    paths: dict[str, dict[str, Any]] = {}
    refusals: set[int] = set()
    for found, handler in sorted(routes, key=lambda pair: (pair[0].path, pair[0].method)):
        path = "/v2" + _PART.sub(r"{\1}", found.path)
        paths.setdefault(path, {})[found.method.lower()] = _operation(found, handler)
        refusals.update(status for status in statuses_of(found) if status >= 400)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Images API v2",
            "version": __version__,
            "description": "Keep machine images and hand them out.",
        },
        "paths": paths,
        "components": {
            "schemas": contract.schemas(served),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": {_refusal(status): _refused(status) for status in sorted(refusals)},
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "A token of the identity service",
                }
            },
        },
        "security": [{"token": []}],
    }


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _operation(found: Route, handler: Handler) -> dict[str, Any]:
    summary = (inspect.getdoc(handler) or "").partition("\n")[0].rstrip(".")
    operation: dict[str, Any] = {
        "operationId": operation_id(found.method, found.path),
        "summary": summary,
        "tags": [found.path.split("/")[1]],
        "responses": {str(status): _response(found, status) for status in statuses_of(found)},
    }
    names = (*found.parameters, _REQUEST_ID)
    operation["parameters"] = [
        *(PARTS[name] for name in _PART.findall(found.path)),
        *(_reference("parameters", name) for name in names),
    ]
    if found.request is not None:
        media = contract.REQUEST_MEDIA.get(found.request, {contract.JSON: found.request})
        operation["requestBody"] = {"required": True, "content": _content(media)}
    if found.policies:
        operation["x-policies"] = list(found.policies)
    return operation


def _content(media: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"schema": _reference("schemas", shape)} for name, shape in media.items()}


def _refusal(status: int) -> str:
    return f"error_{status}"


def _refused(status: int) -> dict[str, Any]:
    return {
        "description": title_of(status),
        "headers": headers_of(status),
        "content": _ERROR_CONTENT,
    }


def _response(found: Route, status: int) -> dict[str, Any]:
    own = own_headers_of(found, status)
    if status >= 400 and not own:
        return _reference("responses", _refusal(status))
    if status >= 400:
        return {**_refused(status), "headers": {**headers_of(status), **own}}
    response: dict[str, Any] = {
        "description": title_of(status),
        "headers": {**headers_of(status), **own},
    }
    if found.reply is not None and status in (200, 201, 206) and found.method != "HEAD":
        response["content"] = _content(
            contract.REPLY_MEDIA.get(found.reply, {contract.JSON: found.reply})
        )
    links = links_of(found, status)
    if links:
        response["links"] = links
    return response


class OpenApiResource:
    """The route ``/openapi.json``.

    :param routes: all other routes with their handlers.
    :param served: the documents of ``/v2/schemas``.
    """

    def __init__(
        self, routes: Iterable[tuple[Route, Handler]], served: Mapping[str, Mapping[str, Any]]
    ) -> None:
        own = [(found, self.show) for found in getattr(self.show, "routes", ())]
        self._body = orjson.dumps(describe([*routes, *own], served))

    @route("GET", "/openapi.json", no_body=True, reply="openapi")
    async def show(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Describe this API, in OpenAPI 3.1."""
        return Reply(body=self._body)
