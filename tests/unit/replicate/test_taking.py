from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from glance.replicate.errors import WrongData
from glance.replicate.taking import Taking
from tests.unit.replicate.doubles import Broken, DumpTestCase, Stream

DATA = bytes(range(70))


class TakingTests(DumpTestCase):
    def setUp(self):
        super().setUp()
        self.taken = []
        self.moved = []

    def take(self, stream, work=None, most=None):
        taking = Taking(
            stream, self.slow, [work or self.taken.append], 1, most, self.moved.append, "x"
        )
        return Deferred.fromCoroutine(taking.run())

    def test_all_is_taken_in_order(self):
        done = self.take(Stream(DATA), most=70)
        self.assertNoResult(done)
        self.held.release_all()
        self.successResultOf(done)
        self.assertEqual(b"".join(self.taken), DATA)
        self.assertEqual(sum(self.moved), 70)

    def test_cancelled_it_ends_when_nothing_is_at_work(self):
        stream = Stream(DATA, held=True)
        done = self.take(stream)
        stream.go(count=2)
        done.cancel()
        self.assertNoResult(done)
        self.held.release_all()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(stream.stopped)
        # What only waited is not worth waiting for.
        self.assertEqual(self.taken, [DATA[:7]])

    def test_what_came_before_a_break_is_taken(self):
        done = self.take(Stream(DATA, error=Broken("broken")))
        self.assertNoResult(done)
        self.held.release_all()
        self.failureResultOf(done, Broken)
        self.assertEqual(b"".join(self.taken), DATA)

    def test_the_break_counts_and_not_what_fails_after_it(self):
        def fail(data):
            raise KeyError

        done = self.take(Stream(DATA, error=Broken("broken")), fail)
        self.held.release_all()
        self.failureResultOf(done, Broken)

    def test_a_failure_of_the_work_stops_the_stream(self):
        def fail(data):
            raise KeyError

        stream = Stream(DATA, held=True)
        done = self.take(stream, fail)
        stream.go(count=2)
        self.held.release_all()
        self.failureResultOf(done, KeyError)
        self.assertTrue(stream.stopped)

    def test_too_much_stops_the_stream(self):
        for held in (True, False):
            stream = Stream(DATA, held=held)
            done = self.take(stream, most=20)
            if held:
                stream.go(count=3)
            self.held.release_all()
            self.failureResultOf(done, WrongData)
            self.assertTrue(stream.stopped)
            self.assertEqual(len(stream.left), len(DATA) - 21)
