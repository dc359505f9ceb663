"""Finding out where a side is, and asking it."""

from __future__ import annotations

import json
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from glance.domain.errors import ConfigError
from glance.identity.credentials import make_credentials
from glance.identity.http import HttpCaller
from glance.remote import side as sides
from glance.remote.endpoint import Endpoint
from glance.remote.errors import LoginFailed, NoEndpoint
from glance.remote.side import Side, connect_images
from tests.unit.remote.doubles import LOGIN

TOKEN_LOGIN = make_credentials(
    {"auth_url": "http://identity.example:5000/v3", "auth_type": "v3token", "token": "canary-1"},
    "the cloud x",
    tokens=True,
)


class Keystone(Resource):
    """Gives tokens with a catalogue."""

    isLeaf = True
    status = 201

    def __init__(self) -> None:
        super().__init__()
        self.endpoints: list[dict[str, Any]] = []
        self.logins: list[Any] = []

    def render_POST(self, request):
        self.logins.append(json.loads(request.content.read()))
        request.setResponseCode(self.status)
        request.setHeader("X-Subject-Token", f"canary-{len(self.logins)}")
        token = {
            "issued_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T01:00:00Z",
            "catalog": [{"type": "image", "endpoints": self.endpoints}],
        }
        return json.dumps({"token": token}).encode()


class TestSides(SynchronousTestCase):
    def setUp(self):
        self.keystone = Keystone()
        self.reactor = MemoryReactorClock()
        caller = HttpCaller(self.reactor, StubTreq(self.keystone), retries=0)
        self.patch(sides, "make_http", lambda *_: caller)

    def endpoint(self, url, interface="public", region="one"):
        self.keystone.endpoints.append({"url": url, "interface": interface, "region": region})

    def connected(self, credentials=LOGIN, **more):
        side = Side("the source", credentials=credentials, **more)
        return Deferred.fromCoroutine(connect_images(self.reactor, side))

    def place(self, **more):
        return self.successResultOf(self.connected(**more)).place

    def test_endpoint_of_the_catalogue(self):
        self.endpoint("http://inner.example:9292", "internal")
        self.endpoint("http://one.example:9292/v2/")
        self.endpoint("https://two.example/image", region="two")
        self.assertEqual(self.place(), "one.example:9292")
        self.assertEqual(self.place(region="two"), "two.example:443")
        self.assertEqual(self.place(interface="internal"), "inner.example:9292")
        self.assertEqual(self.place(credentials=TOKEN_LOGIN), "one.example:9292")
        self.assertEqual(self.keystone.logins[-1]["auth"]["identity"]["methods"], ["token"])

    def test_endpoint_that_is_known(self):
        for credentials in (LOGIN, "canary", None):
            where = Endpoint("images.example")
            self.assertEqual(
                self.place(credentials=credentials, endpoint=where), "images.example:9292"
            )
        self.assertEqual(self.keystone.logins, [])

    def test_endpoint_that_nobody_knows(self):
        self.endpoint("http://one.example:9292")
        error = self.failureResultOf(self.connected(region="three"), NoEndpoint).value
        self.assertIn("no public endpoint of image in region three", error.message)

    def test_endpoint_that_is_none(self):
        for url in ("http://%(project_id)s.example:9292", "ftp://one.example"):
            self.keystone.endpoints.clear()
            self.endpoint(url)
            self.failureResultOf(self.connected(), NoEndpoint)

    def test_no_login_to_find_it_by(self):
        for credentials in (None, "canary"):
            error = self.failureResultOf(self.connected(credentials), ConfigError).value
            self.assertIn("the source", error.message)

    def test_login_that_is_refused(self):
        for status, refused in ((401, True), (403, True), (429, False), (503, False)):
            self.keystone.status = status
            error = self.failureResultOf(self.connected(), LoginFailed).value
            self.assertIs(error.refused, refused)
