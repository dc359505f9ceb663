"""From a table of routes to a Klein application.

A resource class marks its methods with :func:`route`; :func:`make_app` binds them all into one
Klein application. What every request needs (an id, the caller's identity, errors turned into
answers) is done here once, so that a handler is nothing but its business: it takes the request, the
context and the parts of the path, and returns a :class:`Reply` or raises an error of the domain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as NoRoute

from glance.api.errors import RETRY_AFTER, render_error, status_of, title_of
from glance.api.streaming import StreamingRequest
from glance.domain import correlation
from glance.domain.errors import (
    Forbidden,
    GlanceError,
    Invalid,
    Unauthenticated,
)
from glance.domain.requestid import request_id
from glance.identity.authentication import IAuthenticator
from glance.identity.context import Identity

_log = Logger()

_STANDARD_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"}
)

#: Characters of a caller's request id that are taken whatever is configured.
_USUAL_ID = 64

#: What a caller who may change nothing may use.
_LOOKING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request.

    :param headers: beyond content type, length and request id.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


NO_CONTENT = Reply(204, content_type=None)


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path.

    :param path: below the version segment, in werkzeug's notation.
    :param no_body: a body sent with it is refused, as the API reference says of some routes.
    :param only: other methods on the path are not found instead of not allowed.
    :param policies: the policy rules that are asked, the first one always.
    :param success: statuses of answers to requests that succeed, the usual one first.
    :param errors: statuses of refusals particular to the route; see :func:`statuses_of`.
    :param request: the schema of the JSON body, by its name in ``glance.api.contract``.
    :param reply: the schema of the JSON answer, likewise.
    :param parameters: what the query and the headers may hold, likewise.
    """

    method: str
    path: str
    no_body: bool = False
    only: bool = False
    policies: tuple[str, ...] = ()
    success: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ()
    request: str | None = None
    reply: str | None = None
    parameters: tuple[str, ...] = ()


#: Statuses that every route may answer: malformed, not authenticated, a request id or headers too
#: long, and a part of the service that does not answer.
COMMON_ERRORS = frozenset({400, 401, 431, 503})


def statuses_of(found: Route) -> list[int]:
    """Return every status that a route may answer, in order."""
    statuses = {*found.success, *found.errors, *COMMON_ERRORS}
    if found.method not in _LOOKING:
        statuses.add(403)
    if found.request is not None:
        statuses.add(413)
    return sorted(statuses)


Handler = Callable[..., Awaitable[Reply | None]]
H = TypeVar("H", bound=Handler)


def route(method: str, path: str, **details: Any) -> Callable[[H], H]:
    """Mark a method of a resource class as the handler of a route.

    :param details: the other fields of :class:`Route`.
    """

    def mark(handler: H) -> H:
        handler.__dict__.setdefault("routes", []).append(Route(method, path, **details))
        return handler

    return mark


def json_reply(value: Any, status: int = 200, *headers: tuple[str, str]) -> Reply:
    """Answer with a JSON value."""
    return Reply(status, orjson.dumps(value), headers=headers)


def media_type(request: StreamingRequest) -> str:
    """Return the media type of the request's body, without parameters."""
    return (request.getHeader("Content-Type") or "").partition(";")[0].strip().lower()


def read_json(request: StreamingRequest) -> Any:
    """Return the request's body as a JSON value.

    :raises Invalid: it is not JSON in UTF-8.
    """
    data = request.content.read()
    if not data:
        raise Invalid("The request needs a body in JSON and has none.")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The request's body is not valid JSON: {error}.") from None


def query_pairs(request: StreamingRequest) -> list[tuple[str, str]]:
    """Return the query's names and values, decoded, in order.

    :raises Invalid: they are not UTF-8.
    """
    query = request.uri.partition(b"?")[2]
    if not query:
        return []
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Invalid("The query is not UTF-8 text in percent-encoding.") from None


#: Turns an answer into the form that the client of a request wants it in.
Finish = Callable[[StreamingRequest, Reply], Awaitable[Reply]]


class Dispatcher:
    """What wraps every handler.

    :param authenticator: tells who asks.
    :param max_request_id: ``[DEFAULT] max_request_id_length``.
    :param compress: compresses answers, if that is wanted.
    """

    def __init__(
        self,
        authenticator: IAuthenticator,
        max_request_id: int,
        compress: Finish | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._max_request_id = max_request_id
        self._compress = compress

    def endpoint(self, handler: Handler, route: Route) -> Callable[..., Any]:
        """Make the function that Klein calls for a route."""

        async def dispatch(request: StreamingRequest, **parts: str) -> bytes | None:
            try:
                name = request_id(request.getHeader("X-Openstack-Request-ID"), self._max_request_id)
                request.setHeader(b"x-openstack-request-id", name.encode())
                request.correlation = correlation.Correlation(name)
                correlation.begin(request.correlation)
                if route.no_body and request.requestHeaders.hasHeader("Transfer-Encoding"):
                    raise _no_body()
                if route.no_body and request.getHeader("Content-Length") not in (None, "0"):
                    raise _no_body()
                context = self._authenticator.authenticate(
                    request.requestHeaders, name, route.method, request.path.decode("utf-8")
                )
                if isinstance(context, Deferred):
                    context = await context
                if context.user_id is not None or context.project_id is not None:
                    request.correlation = _correlation(name, context.identity)
                    correlation.begin(request.correlation)
                if context.read_only and route.method not in _LOOKING:
                    raise Forbidden("You may look, but not change anything.")
                reply = await handler(request, context, **parts)
                if self._compress is not None and reply is not None:
                    reply = await self._compress(request, reply)
            except CancelledError:
                raise
            except Exception as error:
                if request.startedWriting:
                    # Too late for an answer: what the client has must not look complete.
                    tell = _log.error if isinstance(error, GlanceError) else _log.failure
                    tell("Broke off an answer: {error}", error=error)
                    request.loseConnection()
                    return None
                return answer_error(request, error)
            return None if reply is None else write_reply(request, reply)

        return dispatch


def _correlation(name: str, identity: Identity) -> correlation.Correlation:
    return correlation.Correlation(
        name,
        user=identity.user_id,
        project=identity.project_id,
        domain=identity.domain_id,
        system_scope=identity.system_scope,
        user_domain=identity.user_domain_id,
        project_domain=identity.project_domain_id,
    )


def _no_body() -> Invalid:
    return Invalid("A body is not expected with this request.")


def write_reply(request: StreamingRequest, reply: Reply) -> bytes:
    """Set the head of an answer; return its body."""
    headers = request.responseHeaders
    request.setResponseCode(reply.status, title_of(reply.status).encode())
    if reply.content_type is None:
        headers.removeHeader(b"content-type")
        request.defaultContentType = None
    else:
        headers.setRawHeaders(b"content-type", [reply.content_type.encode()])
    if reply.status not in (204, 304):
        headers.setRawHeaders(b"content-length", [b"%d" % len(reply.body)])
    for name, value in reply.headers:
        headers.addRawHeader(name.encode(), value.encode())
    return reply.body


def name_request(request: StreamingRequest) -> None:
    """Give an id to a request that is refused before it came to that."""
    given = request.getHeader("X-Openstack-Request-ID")
    name = request_id(given if given and len(given) <= _USUAL_ID else None)
    request.setHeader(b"x-openstack-request-id", name.encode())
    request.correlation = correlation.Correlation(name)


def answer_error(request: StreamingRequest, error: Exception) -> bytes:
    """Turn an error into an answer, and log what nobody foresaw."""
    extra: tuple[tuple[str, str], ...] = ()
    if isinstance(error, GlanceError):
        status, explanation = status_of(error), error.message
        if status == 503:
            extra = (("Retry-After", str(RETRY_AFTER)),)
        elif isinstance(error, Unauthenticated) and error.challenge:
            extra = (("WWW-Authenticate", error.challenge),)
        if status == 500:
            _log.error("Request failed: {error}", error=explanation)
    elif isinstance(error, HTTPException):
        status, explanation, extra = _routing_error(request, error)
    else:
        _log.failure("Request failed unexpectedly: {error}", error=error)
        status, explanation = 500, "The server ran into an unexpected error."
    if not request.responseHeaders.hasHeader(b"x-openstack-request-id"):
        name_request(request)
    accept = request.getHeader("Accept")
    if accept is not None and not accept.strip():
        # So ask clients that read errors in JSON, or as pages, and show nothing of plain text.
        accept = "application/json"
    content_type, body = render_error(status, explanation, accept or "")
    return write_reply(request, Reply(status, body, content_type, extra))


def _routing_error(
    request: StreamingRequest, error: HTTPException
) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    if isinstance(error, MethodNotAllowed):
        allowed = sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
        return 405, "The resource does not know this method.", (("Allow", ", ".join(allowed)),)
    if request.method.decode("ascii", "replace") not in _STANDARD_METHODS:
        return 501, "The server does not know this method.", ()
    return error.code or 404, "The resource could not be found.", ()


def routes_of(kind: type) -> Iterator[tuple[Route, str]]:
    """Yield every route of a class of resources, and the name of the method behind it."""
    for name in dir(kind):
        for found in getattr(getattr(kind, name, None), "routes", ()):
            yield found, name


def marked(resources: Iterable[object]) -> Iterator[tuple[Route, Handler]]:
    """Yield every route of some resources with its handler."""
    for resource in resources:
        for found, name in routes_of(type(resource)):
            yield found, getattr(resource, name)


def _no_route(request: StreamingRequest, **parts: str) -> bytes:
    return answer_error(request, NoRoute())


def make_app(dispatcher: Dispatcher, resources: Iterable[object]) -> Klein:
    """Bind the marked methods of resources into one Klein application."""
    app = Klein()
    app.url_map.merge_slashes = False
    lonely: dict[str, set[str]] = {}

    def bind(path: str, methods: Iterable[str], endpoint: str, function: Any) -> None:
        app.route(path, methods=[*methods], endpoint=endpoint, strict_slashes=True)(function)

    for found, handler in marked(resources):
        name = f"{found.method} {found.path}"
        bind(found.path, [found.method], name, dispatcher.endpoint(handler, found))
        if found.only:
            lonely.setdefault(found.path, set()).add(found.method)

    for rule in app.url_map.iter_rules():
        # werkzeug lets HEAD stand in for GET; this API answers it where a route says so.
        if rule.methods is not None and "GET" in rule.methods:
            rule.methods.discard("HEAD")

    for path, methods in lonely.items():
        bind(path, sorted(_STANDARD_METHODS - methods), f"nothing else {path}", _no_route)

    @app.handle_errors(HTTPException)
    def refuse(request: Any, failure: Any) -> Any:
        return answer_error(request, failure.value)

    return app
