"""Requests to an image service: tokens, and errors as ours."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import (
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from glance.domain.errors import ConfigError
from glance.identity.http import TooLong
from glance.remote.errors import (
    Absent,
    Failed,
    LoginFailed,
    NotAllowed,
    NotAuthenticated,
    Unintelligible,
    Unreachable,
    Untrusted,
)
from glance.remote.service import make_tokens
from tests.unit.remote.doubles import LOGIN, RemoteTestCase

PATH = "/v2/cached_images"


class TestRequests(RemoteTestCase):
    def ask(self, path=PATH):
        return self.remote.request("GET", path)

    def test_no_token(self):
        self.assertEqual(self.done(self.ask()).status, 200)
        self.assertEqual(self.service.seen, [("GET", PATH, None)])

    def test_token_that_was_given(self):
        self.make("canary-given", secured=True)
        self.service.tokens.add("canary-given")
        self.assertEqual(self.done(self.ask()).status, 200)

    def test_token_that_is_refused_is_not_sent_again(self):
        self.make("canary-given", secured=True)
        error = self.failed(self.ask(), NotAuthenticated)
        self.assertEqual(
            error.message,
            "You are not authenticated: images.example:9292 does not take the token (401).",
        )
        self.assertEqual(len(self.service.seen), 1)

    def test_token_that_is_wanted(self):
        self.make(secured=True)
        self.assertIn("wants a token", self.failed(self.ask(), NotAuthenticated).message)

    def test_token_that_is_none(self):
        for token in ("a\nb", "ä", "a b\r"):
            with self.assertRaises(ConfigError):
                make_tokens(self.clock, None, token)

    # Logging in.

    def test_login(self):
        self.make(LOGIN, secured=True)
        self.assertEqual(self.done(self.ask()).status, 200)
        self.done(self.ask())
        self.assertEqual(len(self.service.logins), 1)
        self.assertEqual(self.service.seen[-1], ("GET", PATH, "canary-token-1"))

    def test_refused_token_is_renewed_once(self):
        self.make(LOGIN, secured=True)
        self.done(self.ask())
        self.service.tokens.clear()
        self.assertEqual(self.done(self.ask()).status, 200)
        self.assertEqual(len(self.service.logins), 2)

    def test_token_that_several_requests_find_refused_is_renewed_once(self):
        self.make(LOGIN, secured=True)
        self.done(self.ask())
        self.service.tokens.clear()
        tokens = self.remote._tokens
        first = self.done(tokens.renewed("canary-token-1"))
        self.assertEqual(self.done(tokens.renewed("canary-token-1")), first)
        self.assertEqual(len(self.service.logins), 2)

    def test_tokens_that_are_all_refused(self):
        self.make(LOGIN)
        self.service.replies[PATH] = (401, {}, b"canary")
        self.failed(self.ask(), NotAuthenticated)
        self.assertEqual(len(self.service.logins), 2)

    def test_login_that_is_refused(self):
        self.make(LOGIN, secured=True)
        self.service.users.clear()
        error = self.failed(self.ask(), LoginFailed)
        self.assertEqual(
            error.message,
            "You are not authenticated: http://identity.example:5000/v3/auth/tokens refused the "
            "credentials of the user 'uma' (401). User, password, project or domain is wrong.",
        )
        self.assertEqual(self.paths(), ["POST /v3/auth/tokens"])

    def test_login_that_is_refused_when_it_is_renewed(self):
        self.make(LOGIN, secured=True)
        self.done(self.ask())
        self.service.tokens.clear()
        self.service.users.clear()
        self.failed(self.ask(), LoginFailed)

    def test_identity_service_that_fails(self):
        self.make(LOGIN)
        for reply in (
            (500, {}, b"canary"),
            (302, {"Location": "http://x/canary"}, b""),
            (400, {}, b""),
        ):
            self.make(LOGIN)
            self.service.replies["/v3/auth/tokens"] = reply
            error = self.failed(self.ask(), LoginFailed)
            self.assertIn(str(reply[0]), error.message)

    def test_identity_service_that_cannot_be_trusted(self):
        self.make(LOGIN)
        self.treq.request = lambda *_, **__: fail(
            SSL.Error([("", "", "certificate verify failed")])
        )
        error = self.failed(self.ask(), Untrusted)
        self.assertIn("identity service cannot be trusted", error.message)

    # What it answers.

    def test_errors(self):
        for status, kind in ((403, NotAllowed), (404, Absent), (400, Failed), (500, Failed)):
            self.service.replies[PATH] = (status, {}, b'{"message": "So it is."}')
            error = self.failed(self.ask(), kind)
            self.assertEqual((error.status, error.said), (status, "So it is."))
            self.assertTrue(error.message.startswith(f"images.example:9292 answered {status} ("))
            self.assertTrue(error.message.endswith(": So it is."))

    def test_when_to_ask_again(self):
        date = {"Date": "Thu, 01 Jan 2026 00:00:10 GMT"}
        for value, seconds in (
            ("7", 7),
            (" 120 ", 120),
            ("Thu, 01 Jan 2026 00:01:00 GMT", 50),
            ("Thu, 01 Jan 2026 00:00:00 GMT", 0),
            ("-7", None),
            ("soon", None),
            ("9" * 400, 999_999_999),
            ("", None),
        ):
            self.service.replies[PATH] = (503, {"Retry-After": value, **date}, b"")
            self.assertEqual(self.failed(self.ask(), Failed).retry_after, seconds)
        self.service.replies[PATH] = (503, {}, b"")
        self.assertIsNone(self.failed(self.ask(), Failed).retry_after)

    def test_error_without_words(self):
        self.service.replies[PATH] = (599, {}, b"")
        error = self.failed(self.ask(), Failed)
        self.assertEqual(error.message, "images.example:9292 answered 599.")

    def test_error_that_repeats_the_token(self):
        self.make("canary-given")
        self.service.replies[PATH] = (400, {}, b"bad token canary-given")
        self.assertIn("bad token ***", self.failed(self.ask(), Failed).message)

    def test_redirects_are_not_followed(self):
        self.service.replies[PATH] = (301, {"Location": "https://images.example/v2"}, b"")
        error = self.failed(self.ask(), Unintelligible)
        self.assertIn("(301) to https://images.example/v2;", error.message)
        self.assertEqual(len(self.service.seen), 1)

    def test_redirect_that_repeats_the_token(self):
        self.make("canary-given")
        where = "https://images.example/?token=canary-given\x1b[2J"
        self.service.replies[PATH] = (302, {"Location": where}, b"")
        error = self.failed(self.ask(), Unintelligible)
        self.assertIn(" to https://images.example/?token=*** [2J; ", error.message)

    def test_what_is_no_image_service(self):
        for reply in ((300, {}, b"{}"), (304, {}, b""), (200, {}, b"<html>"), (200, {}, b"[]")):
            self.service.replies[PATH] = reply
            error = self.failed(self.remote.request_json("GET", PATH), Unintelligible)
            self.assertEqual(
                error.message,
                "images.example:9292 answered, but not as an image service does. Is it one?",
            )

    # No answer.

    def trouble(self, error, kind):
        self.treq.request = lambda *_, **__: fail(error)
        text = self.failed(self.ask(), kind).message
        self.assertIn("images.example:9292", text)
        return text

    def test_no_answer(self):
        lost = ResponseNeverReceived([Failure(ConnectionLost())])
        for error, told in (
            (ConnectionRefusedError(), "cannot be reached: nothing listens there."),
            (NoRouteError(), "cannot be reached: No route to host"),
            (DNSLookupError("no such name"), "cannot be reached: DNS lookup failed: no such name."),
            (TimeoutError(), "cannot be reached: no connection was made in time."),
            (lost, "broke off the connection: Connection to the other side was lost"),
        ):
            self.assertIn(told, self.trouble(error, Unreachable))

    def test_schemes_are_not_mixed_up_where_there_were_answers(self):
        lost = ResponseNeverReceived([Failure(ConnectionLost())])
        request = self.treq.request
        self.assertIn("Does it want https://?", self.trouble(lost, Unreachable))
        self.treq.request = request
        self.done(self.ask())
        self.assertNotIn("https://", self.trouble(lost, Unreachable))

    def test_tls(self):
        for error, told in (
            (SSL.Error([("", "", "certificate verify failed")]), "certificate verify failed"),
            (
                ResponseNeverReceived([Failure(SSL.Error([("", "", "wrong version number")]))]),
                "does not speak TLS",
            ),
            (VerificationError([]), "the certificate is not for this host"),
        ):
            self.assertIn(told, self.trouble(error, Untrusted))

    def test_what_speaks_no_http(self):
        error = ResponseFailed([Failure(ParseError("x", b"canary"))])
        self.assertIn("does not speak HTTP", self.trouble(error, Unintelligible))

    def test_answer_that_is_far_too_long(self):
        text = self.trouble(TooLong("its answer is longer than 8 bytes"), Unintelligible)
        self.assertIn("answered, but its answer is longer than 8 bytes.", text)

    def test_what_answers_too_late(self):
        self.treq.request = lambda *_, **__: Deferred()
        asked = Deferred.fromCoroutine(self.ask())
        self.clock.advance(10)
        error = self.failureResultOf(asked, Unreachable).value
        self.assertIn("did not answer within 10 s.", error.message)
