"""The API described in OpenAPI 3.1, made from the routes themselves.

So the description cannot say of a route what the route does not say of itself; that the service
keeps to it is tested by driving it with what the description allows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from glance import __version__
from glance.api import contract
from glance.api.errors import title_of
from glance.api.routing import Handler, Reply, Route, route, statuses_of
from glance.api.streaming import StreamingRequest
from glance.identity.context import RequestContext

_PART = re.compile(r"<(\w+)>")

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
    for found, handler in sorted(routes, key=lambda pair: (pair[0].path, pair[0].method)):
        path = "/v2" + _PART.sub(r"{\1}", found.path)
        paths.setdefault(path, {})[found.method.lower()] = _operation(found, handler)
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
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
        "security": [{"token": []}],
    }


def _operation(found: Route, handler: Handler) -> dict[str, Any]:
    summary = (inspect.getdoc(handler) or "").partition("\n")[0].rstrip(".")
    operation: dict[str, Any] = {
        "operationId": f"{found.method.lower()}{_PART.sub('', found.path).replace('/', '_')}"
        + ("_one" if found.path.endswith(">") else ""),
        "summary": summary,
        "responses": {str(status): _response(found, status) for status in statuses_of(found)},
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PART.findall(found.path)
    ]
    parameters += [contract.PARAMETERS[name] for name in found.parameters]
    if parameters:
        operation["parameters"] = parameters
    if found.request is not None:
        media = contract.REQUEST_MEDIA.get(found.request, (contract.JSON,))
        operation["requestBody"] = {"required": True, "content": _content(found.request, media)}
    if found.policies:
        operation["x-policies"] = list(found.policies)
    return operation


def _content(shape: str, media: Sequence[str]) -> dict[str, Any]:
    return {name: {"schema": {"$ref": f"#/components/schemas/{shape}"}} for name in media}


def _response(found: Route, status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": title_of(status)}
    if status >= 400:
        response["content"] = _ERROR_CONTENT
    elif found.reply is not None and status in (200, 201, 206) and found.method != "HEAD":
        media = contract.REPLY_MEDIA.get(found.reply, (contract.JSON,))
        response["content"] = _content(found.reply, media)
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
