"""A web of servers in memory, and what fetches from it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from glance.domain.urifilter import Target, UriFilter
from glance.stores.fetching import Fetcher
from glance.stores.outbound import Exchange

DATA = bytes(range(256)) * 40


class Web(Resource):
    """Every server there is: a function by host and path answers.

    :ivar asked: method, URL and headers of each request.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[tuple[str, str, Headers]] = []

    def render(self, request: Any) -> Any:
        where = (request.getHeader("Host") + request.uri.decode("ascii")).partition("?")[0]
        self.asked.append((request.method.decode(), where, request.requestHeaders))
        return self.pages.get(where, nothing)(request)


def nothing(request: Any) -> bytes:
    request.setResponseCode(404)
    return b"nothing here"


def plain(data: bytes = DATA, tag: str | None = None) -> Callable[[Any], bytes]:
    """Answer with data whole, whatever is asked for."""

    def answer(request: Any) -> bytes:
        if tag:
            request.responseHeaders.setRawHeaders("ETag", [tag])
        request.setHeader("Content-Length", str(len(data)))
        return data

    return answer


def ranged(data: bytes = DATA, tag: str | None = None) -> Callable[[Any], bytes]:
    """Answer with the part from where it is asked for."""

    def answer(request: Any) -> bytes:
        asked = request.getHeader("Range")
        if not asked:
            return plain(data, tag)(request)
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        request.setResponseCode(206)
        content_range = f"bytes {first}-{len(data) - 1}/{len(data)}"
        request.setHeader("Content-Range", content_range)
        return plain(data[first:], tag)(request)

    return answer


def status(code: int, **headers: str) -> Callable[[Any], bytes]:
    """Answer with a status."""

    def answer(request: Any) -> bytes:
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name, value)
        return b"secret words of the server"

    return answer


def by_method(**answers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda request: answers[request.method.decode()](request)


def redirect(to: str, code: int = 302) -> Callable[[Any], bytes]:
    return status(code, Location=to)


def chunked(data: bytes = DATA) -> Callable[[Any], Any]:
    """Answer without telling a length."""

    def answer(request: Any) -> Any:
        request.write(data[:100])
        request.write(data[100:])
        request.finish()
        return NOT_DONE_YET

    return answer


def silent(request: Any) -> Any:
    """Answer nothing."""
    return NOT_DONE_YET


def short(data: bytes = DATA) -> Callable[[Any], Any]:
    """Announce more than what comes."""

    def answer(request: Any) -> Any:
        request.setHeader("Content-Length", str(len(data) + 1))
        request.write(data)
        request.transport.loseConnection()
        return NOT_DONE_YET

    return answer


def announce(length: int) -> Callable[[Any], Any]:
    """Announce a length, and send a byte."""

    def answer(request: Any) -> Any:
        request.setHeader("Content-Length", str(length))
        request.write(b"x")
        return NOT_DONE_YET

    return answer


class WebOutbound:
    """Makes requests to a web in memory.

    :ivar open: connections not cut yet.
    """

    def __init__(self, web: Web) -> None:
        self.agent = RequestTraversalAgent(web)
        self.open = 0

    def request(self, method: bytes, target: Target, headers: Headers) -> Deferred[Exchange]:
        self.open += 1
        connection = SimpleNamespace(abort=lambda: closing())

        def closing() -> None:
            nonlocal closed
            self.open -= not closed
            closed = True

        def failed(failure: Any) -> Any:
            closing()
            return failure

        closed = False
        asking = self.agent.request(method, target.url.encode("ascii"), headers)
        return asking.addCallbacks(lambda response: Exchange(response, connection), failed)

    def close(self) -> None:
        self.open = 0


def web_fetcher(web: Web, rules: UriFilter | None = None) -> tuple[Fetcher, WebOutbound, Clock]:
    """Make a fetcher of pages in memory."""
    outbound, clock = WebOutbound(web), Clock()
    return Fetcher(clock, rules or UriFilter(), outbound), outbound, clock
