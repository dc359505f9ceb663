"""Asking over HTTP: repeated when that helps, bounded in time and size."""

import hyperlink
from OpenSSL import SSL
from service_identity import VerificationError
from treq.testing import StubTreq
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import BrowserLikePolicyForHTTPS, ResponseFailed
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from glance.identity import http
from glance.identity.http import Address, Answer, CallFailed, HttpCaller, describe

URL = "http://identity.example/v3/auth/tokens"


class Site(Resource):
    """Answers as a test says, and remembers what it was asked."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.answers = []
        self.seen = []

    def render(self, request):
        self.seen.append(request)
        self.body = request.content.read()
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            self.waiting = request
            return NOT_DONE_YET
        if isinstance(answer, bytes):
            return answer
        request.setResponseCode(answer)
        request.setHeader("Location", "http://elsewhere.example/")
        return b"{}"


class TestHttpCaller(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.site = Site()
        self.treq = StubTreq(self.site)
        self.caller = HttpCaller(self.clock, self.treq, attempt_time=10, retries=2)

    def ask(self, method="GET", **details):
        return Deferred.fromCoroutine(self.caller.request(method, URL, **details))

    def answer(self, **details) -> Answer:
        return self.successResultOf(self.ask(**details))

    def failure(self, asked) -> str:
        return str(self.failureResultOf(asked, CallFailed).value)

    def test_what_is_sent(self):
        self.answer(
            method="POST", headers={"X-Auth-Token": "t"}, params={"a": "1"}, json={"b": [1]}
        )
        [request] = self.site.seen
        self.assertEqual(request.uri, b"/v3/auth/tokens?a=1")
        self.assertEqual(self.site.body, b'{"b":[1]}')
        for name, value in [
            ("X-Auth-Token", "t"),
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
        ]:
            self.assertEqual(request.requestHeaders.getRawHeaders(name), [value])

    def test_hosts_of_all_kinds(self):
        for host, sent in (
            ("[::1]:5000", b"[::1]:5000"),
            ("[2001:db8::1]", b"[2001:db8::1]"),
            ("192.0.2.1", b"192.0.2.1"),
            ("grün.example", b"xn--grn-ioa.example"),
        ):
            for params in ({}, {"name": "ä b"}):
                self.successResultOf(
                    Deferred.fromCoroutine(
                        self.caller.once("GET", f"http://{host}/v3", params=params)
                    )
                )
                (name,) = self.site.seen[-1].requestHeaders.getRawHeaders(b"host")
                self.assertEqual(name, sent)

    def test_host_that_can_be_none(self):
        for host in ("grün..example", "glance_api"):
            asked = Deferred.fromCoroutine(self.caller.once("GET", f"http://{host}:1/"))
            self.assertIn(f"'{host}' is no name of a host", self.failure(asked))

    def test_what_is_answered(self):
        self.site.answers = [b'{"a": 1}']
        answer = self.answer()
        self.assertEqual((answer.status, answer.json()), (200, {"a": 1}))
        self.assertIn("TwistedWeb", answer.header("Server"))
        self.assertIsNone(answer.header("X-Other"))

    def test_secrets_of_an_answer_do_not_show(self):
        self.site.answers = [b"canary"]
        self.assertNotIn("canary", repr(self.answer()))

    def test_answer_that_is_no_json(self):
        self.site.answers = [b"<html>canary"]
        with self.assertRaises(CallFailed) as caught:
            self.answer().json()
        self.assertNotIn("canary", str(caught.exception))

    def test_refusals_are_answers(self):
        for status in (300, 401, 403, 404, 429):
            self.site.answers = [status]
            self.assertEqual(self.answer().status, status)

    def test_redirects_are_not_followed(self):
        for status in (301, 302, 303, 307, 308):
            self.site.answers = [status]
            self.assertEqual(self.answer().status, status)
        self.assertEqual(len(self.site.seen), 5)

    def test_failing_service_is_asked_again_with_growing_pauses(self):
        self.site.answers = [503, 500, 200]
        asked = self.ask()
        self.assertEqual(len(self.site.seen), 1)
        self.clock.advance(http.PAUSE)
        self.assertEqual(len(self.site.seen), 2)
        self.clock.advance(http.PAUSE)
        self.assertNoResult(asked)
        self.clock.advance(http.PAUSE)
        self.assertEqual(self.successResultOf(asked).status, 200)

    def test_service_that_goes_on_failing(self):
        self.site.answers = [503, 503, 502]
        asked = self.ask()
        self.clock.pump([http.PAUSE] * 4)
        self.assertEqual(self.failure(asked), f"GET {URL}: it answered 502")
        self.assertEqual(len(self.site.seen), 3)

    def test_what_does_harm_twice_is_done_once(self):
        self.site.answers = [503]
        self.assertIn("503", self.failure(self.ask("POST", repeat=False)))
        self.assertEqual(len(self.site.seen), 1)

    def test_connection_that_cannot_be_made(self):
        attempts = []

        def refuse(*args, **kwargs):
            attempts.append(args)
            return fail(ConnectionRefusedError())

        self.treq.request = refuse
        asked = self.ask()
        self.clock.pump([http.PAUSE] * 4)
        self.assertIn("refused", self.failure(asked))
        self.assertEqual(len(attempts), 3)

    def test_once(self):
        for status in (200, 404, 503):
            self.site.answers = [status]
            asked = Deferred.fromCoroutine(self.caller.once("GET", URL))
            self.assertEqual(self.successResultOf(asked).status, status)
        self.assertEqual(len(self.site.seen), 3)

    def test_once_says_why_there_is_no_answer(self):
        refused = ConnectionRefusedError()
        for error in (refused, ResponseFailed([Failure(refused)])):
            self.treq.request = lambda *args, error=error, **kwargs: fail(error)
            asked = Deferred.fromCoroutine(self.caller.once("GET", URL))
            failed = self.failureResultOf(asked, CallFailed).value
            self.assertIs(failed.cause, refused)
            self.assertIn(f"GET {URL}: ", str(failed))

    def test_bug_is_no_failing_connection(self):
        self.treq.request = lambda *args, **kwargs: fail(ZeroDivisionError())
        self.failureResultOf(self.ask(), ZeroDivisionError)

    def test_attempt_takes_a_limited_time(self):
        self.site.answers = [None, 200]
        asked = self.ask()
        self.clock.advance(10)
        self.assertNoResult(asked)
        self.clock.advance(http.PAUSE)
        self.assertEqual(self.successResultOf(asked).status, 200)

    def test_body_that_never_ends_counts(self):
        self.site.answers = [None, None, None]
        asked = self.ask()
        for _ in range(3):
            self.site.waiting.write(b"x")
            self.treq.flush()
            self.clock.advance(10)
            self.clock.advance(http.PAUSE * 4)
        self.assertIn("did not answer in time", self.failure(asked))

    def test_body_that_is_too_long(self):
        read = http.read_body
        self.patch(http, "read_body", lambda response: read(response, limit=10))
        self.site.answers = [b"x" * 11] * 3
        asked = self.ask()
        self.clock.pump([http.PAUSE] * 4)
        self.assertIn("longer than 10 bytes", self.failure(asked))

    def test_cancelling_stops_it_wherever_it_is(self):
        self.site.answers = [None]
        under_way = self.ask()
        under_way.cancel()
        self.failureResultOf(under_way, CancelledError)
        self.site.answers = [503]
        pausing = self.ask()
        pausing.cancel()
        self.failureResultOf(pausing, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.site.seen), 2)

    def test_cancelling_is_not_taken_for_a_failing_connection(self):
        """Requests under way fail with errors of their own when they are cancelled."""
        asked = []

        def request(*args, **kwargs):
            asked.append(args)
            return Deferred(lambda d: d.errback(ResponseFailed([Failure(CancelledError())], None)))

        self.treq.request = request
        cancelled = self.ask()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.clock.pump([http.PAUSE] * 4)
        self.assertEqual(len(asked), 1)

    def test_number_of_requests_at_once_is_bounded(self):
        self.site.answers = [None] * http.MOST_AT_ONCE
        asked = [self.ask() for _ in range(http.MOST_AT_ONCE + 1)]
        self.assertEqual(len(self.site.seen), http.MOST_AT_ONCE)
        # Whoever goes makes room.
        asked[0].cancel()
        self.failureResultOf(asked[0], CancelledError)
        self.assertEqual(self.successResultOf(asked[-1]).status, 200)
        for one in asked[1:-1]:
            one.cancel()
            self.failureResultOf(one, CancelledError)


class TestDescribe(SynchronousTestCase):
    def test_texts(self):
        wrapped = ResponseFailed([Failure(SSL.Error([("a", "", "certificate verify failed")]))])
        for error, text in [
            (wrapped, "TLS failed (certificate verify failed)"),
            (SSL.Error(), "TLS failed (the connection was cut)"),
            (VerificationError([1]), "TLS failed (the certificate is not for this host)"),
            (TimeoutError(), "it did not answer in time"),
            (DNSLookupError("no name"), "DNS lookup failed: no name"),
            (ValueError("x."), "ValueError: x"),
            (ValueError(), "ValueError"),
        ]:
            self.assertEqual(describe(error), text)


class TestMakeTreq(SynchronousTestCase):
    def test_connections_are_kept_and_quiet(self):
        client, pool = http.make_treq(MemoryReactorClock(), BrowserLikePolicyForHTTPS(), 5)
        self.assertTrue(pool.persistent)
        self.assertFalse(pool._factory.noisy)
        self.assertIs(client._agent._pool, pool)


class TestAddress(SynchronousTestCase):
    def test_what_is_plain_is_sent_as_the_long_way_has_it(self):
        for url in (
            "http://127.0.0.1:9292/v2/images/1-a_b.c~/file",
            "https://images.example/x//v2/images",
            "https://images.example",
            "http://images.example/",
            "https://bücher.example:1/x/v2/images",
            "https://xn--bcher-kva.example/x",
            "http://IMAGES.example/",
            "http://h.example/a b/é/%20",
            "http://h.example/v2/images?limit=1&name=é",
            "http://h.example/#é",
            "http://ü:p@h.example/",
        ):
            with self.subTest(url=url):
                long_way = hyperlink.URL.from_text(url).to_uri().to_text()
                self.assertEqual(Address.from_text(url).to_uri().to_text(), long_way)

    def test_what_is_plain_is_not_made_anew(self):
        url = Address.from_text("http://127.0.0.1:9292/v2/images/1")
        self.assertIs(url.to_uri(), url)

    def test_names_that_cannot_be(self):
        for host in ("xn--a", "a..b", "-", "a" * 64, "ü" * 64):
            with self.subTest(host=host):
                for _ in range(2):
                    url = Address.from_text(f"http://{host}/x")
                    try:
                        expected = hyperlink.URL.to_uri(url).to_text()
                    except UnicodeError:
                        self.assertRaises(http.BadHost, url.to_uri)
                    else:
                        self.assertEqual(url.to_uri().to_text(), expected)
