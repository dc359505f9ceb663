"""Joining calls under way, whoever leaves meanwhile."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from glance.identity.singleflight import SingleFlight


class TestSingleFlight(SynchronousTestCase):
    def setUp(self):
        self.flights = SingleFlight()
        self.calls = []
        self.cancelled = []

    async def call(self):
        waiting = Deferred(self.cancelled.append)
        self.calls.append(waiting)
        return await waiting

    def run_(self, key="k"):
        return self.flights.run(key, self.call)

    def test_all_get_the_result_of_one_call(self):
        waiting = [self.run_() for _ in range(5)]
        self.assertEqual(len(self.calls), 1)
        self.calls[0].callback("x")
        self.assertEqual([self.successResultOf(one) for one in waiting], ["x"] * 5)

    def test_all_get_its_failure(self):
        waiting = [self.run_() for _ in range(3)]
        self.calls[0].errback(RuntimeError("no"))
        for one in waiting:
            self.failureResultOf(one, RuntimeError)

    def test_keys_are_apart(self):
        first, second = self.run_("a"), self.run_("b")
        self.calls[1].callback("b")
        self.assertEqual(self.successResultOf(second), "b")
        self.assertNoResult(first)
        first.cancel()
        self.failureResultOf(first, CancelledError)

    def test_result_is_not_kept(self):
        self.run_()
        self.calls[0].callback("x")
        again = self.run_()
        self.assertEqual(len(self.calls), 2)
        self.calls[1].callback("y")
        self.assertEqual(self.successResultOf(again), "y")

    def test_call_that_is_done_at_once(self):
        async def at_once():
            return "x"

        self.assertEqual(self.successResultOf(self.flights.run("k", at_once)), "x")
        self.assertEqual(self.flights._flights, {})

    def test_who_cancels_disturbs_nobody_else(self):
        first, second, third = (self.run_() for _ in range(3))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.assertEqual(self.cancelled, [])
        self.calls[0].callback("x")
        self.assertEqual(self.successResultOf(second), "x")

    def test_call_that_nobody_waits_for_is_cancelled(self):
        for one in [self.run_(), self.run_()]:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assertEqual(self.cancelled, self.calls)
        # Whoever comes now is not told of that.
        again = self.run_()
        self.calls[1].callback("x")
        self.assertEqual(self.successResultOf(again), "x")

    def test_cancelled_call_that_is_slow_to_end_leaves_its_successor_alone(self):
        release = Deferred()

        async def stubborn():
            try:
                await Deferred()
            except CancelledError:
                await release

        first = self.flights.run("k", stubborn)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.run_()
        release.callback(None)
        self.assertNoResult(second)
        third = self.run_()
        self.assertEqual(len(self.calls), 1)
        self.calls[0].callback("x")
        self.assertEqual(self.successResultOf(second), "x")
        self.assertEqual(self.successResultOf(third), "x")

    def test_waiter_that_cancels_another_when_the_result_comes(self):
        first, second, third = (self.run_() for _ in range(3))
        first.addCallback(lambda result: second.cancel())
        second.addErrback(lambda failure: failure.trap(CancelledError) and "cancelled")
        self.calls[0].callback("x")
        self.successResultOf(first)
        self.assertEqual(self.successResultOf(second), "cancelled")
        self.assertEqual(self.successResultOf(third), "x")

    def test_waiter_that_asks_again_when_the_result_comes(self):
        again = []
        first = self.run_()
        first.addCallback(lambda result: again.append(self.run_()))
        self.calls[0].callback("x")
        self.successResultOf(first)
        self.assertEqual(len(self.calls), 2)
        self.calls[1].callback("y")
        self.assertEqual(self.successResultOf(again[0]), "y")

    def test_stopping_fails_all_who_wait(self):
        waiting = [self.run_("a"), self.run_("a"), self.run_("b")]
        self.flights.fail_all(RuntimeError("stopping"))
        for one in waiting:
            self.failureResultOf(one, RuntimeError)
        self.assertEqual(self.cancelled, self.calls)
