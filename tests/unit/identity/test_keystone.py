"""Who a caller is, by the tokens that come with a request."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glance.domain.errors import Unauthenticated, Unavailable
from glance.identity.accessrules import AccessRule
from glance.identity.context import Identity
from glance.identity.http import CallFailed
from glance.identity.keystone import KeystoneAuthenticator, Rules
from glance.identity.lookup import REFUSED
from glance.identity.tokens import Token

CHALLENGE = 'Keystone uri="http://identity.example"'


def token(*roles, user="u1", project="p1", rules=None, bound_to=()):
    return Token(
        Identity(user, project_id=project, roles=frozenset(role.lower() for role in roles)),
        frozenset(roles),
        2000.0,
        1000.0,
        rules,
        frozenset(bound_to),
    )


class Lookup:
    """Knows tokens, at once or after it was asked."""

    def __init__(self):
        self.tokens = {}
        #: Those that are accepted only with a service's.
        self.ended = {}
        self.at_once = True
        self.asked = []
        self.stopped = False

    def verdict(self, name, ended_too):
        found = self.tokens.get(name) or (self.ended.get(name) if ended_too else None)
        return found or REFUSED

    def known(self, name, *, ended_too=False):
        return self.verdict(name, ended_too) if self.at_once else None

    def ask(self, name, *, ended_too=False):
        self.asked.append((name, ended_too))
        verdict = self.verdict(name, ended_too)
        return verdict if isinstance(verdict, Deferred) else succeed(verdict)

    def stop(self):
        self.stopped = True


class Session:
    stopped = False
    error = None

    async def own_token(self):
        if self.error is not None:
            raise self.error

    def stop(self):
        self.stopped = True


class AuthenticatorCase(SynchronousTestCase):
    """Each test here is run with tokens that are known, and again with tokens that are not."""

    rules = Rules(CHALLENGE)

    def setUp(self):
        self.lookup = Lookup()
        self.session = Session()
        self.lookup.tokens = {
            "user": token("Member", "reader"),
            "admin": token("admin"),
            "nova": token("service", user="nova", project="services"),
            "other": token("member", user="u2"),
        }
        self.lookup.ended = {"old": token("member", user="u3")}
        self.authenticator = self.make()

    def make(self, **changes):
        return KeystoneAuthenticator(
            self.lookup,
            self.session,
            replace(self.rules, **changes),
            lambda identity: "admin" in identity.roles,
            lambda: succeed(None),
        )

    def ask(self, user=None, service=None, method="GET", path="/v2/images", **headers):
        """Return the context by both ways, which must be the same."""
        values = {name.replace("_", "-"): [value] for name, value in headers.items()}
        if user is not None:
            values["X-Auth-Token"] = [user]
        if service is not None:
            values["X-Service-Token"] = [service]
        self.lookup.at_once = True
        self.lookup.asked.clear()
        outcomes = []
        for at_once in (True, False):
            self.lookup.at_once = at_once
            try:
                found = self.authenticator.authenticate(Headers(values), "req-1", method, path)
                if isinstance(found, Deferred):
                    self.assertFalse(at_once)
                    found = self.successResultOf(found.addErrback(lambda f: f.value))
            except Unauthenticated as error:
                found = error
            outcomes.append(found)
        first, second = outcomes
        if isinstance(first, Exception):
            self.assertEqual((type(first), first.args), (type(second), second.args))
            raise first
        self.assertEqual(first, second)
        return first

    def refused(self, *args, **kwargs):
        with self.assertRaises(Unauthenticated) as caught:
            self.ask(*args, **kwargs)
        self.assertEqual(caught.exception.challenge, CHALLENGE)
        return caught.exception.message


class TestUserToken(AuthenticatorCase):
    def test_context(self):
        context = self.ask("user")
        self.assertEqual(context.request_id, "req-1")
        self.assertEqual((context.user_id, context.project_id), ("u1", "p1"))
        self.assertEqual(context.roles, {"member", "reader"})
        self.assertEqual(context.auth_token, "user")
        self.assertFalse(context.is_admin or context.read_only)
        self.assertIs(context.identity, self.lookup.tokens["user"].identity)

    def test_administrator(self):
        self.assertTrue(self.ask("admin").is_admin)

    def test_known_token_costs_no_question(self):
        context = self.authenticator.authenticate(
            Headers({"X-Auth-Token": ["user"]}), "r", "GET", "/"
        )
        self.assertEqual(context.user_id, "u1")
        self.assertEqual(self.lookup.asked, [])

    def test_no_token(self):
        self.assertIn("X-Auth-Token", self.refused())
        self.assertIn("X-Auth-Token", self.refused(""))

    def test_wrong_token(self):
        self.assertNotIn("canary", self.refused("canary-wrong"))

    def test_token_that_has_ended(self):
        self.refused("old")

    def test_storage_token(self):
        self.assertEqual(self.ask(x_storage_token="user").user_id, "u1")
        self.assertEqual(self.ask("", x_storage_token="user").user_id, "u1")
        self.assertEqual(self.ask("other", x_storage_token="user").user_id, "u2")
        self.refused("wrong", x_storage_token="user")

    def test_what_can_be_no_token_is_asked_about_nowhere(self):
        for nonsense in ("a b", "x\x00", "tok\tn", "töken", "x" * 8193):
            self.refused(nonsense)
            self.refused("user", nonsense)
            self.assertEqual(self.lookup.asked, [])
        self.lookup.tokens["x" * 8192] = token()
        self.ask("x" * 8192)

    def test_several_tokens(self):
        for values in (["user", "admin"], ["", "user"]):
            with self.assertRaises(Unauthenticated):
                self.authenticator.authenticate(Headers({"X-Auth-Token": values}), "r", "GET", "/")
        same = self.authenticator.authenticate(
            Headers({"X-Auth-Token": ["user", "user"]}), "r", "GET", "/"
        )
        self.assertEqual(same.user_id, "u1")

    def test_what_a_client_says_of_itself_is_not_believed(self):
        forged = {
            "X_Identity_Status": "Confirmed",
            "X_User_Id": "root",
            "X_Project_Id": "p9",
            "X_Tenant_Id": "p9",
            "X_Roles": "admin",
            "X_Role": "admin",
            "X_Is_Admin_Project": "True",
            "OpenStack_System_Scope": "all",
            "X_Service_Identity_Status": "Confirmed",
            "X_Service_Roles": "service",
            "X_Service_User_Id": "nova",
            "X_Service_Catalog": "[]",
            "REMOTE_USER": "root",
        }
        self.assertEqual(self.ask("user", **forged), self.ask("user"))
        self.refused(**forged)
        self.refused("old", **forged)

    def test_identity_service_that_does_not_answer(self):
        self.lookup.at_once = False
        self.lookup.tokens["user"] = Deferred()
        asked = self.authenticator.authenticate(
            Headers({"X-Auth-Token": ["user"]}), "r", "GET", "/"
        )
        self.assertNoResult(asked)
        self.lookup.tokens["user"].errback(Unavailable("away"))
        self.failureResultOf(asked, Unavailable)

    def test_request_that_goes_away(self):
        self.lookup.at_once = False
        cancelled = []
        self.lookup.tokens["user"] = Deferred(cancelled.append)
        asked = self.authenticator.authenticate(
            Headers({"X-Auth-Token": ["user"]}), "r", "GET", "/"
        )
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(len(cancelled), 1)


class TestAnonymous(AuthenticatorCase):
    rules = Rules(CHALLENGE, anonymous=True)

    def test_may_look(self):
        for user in (None, "", "wrong", "old", "töken"):
            context = self.ask(user)
            self.assertTrue(context.read_only)
            self.assertFalse(context.is_admin)
            self.assertEqual(context.identity, Identity())
            self.assertIsNone(context.auth_token)

    def test_valid_token_counts_all_the_same(self):
        self.assertFalse(self.ask("user").read_only)

    def test_but_not_with_a_wrong_service_token(self):
        self.refused(None, "wrong")
        self.refused("user", "wrong")

    def test_service_alone_is_a_stranger(self):
        self.assertTrue(self.ask(None, "nova").read_only)


class TestServiceToken(AuthenticatorCase):
    def test_service_is_told_along_with_the_user(self):
        identity = self.ask("user", "nova").identity
        self.assertEqual((identity.user_id, identity.service_user_id), ("u1", "nova"))
        self.assertEqual(identity.service_roles, {"service"})
        self.assertEqual(identity.roles, {"member", "reader"})

    def test_roles_of_the_service_give_the_user_nothing(self):
        self.lookup.tokens["nova"] = token("service", "admin")
        self.assertFalse(self.ask("user", "nova").is_admin)

    def test_user_s_token_may_have_ended(self):
        self.assertEqual(self.ask("old", "nova").user_id, "u3")
        self.assertEqual(self.lookup.asked, [("nova", False), ("old", True)])

    def test_service_s_own_token_may_not(self):
        self.lookup.ended["nova"] = self.lookup.tokens.pop("nova")
        self.refused("user", "nova")
        self.refused("old", "nova")

    def test_wrong_service_token_spoils_a_valid_request(self):
        self.assertIn("service token", self.refused("user", "wrong"))

    def test_wrong_user_token_with_a_valid_service_token(self):
        self.refused("wrong", "nova")
        self.refused(None, "nova")

    def test_empty_service_token_is_none(self):
        self.assertIsNone(self.ask("user", "").identity.service_user_id)

    def test_role_is_needed(self):
        self.assertIn("role", self.refused("user", "other"))
        self.assertIn("role", self.refused("old", "other"))

    def test_role_may_be_another(self):
        self.authenticator = self.make(service_roles=frozenset({"x", "member"}))
        self.assertEqual(self.ask("old", "other").user_id, "u3")
        self.refused("user", "nova")

    def test_role_is_not_required_but_needed_for_a_token_that_has_ended(self):
        self.authenticator = self.make(service_roles_required=False)
        self.assertEqual(self.ask("user", "other").identity.service_user_id, "u2")
        self.refused("old", "other")
        self.assertEqual(self.ask("old", "nova").user_id, "u3")


class TestAccessRules(AuthenticatorCase):
    def setUp(self):
        super().setUp()
        self.rule = AccessRule("image", "GET", "/v2/images/*")
        self.lookup.tokens["limited"] = token("member", rules=(self.rule,))
        self.lookup.tokens["nothing"] = token("member", rules=())

    def test_request_that_a_rule_allows(self):
        self.ask("limited", path="/v2/images/5f2c")

    def test_others(self):
        for method, path in [
            ("GET", "/v2/images"),
            ("GET", "/v2/images/5f2c/file"),
            ("GET", "/v2/images/5f2c%2Ffile"),
            ("DELETE", "/v2/images/5f2c"),
        ]:
            self.refused("limited", method=method, path=path)
        self.refused("nothing", path="/v2/images/5f2c")

    def test_rules_are_those_for_our_type(self):
        self.authenticator = self.make(service_type="pictures")
        self.refused("limited", path="/v2/images/5f2c")

    def test_services_may_act_beyond_them(self):
        self.ask("limited", "nova", path="/v2/tasks")

    def test_but_only_with_a_role_of_a_service(self):
        """Or anybody's own token would lift them."""
        self.authenticator = self.make(service_roles_required=False)
        self.refused("limited", "other", path="/v2/tasks")
        self.refused("limited", "limited", path="/v2/tasks")

    def test_rules_of_the_service_s_own_token(self):
        self.lookup.tokens["nova"] = token("service", rules=(self.rule,))
        self.ask("user", "nova", path="/v2/images/5f2c")
        self.refused("user", "nova", path="/v2/images")


class TestBoundTokens(AuthenticatorCase):
    def setUp(self):
        super().setUp()
        self.lookup.tokens["kerberos"] = token("service", bound_to=["kerberos"])
        self.lookup.tokens["x509"] = token("service", bound_to=["x509"])

    def test_permissive(self):
        self.ask("x509", "x509")
        self.refused("kerberos")
        self.refused("user", "kerberos")

    def test_strict(self):
        self.authenticator = self.make(refused_bindings=None)
        self.refused("x509")
        self.refused("user", "x509")
        self.ask("user")

    def test_disabled(self):
        self.authenticator = self.make(refused_bindings=frozenset())
        self.ask("kerberos", "x509")


class TestStartAndStop(AuthenticatorCase):
    def errors(self):
        return [
            formatEvent(event) for event in self.events if event.get("log_level") is LogLevel.error
        ]

    def setUp(self):
        super().setUp()
        self.events = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def test_wrong_credentials_are_told_at_start(self):
        self.session.error = CallFailed("refused")
        self.authenticator.start()
        self.assertEqual(self.errors(), ["The identity service cannot be used yet: refused"])

    def test_start(self):
        self.authenticator.start()
        self.assertEqual(self.errors(), [])

    def test_stop(self):
        self.successResultOf(self.authenticator.stop())
        self.assertTrue(self.lookup.stopped and self.session.stopped)
