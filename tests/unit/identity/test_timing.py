"""A time limit over work that fails in a way of its own when it is cancelled."""

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, succeed
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glance.identity.timing import limited


class TestLimited(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()

    def odd(self):
        """Return work that fails like a connection being made when it is cancelled."""
        return Deferred(lambda work: work.errback(ConnectingCancelledError("somewhere")))

    def test_result_in_time(self):
        work = Deferred()
        result = limited(work, 5, self.clock)
        self.clock.advance(4)
        work.callback("x")
        self.assertEqual(self.successResultOf(result), "x")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure_in_time(self):
        self.failureResultOf(limited(fail(ValueError()), 5, self.clock), ValueError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_done_already(self):
        self.assertEqual(self.successResultOf(limited(succeed(1), 5, self.clock)), 1)

    def test_too_late(self):
        for work in (Deferred(), self.odd()):
            result = limited(work, 5, self.clock)
            self.clock.advance(5)
            self.failureResultOf(result, TimeoutError)
            self.assertTrue(work.called)

    def test_cancelled(self):
        for work in (Deferred(), self.odd()):
            result = limited(work, 5, self.clock)
            result.cancel()
            self.failureResultOf(result, CancelledError)
            self.assertTrue(work.called)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_work_that_ends_long_after_it_was_given_up(self):
        work = Deferred(lambda _: None)
        result = limited(work, 5, self.clock)
        self.clock.advance(5)
        self.failureResultOf(result, TimeoutError)
        self.assertTrue(work.called)
