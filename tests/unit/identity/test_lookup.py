"""What is known of tokens, for how long, and who is asked about the others."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import Unavailable
from glance.identity import lookup
from glance.identity.catalog import Catalogs
from glance.identity.context import Identity
from glance.identity.http import CallFailed
from glance.identity.lookup import REFUSED, REFUSED_TIME, WHOLE_TIME, TokenLookup
from glance.identity.outage import AGAIN
from glance.identity.tokens import Token

#: The clock of the wall is far from that of the reactor.
EPOCH = 1_000_000.0


class Validator:
    """Answers as a test says."""

    def __init__(self, clock):
        self.clock = clock
        self.asked = []
        self.verdicts = {}

    async def validate(self, token, *, ended_too=False):
        self.asked.append((token, ended_too))
        verdict = self.verdicts.get(token)
        if isinstance(verdict, Deferred):
            verdict = await verdict
        if isinstance(verdict, Exception):
            raise verdict
        if verdict is None:
            return None
        return replace(verdict, checked_at=EPOCH + self.clock.seconds())


class Shelf:
    """Keeps things in memory, for as long as it was told."""

    def __init__(self, clock):
        self.clock = clock
        self.kept = {}
        self.gets = 0

    async def get(self, key):
        self.gets += 1
        value, end = self.kept.get(key, (None, 0))
        return value if self.clock.seconds() < end else None

    def put(self, key, value, life):
        self.kept[key] = (value, self.clock.seconds() + life)


class LookupCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.validator = Validator(self.clock)
        self.lookup = self.make()
        self.events = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def make(self, cache_time=300, **options):
        return TokenLookup(
            self.clock,
            self.validator,
            cache_time=cache_time,
            now=lambda: EPOCH + self.clock.seconds(),
            catalogs=Catalogs(),
            **options,
        )

    def token(self, life=3600.0, user="u1"):
        return Token(Identity(user), frozenset({"admin"}), EPOCH + life, EPOCH)

    def ask(self, token="t", **options):
        return self.lookup.ask(token, **options)

    def verdict(self, token="t", **options):
        """Do what an authenticator does."""
        known = self.lookup.known(token, **options)
        return known or self.successResultOf(self.ask(token, **options))

    def logged(self, level):
        return [formatEvent(e) for e in self.events if e.get("log_level") is level]


class TestTokenLookup(LookupCase):
    def test_valid_token_is_asked_about_once(self):
        self.validator.verdicts["t"] = self.token()
        for _ in range(3):
            self.assertEqual(self.verdict().identity.user_id, "u1")
        self.assertEqual(self.validator.asked, [("t", False)])
        self.assertIs(self.lookup.known("t"), self.lookup.known("t"))

    def test_revoked_token_is_good_until_the_cache_time_is_over(self):
        self.validator.verdicts["t"] = self.token()
        self.verdict()
        del self.validator.verdicts["t"]
        self.clock.advance(299)
        self.assertIsInstance(self.verdict(), Token)
        self.clock.advance(1)
        self.assertIs(self.verdict(), REFUSED)

    def test_token_is_known_no_longer_than_it_lives(self):
        self.validator.verdicts["t"] = self.token(life=10)
        self.verdict()
        self.clock.advance(9.5)
        self.assertIsInstance(self.lookup.known("t"), Token)
        self.clock.advance(0.5)
        self.assertIsNone(self.lookup.known("t"))

    def test_token_that_has_ended_is_refused_even_if_called_valid(self):
        self.validator.verdicts["t"] = self.token(life=0)
        self.assertIs(self.verdict(), REFUSED)

    def test_invalid_token_is_not_asked_about_again_for_a_while(self):
        self.assertIs(self.verdict(), REFUSED)
        self.clock.advance(REFUSED_TIME - 1)
        self.assertIs(self.lookup.known("t"), REFUSED)
        self.clock.advance(1)
        self.assertIsNone(self.lookup.known("t"))
        self.lookup = self.make(cache_time=5)
        self.assertIs(self.verdict(), REFUSED)
        self.clock.advance(5)
        self.assertIsNone(self.lookup.known("t"))

    def test_many_invalid_tokens_push_out_no_valid_one(self):
        self.patch(lookup, "MOST_REFUSED", 5)
        self.lookup = self.make()
        self.validator.verdicts["t"] = self.token()
        self.verdict()
        for number in range(20):
            self.verdict(f"wrong {number}")
        self.assertEqual(len(self.lookup._refused), 5)
        self.assertIsInstance(self.lookup.known("t"), Token)

    def test_without_a_cache_every_request_is_asked_about(self):
        for cache_time in (0, -1):
            self.validator.asked.clear()
            self.lookup = self.make(cache_time, shelf=Shelf(self.clock))
            self.validator.verdicts["t"] = self.token()
            for token in ("t", "t", "wrong", "wrong"):
                self.assertIsNone(self.lookup.known(token))
                self.verdict(token)
            self.assertEqual(len(self.validator.asked), 4)
            self.assertEqual(self.lookup._shelf, None)

    def test_tokens_themselves_are_not_kept(self):
        self.validator.verdicts["canary"] = self.token()
        self.verdict("canary")
        self.verdict("canary-wrong")
        for memory in (self.lookup._valid, self.lookup._refused):
            self.assertEqual(len(memory), 1)
            self.assertNotIn(b"canary", b"".join(memory._values))


class TestEndedTokens(LookupCase):
    """A service may come with a token that has ended meanwhile."""

    def test_accepted_for_a_service_only(self):
        self.validator.verdicts["t"] = self.token(life=-10)
        self.assertIsInstance(self.verdict(ended_too=True), Token)
        self.assertIs(self.verdict(), REFUSED)
        self.assertEqual(self.validator.asked, [("t", True), ("t", False)])
        # Both verdicts are known now, apart from each other.
        self.assertIsInstance(self.lookup.known("t", ended_too=True), Token)
        self.assertIs(self.lookup.known("t"), REFUSED)

    def test_refusal_of_one_that_has_ended_does_not_bind_services(self):
        self.assertIs(self.verdict(), REFUSED)
        self.validator.verdicts["t"] = self.token(life=-10)
        self.assertIsInstance(self.verdict(ended_too=True), Token)

    def test_one_that_has_not_ended_is_good_for_all(self):
        self.validator.verdicts["t"] = self.token()
        self.verdict(ended_too=True)
        self.assertIsInstance(self.lookup.known("t"), Token)
        self.assertIsInstance(self.lookup.known("t", ended_too=True), Token)
        self.assertEqual(len(self.validator.asked), 1)

    def test_refused_for_services_as_well(self):
        self.assertIs(self.verdict(ended_too=True), REFUSED)
        self.assertIs(self.lookup.known("t", ended_too=True), REFUSED)

    def test_kept_for_the_cache_time(self):
        self.validator.verdicts["t"] = self.token(life=-10)
        self.verdict(ended_too=True)
        self.clock.advance(300)
        self.assertIsNone(self.lookup.known("t", ended_too=True))


class TestOutages(LookupCase):
    def failure(self, **options):
        error = self.failureResultOf(self.ask(**options), Unavailable).value
        self.assertNotIn("refused", error.message)
        return error

    def test_identity_service_that_fails(self):
        self.validator.verdicts["t"] = CallFailed("connection refused")
        self.failure()
        self.assertIsNone(self.lookup.known("t"))
        self.validator.verdicts["t"] = self.token()
        self.assertIsInstance(self.verdict(), Token)

    def test_identity_service_that_does_not_answer(self):
        self.validator.verdicts["t"] = Deferred()
        asked = self.ask()
        self.clock.advance(WHOLE_TIME - 1)
        self.assertNoResult(asked)
        self.clock.advance(1)
        self.failureResultOf(asked, Unavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_known_tokens_go_on_working(self):
        self.validator.verdicts["t"] = self.token()
        self.verdict()
        self.validator.verdicts["t"] = CallFailed("no")
        self.assertIsInstance(self.verdict(), Token)

    def test_told_once_and_once_more_when_it_is_over(self):
        self.validator.verdicts["t"] = CallFailed("connection refused")
        for _ in range(5):
            self.failure()
        [line] = self.logged(LogLevel.error)
        self.assertEqual(line, "The identity service cannot be used: connection refused")
        self.clock.advance(AGAIN)
        self.failure()
        self.assertEqual(len(self.logged(LogLevel.error)), 2)
        self.validator.verdicts["t"] = None
        self.verdict()
        self.verdict("other")
        self.assertEqual(self.logged(LogLevel.info), ["The identity service answers again"])

    def test_outages_that_come_and_go_do_not_fill_the_log(self):
        for number in range(20):
            self.validator.verdicts["t"] = CallFailed("no")
            self.failure()
            self.verdict(f"other {number}")
            self.clock.advance(0.5)
        self.assertEqual(len(self.logged(LogLevel.error)), 2)
        self.assertEqual(len(self.logged(LogLevel.info)), 2)

    def test_bug_is_no_outage(self):
        self.validator.verdicts["t"] = ZeroDivisionError()
        self.failureResultOf(self.ask(), ZeroDivisionError)
        self.assertEqual(self.logged(LogLevel.error), [])

    def test_stopping_fails_those_who_wait(self):
        self.validator.verdicts["t"] = Deferred()
        asked = self.ask()
        self.lookup.stop()
        self.failureResultOf(asked, Unavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TestSingleFlight(LookupCase):
    def test_many_requests_ask_once(self):
        waiting = self.validator.verdicts["t"] = Deferred()
        asked = [self.ask() for _ in range(50)]
        waiting.callback(self.token())
        tokens = {id(self.successResultOf(one)) for one in asked}
        self.assertEqual((len(tokens), len(self.validator.asked)), (1, 1))

    def test_request_that_goes_away_disturbs_no_other(self):
        waiting = self.validator.verdicts["t"] = Deferred()
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        waiting.callback(self.token())
        self.assertIsInstance(self.successResultOf(second), Token)

    def test_question_that_nobody_waits_for_is_dropped(self):
        dropped = []
        waiting = self.validator.verdicts["t"] = Deferred(dropped.append)
        for one in [self.ask(), self.ask()]:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assertEqual(dropped, [waiting])
        self.assertEqual(self.logged(LogLevel.error), [])


class TestShelf(LookupCase):
    def setUp(self):
        super().setUp()
        self.shelf = Shelf(self.clock)
        self.lookup = self.make(shelf=self.shelf)
        self.other = self.make(shelf=self.shelf)
        self.validator.verdicts["t"] = self.token()

    def test_other_processes_ask_nobody(self):
        self.verdict()
        self.lookup = self.other
        self.assertEqual(self.verdict().identity.user_id, "u1")
        self.assertEqual(len(self.validator.asked), 1)
        self.assertIsInstance(self.lookup.known("t"), Token)

    def test_time_runs_from_when_the_token_was_checked(self):
        """Or a revoked token might live on, handed from process to process."""
        self.verdict()
        self.clock.advance(200)
        self.lookup = self.other
        self.verdict()
        self.clock.advance(99)
        self.assertIsInstance(self.lookup.known("t"), Token)
        self.clock.advance(1)
        self.assertIsNone(self.lookup.known("t"))

    def test_what_is_kept_for_too_long_is_not_used(self):
        self.shelf.put = lambda key, value, life: Shelf.put(self.shelf, key, value, 10**6)
        self.verdict()
        self.clock.advance(300)
        del self.validator.verdicts["t"]
        self.lookup = self.other
        self.assertIs(self.verdict(), REFUSED)

    def test_token_that_has_ended_is_not_used(self):
        self.validator.verdicts["t"] = self.token(life=10)
        self.shelf.put = lambda key, value, life: Shelf.put(self.shelf, key, value, 10**6)
        self.verdict()
        self.clock.advance(10)
        self.lookup = self.other
        self.assertIs(self.verdict(), REFUSED)

    def test_ended_tokens_are_kept_for_services_only(self):
        self.validator.verdicts["t"] = self.token(life=-10)
        self.verdict(ended_too=True)
        self.lookup = self.other
        self.assertIsInstance(self.verdict(ended_too=True), Token)
        self.assertEqual(self.validator.asked, [("t", True)])
        self.assertIs(self.verdict(), REFUSED)

    def test_service_finds_what_was_kept_for_all(self):
        self.verdict()
        self.lookup = self.other
        self.assertIsInstance(self.verdict(ended_too=True), Token)
        self.assertEqual(len(self.validator.asked), 1)

    def test_rubbish_is_passed_over_and_replaced(self):
        self.verdict()
        [key] = self.shelf.kept
        good = self.shelf.kept[key]
        self.shelf.kept[key] = (b'{"version":1}', 1000)
        self.lookup = self.other
        self.assertIsInstance(self.verdict(), Token)
        self.assertEqual(self.shelf.kept[key][0], good[0])
        self.assertEqual(len(self.logged(LogLevel.warn)), 1)

    def test_invalid_tokens_are_not_kept(self):
        self.verdict("wrong")
        self.assertEqual(self.shelf.kept, {})

    def test_known_token_needs_no_look(self):
        self.verdict()
        self.assertEqual(self.shelf.gets, 1)
        self.verdict()
        self.assertEqual(self.shelf.gets, 1)

    def test_names_hold_no_token(self):
        self.validator.verdicts["canary"] = self.token()
        self.verdict("canary")
        [(key, (value, _))] = self.shelf.kept.items()
        self.assertNotIn(b"canary", key + value)
