"""What the identity service's answers about a token mean."""

import orjson
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glance.identity.catalog import Catalogs
from glance.identity.http import Answer, CallFailed
from glance.identity.validation import Validator
from tests.unit.identity.support import described


class Session:
    def __init__(self):
        self.asked = []
        self.reply = None

    async def request(self, *request, **details):
        self.asked.append((request, details))
        return self.reply


class TestValidator(SynchronousTestCase):
    def setUp(self):
        self.session = Session()

    def ask(self, status, body=None, *, with_catalog=True, **details):
        self.session.reply = Answer(status, Headers(), orjson.dumps(body))
        validator = Validator(self.session, lambda: 7.0, Catalogs(), with_catalog=with_catalog)
        return Deferred.fromCoroutine(validator.validate("canary", **details))

    def asked(self):
        [(request, details)] = self.session.asked
        self.assertEqual(request, ("GET", "identity", "/auth/tokens"))
        self.assertEqual(
            details["headers"],
            {"X-Subject-Token": "canary", "OpenStack-Identity-Access-Rules": "1.0"},
        )
        return details["params"]

    def test_valid(self):
        token = self.successResultOf(self.ask(200, described()))
        self.assertEqual((token.identity.user_id, token.checked_at), ("u1", 7.0))
        self.assertEqual(len(token.identity.catalog), 1)
        self.assertEqual(self.asked(), {})

    def test_invalid(self):
        self.assertIsNone(self.successResultOf(self.ask(404)))

    def test_token_that_has_ended(self):
        self.successResultOf(self.ask(200, described(), ended_too=True))
        self.assertEqual(self.asked(), {"allow_expired": "1"})

    def test_without_catalogue(self):
        token = self.successResultOf(self.ask(200, described(), with_catalog=False))
        self.assertEqual(list(token.identity.catalog), [])
        self.assertEqual(self.asked(), {"nocatalog": "1"})

    def test_everything_else_says_nothing_about_the_token(self):
        for status, body, told in [
            (200, {"token": {}}, "user is not an object"),
            (204, None, "answered 204"),
            (302, None, "answered 302"),
            (400, None, "answered 400"),
            (401, None, "needs the role admin or service"),
            (403, None, "needs the role admin or service"),
            (413, None, "answered 413"),
            (429, None, "answered 429"),
        ]:
            error = self.failureResultOf(self.ask(status, body), CallFailed).value
            self.assertIn(told, str(error))
            self.assertNotIn("canary", str(error))
