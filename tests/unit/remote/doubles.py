"""An image service in memory, and what asks it."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from glance.identity.credentials import make_credentials
from glance.identity.http import HttpCaller
from glance.remote.cache import RemoteCache
from glance.remote.endpoint import Endpoint
from glance.remote.service import ImageService, make_tokens
from tests.cacheservice import PASSWORD, CacheService

ENDPOINT = Endpoint("images.example", 9292)

LOGIN = make_credentials(
    {
        "auth_url": "http://identity.example:5000/v3",
        "username": "uma",
        "password": PASSWORD,
        "user_domain_id": "default",
        "project_name": "p",
        "project_domain_id": "default",
    },
    "the user 'uma'",
)


class Site(Resource):
    """Passes requests to a service."""

    isLeaf = True

    def __init__(self, service: CacheService) -> None:
        super().__init__()
        self._service = service

    def render(self, request: Any) -> bytes:
        headers = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        status, answered, body = self._service.answer(
            request.method.decode(), request.path.decode(), headers, request.content.read()
        )
        request.setResponseCode(status)
        for name, value in answered.items():
            request.setHeader(name, value)
        return body


class RemoteTestCase(SynchronousTestCase):
    """Tests of what asks an image service."""

    def make(self, credentials: Any = None, **service: bool) -> None:
        """Make a service, and what asks it."""
        self.clock = Clock()
        self.service = CacheService(**service)
        self.treq = StubTreq(Site(self.service))
        http = HttpCaller(self.clock, self.treq, attempt_time=10, retries=0)
        tokens = make_tokens(self.clock, http, credentials)
        self.remote = ImageService(http, ENDPOINT, tokens, 10)
        self.cache = RemoteCache(self.remote)

    def setUp(self) -> None:
        self.make()

    def done(self, work: Any) -> Any:
        """Return what a coroutine returns."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def failed(self, work: Any, kind: type[Exception]) -> Any:
        """Return what a coroutine raises."""
        error = self.failureResultOf(Deferred.fromCoroutine(work), kind).value
        self.assertNotIn("canary", str(error))
        return error

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.service.seen]
