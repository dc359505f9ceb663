"""The service's own token, and where requests go."""

from __future__ import annotations

from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glance.identity.catalog import Catalogs
from glance.identity.credentials import Credentials
from glance.identity.http import Answer, CallFailed
from glance.identity.session import MARGIN, REFUSED_PAUSE, LoginRefused, ServiceSession
from tests.unit.identity.support import URL, described

LOGIN = {"auth": {"identity": {"methods": ["password"]}}}


def endpoints(service, **urls):
    return {
        "type": service,
        "endpoints": [
            {"interface": interface, "region_id": region, "url": url}
            for place, url in urls.items()
            for interface, _, region in [place.partition("_")]
        ],
    }


def document(path="/v3/"):
    links = [{"rel": "self", "href": f"http://public.example{path}"}]
    return {"versions": {"values": [{"id": "v3.14", "status": "stable", "links": links}]}}


def answer(status=200, body: Any = None, **headers) -> Answer:
    values = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return Answer(status, Headers(values), orjson.dumps(body))


class Http:
    """Answers in the place of services, and remembers what it was asked."""

    def __init__(self):
        self.seen = []
        self.logins = 0
        self.catalog: list[Any] = []
        self.replies = {}
        self.login_waits = None

    async def request(self, method, url, *, headers=None, params=None, json=None, repeat=True):
        self.seen.append((method, url, (headers or {}).get("X-Auth-Token"), params, json))
        reply = self.replies.get(url)
        if isinstance(reply, list):
            reply = reply.pop(0)
        if isinstance(reply, Exception):
            raise reply
        if reply is not None:
            return reply
        if url.endswith("/auth/tokens") and method == "POST":
            self.logins += 1
            if self.login_waits is not None:
                await self.login_waits
            body = described(catalog=self.catalog)
            return answer(201, body, X_Subject_Token=f"own-{self.logins}")
        if url.endswith("/"):
            return answer(300, document())
        return answer(200, {})

    @property
    def last(self):
        return self.seen[-1]


class TestServiceSession(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.http = Http()
        self.session = self.make()

    def make(self, url=URL, **options):
        credentials = Credentials(url, LOGIN, "[keystone_authtoken]")
        return ServiceSession(self.clock, self.http, credentials, **options)

    def ask(self, *request, **details):
        return Deferred.fromCoroutine(self.session.request(*request, **details))

    def answered(self, *request, **details) -> Answer:
        return self.successResultOf(self.ask(*request, **details))

    def failure(self, *request, **details) -> str:
        text = str(self.failureResultOf(self.ask(*request, **details), CallFailed).value)
        self.assertNotIn("own-", text)
        return text

    # Logging in.

    def test_logs_in_and_asks_with_its_token(self):
        self.answered("GET", "identity", "/auth/tokens", params={"a": "b"})
        self.assertEqual(
            self.http.seen,
            [
                ("GET", f"{URL}/", None, None, None),
                ("POST", f"{URL}/v3/auth/tokens", None, None, LOGIN),
                ("GET", f"{URL}/v3/auth/tokens", "own-1", {"a": "b"}, None),
            ],
        )

    def test_versioned_url_needs_no_document(self):
        self.session = self.make(f"{URL}/identity/v3")
        self.answered("GET", "identity", "/x")
        urls = [url for _, url, *_ in self.http.seen]
        self.assertEqual(urls, [f"{URL}/identity/v3/auth/tokens", f"{URL}/identity/v3/x"])

    def test_document_that_nobody_serves(self):
        for reply in (answer(404), answer(200, "x"), Answer(200, Headers(), b"<html>")):
            self.http.replies[f"{URL}/"] = reply
            self.session = self.make()
            if reply.status == 200 and reply.body == b'"x"':
                self.assertIn("offers no version 3", self.failure("GET", "identity", "/x"))
            else:
                self.answered("GET", "identity", "/x")
                self.assertEqual(self.http.last[1], f"{URL}/v3/x")

    def test_document_is_asked_for_once(self):
        for _ in range(3):
            self.answered("GET", "identity", "/x")
        self.assertEqual([url for _, url, *_ in self.http.seen].count(f"{URL}/"), 1)

    def test_document_that_could_not_be_had_is_asked_for_again(self):
        self.http.replies[f"{URL}/"] = [CallFailed("no"), answer(300, document())]
        self.failure("GET", "identity", "/x")
        self.answered("GET", "identity", "/x")

    def test_token_is_kept_until_shortly_before_its_end(self):
        self.answered("GET", "identity", "/x")
        self.clock.advance(3600 - MARGIN - 1)
        self.answered("GET", "identity", "/x")
        self.assertEqual(self.http.last[2], "own-1")
        self.clock.advance(1)
        self.answered("GET", "identity", "/x")
        self.assertEqual(self.http.last[2], "own-2")

    def test_token_of_a_short_life_is_used_all_the_same(self):
        body = described(expires_at="2026-01-01T00:00:50.000000Z")
        self.http.replies[f"{URL}/v3/auth/tokens"] = answer(201, body, X_Subject_Token="own-s")
        own = self.successResultOf(Deferred.fromCoroutine(self.session.own_token()))
        self.assertEqual(own.renew_at, 40)

    def test_many_who_need_it_log_in_once(self):
        self.http.login_waits = Deferred()
        asked = [self.ask("GET", "identity", "/x") for _ in range(5)]
        self.http.login_waits.callback(None)
        for one in asked:
            self.assertEqual(self.successResultOf(one).status, 200)
        self.assertEqual(self.http.logins, 1)

    def test_refused_token_is_renewed_once(self):
        self.http.replies[f"{URL}/v3/x"] = [answer(401), answer(200)]
        self.assertEqual(self.answered("GET", "identity", "/x").status, 200)
        self.assertEqual((self.http.last[2], self.http.logins), ("own-2", 2))

    def test_token_that_is_refused_twice(self):
        self.http.replies[f"{URL}/v3/x"] = [answer(401), answer(401)]
        self.assertEqual(self.answered("GET", "identity", "/x").status, 401)
        self.assertEqual(self.http.logins, 2)

    def test_token_that_another_one_renewed_already_is_not_renewed_again(self):
        first = self.successResultOf(Deferred.fromCoroutine(self.session.own_token()))
        for _ in range(2):
            renewed = Deferred.fromCoroutine(self.session.renewed(first))
            self.assertEqual(self.successResultOf(renewed).token, "own-2")

    def test_refusal_says_how_it_was_refused(self):
        self.http.replies[f"{URL}/v3/auth/tokens"] = answer(403)
        asked = self.ask("GET", "identity", "/x")
        self.assertEqual(self.failureResultOf(asked, LoginRefused).value.status, 403)

    def test_refused_credentials(self):
        login = f"{URL}/v3/auth/tokens"
        self.http.replies[login] = answer(401)
        self.assertIn(
            "refused the credentials of [keystone_authtoken] (401)",
            self.failure("GET", "identity", "/x"),
        )
        # Or the account might be locked.
        count = len(self.http.seen)
        self.assertIn("refused just now", self.failure("GET", "identity", "/x"))
        self.assertEqual(len(self.http.seen), count)
        del self.http.replies[login]
        self.clock.advance(REFUSED_PAUSE)
        self.answered("GET", "identity", "/x")

    def test_login_that_is_answered_by_something_else(self):
        login = f"{URL}/v3/auth/tokens"
        for reply in (
            answer(200, {}, X_Subject_Token="own"),
            answer(201, described()),
            answer(201, described(expires_at=...), X_Subject_Token="own"),
            answer(201, described(expires_at="soon"), X_Subject_Token="own"),
            answer(201, described(catalog="x"), X_Subject_Token="own"),
            answer(201, {"token": []}, X_Subject_Token="own"),
            Answer(200, Headers({"X-Subject-Token": ["own"]}), b"<html>"),
        ):
            self.http.replies[login] = reply
            self.assertIn("none of an identity service", self.failure("GET", "identity", "/x"))

    def test_login_that_cannot_be_made(self):
        self.http.replies[f"{URL}/v3/auth/tokens"] = CallFailed("refused")
        self.failure("GET", "identity", "/x")

    def test_stopping_breaks_a_login_off(self):
        self.http.login_waits = Deferred()
        asked = self.ask("GET", "identity", "/x")
        self.session.stop()
        self.failureResultOf(asked, CallFailed)

    # Where requests go.

    def test_endpoint_of_the_catalogue_is_asked(self):
        self.http.catalog = [
            endpoints(
                "identity",
                internal_two="http://two.example",
                internal_one="http://one.example/identity/",
                public_one="http://public.example/v3",
            )
        ]
        for options, url in [
            ({}, "http://two.example/v3/x"),
            ({"region": "one"}, "http://one.example/identity/v3/x"),
            ({"interface": "public"}, "http://public.example/v3/x"),
            # What the catalogue does not have is where we logged in.
            ({"interface": "admin"}, f"{URL}/v3/x"),
            ({"region": "three"}, f"{URL}/v3/x"),
        ]:
            self.session = self.make(**options)
            self.answered("GET", "identity", "/x")
            self.assertEqual(self.http.last[1], url)

    def test_other_services(self):
        self.http.catalog = [
            endpoints("volumev3", internal_one="http://v/v3/p1/", public_one="http://public/v3")
        ]
        self.answered("POST", "volumev3", "/volumes", json={"a": 1})
        self.assertEqual(
            self.http.last, ("POST", "http://v/v3/p1/volumes", "own-1", None, {"a": 1})
        )
        self.answered("GET", "volumev3", "/x", interface="public")
        self.assertEqual(self.http.last[1], "http://public/v3/x")

    def test_service_that_there_is_not(self):
        told = self.failure("GET", "volumev3", "/x", region="one")
        self.assertEqual(told, "the catalogue has no internal endpoint of volumev3 in region one")

    def test_endpoint_that_is_no_url(self):
        self.http.catalog = [endpoints("volumev3", internal_one="http://[/$(x)s")]
        self.assertIn("is no URL", self.failure("GET", "volumev3", "/x"))

    def test_url_itself(self):
        self.answered("GET", "http://else.example/a/", "/x")
        self.assertEqual(self.http.last[1:3], ("http://else.example/a/x", "own-1"))

    # With a caller's token.

    def test_caller_s_token_and_catalogue(self):
        catalog = Catalogs().get([endpoints("volumev3", internal_one="http://theirs")])
        self.answered("GET", "volumev3", "/x", token="theirs", catalog=catalog)
        self.assertEqual(self.http.seen, [("GET", "http://theirs/x", "theirs", None, None)])

    def test_caller_s_token_and_our_catalogue(self):
        self.http.catalog = [endpoints("volumev3", internal_one="http://ours")]
        self.answered("GET", "volumev3", "/x", token="theirs")
        self.assertEqual(self.http.last[1:3], ("http://ours/x", "theirs"))

    def test_caller_s_token_is_not_renewed(self):
        self.http.replies[f"{URL}/v3/x"] = answer(401)
        reply = self.answered("GET", "identity", "/x", token="theirs", catalog=[])
        self.assertEqual(reply.status, 401)
        self.assertEqual(self.http.logins, 0)
