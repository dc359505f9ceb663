"""Waiting until images are cached."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError

from glance.remote.errors import Failed, NotAllowed, Unreachable
from glance.remote.waiting import FAILURES, IDLENESS, PAUSE, wait_until_cached
from tests.cacheservice import ONE, THREE, TWO
from tests.unit.remote.doubles import RemoteTestCase

GONE = "it is neither cached nor queued any more"


class TestWaiting(RemoteTestCase):
    def setUp(self):
        self.make()
        self.told = []
        self.service.queued = [ONE, TWO, THREE]

    def wait(self, *image_ids, limit=None):
        def told(image_id, problem):
            self.told.append((image_id, problem))

        work = wait_until_cached(self.cache, self.clock, image_ids, told, limit)
        return Deferred.fromCoroutine(work)

    def test_one_after_the_other(self):
        waited = self.wait(ONE, TWO)
        self.assertEqual(self.told, [])
        self.service.have(TWO)
        self.clock.advance(PAUSE)
        self.assertEqual(self.told, [(TWO, None)])
        self.assertNoResult(waited)
        self.service.have(ONE)
        self.clock.advance(PAUSE)
        self.assertEqual(self.told, [(TWO, None), (ONE, None)])
        self.successResultOf(waited)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_cached_already(self):
        self.service.have(ONE)
        self.successResultOf(self.wait(ONE))
        self.assertEqual(self.told, [(ONE, None)])

    def test_nothing_to_wait_for(self):
        self.successResultOf(self.wait())
        self.assertEqual(self.service.seen, [])

    def test_image_that_disappears(self):
        waited = self.wait(ONE)
        self.service.queued.remove(ONE)
        self.clock.advance(PAUSE)
        # It may be on its way from the one place to the other.
        self.assertEqual(self.told, [])
        self.clock.advance(PAUSE)
        self.assertEqual(self.told, [(ONE, GONE)])
        self.successResultOf(waited)

    def test_image_that_was_on_its_way(self):
        waited = self.wait(ONE)
        self.service.queued.remove(ONE)
        self.clock.advance(PAUSE)
        self.service.queued.append(ONE)
        self.clock.advance(PAUSE)
        self.service.queued.remove(ONE)
        self.clock.advance(PAUSE)
        self.assertEqual(self.told, [])
        self.service.have(ONE)
        self.clock.advance(PAUSE)
        self.assertEqual(self.told, [(ONE, None)])
        self.successResultOf(waited)

    def test_limit(self):
        waited = self.wait(ONE, TWO, limit=3)
        self.service.have(ONE)
        self.clock.pump([PAUSE] * 2)
        self.assertNoResult(waited)
        self.clock.advance(PAUSE)
        self.successResultOf(waited)
        self.assertEqual(
            self.told, [(ONE, None), (TWO, "it is not cached after 3 s; it stays in the queue")]
        )

    def test_slow_service_is_asked_less_often(self):
        ask = self.treq.request

        def slowly(*args, **details):
            self.clock.rightNow += 1.5
            return ask(*args, **details)

        self.treq.request = slowly
        for limit, pause in ((None, 2 * 1.5 * IDLENESS), (5, 2)):
            self.wait(ONE, limit=limit).addErrback(lambda _: None)
            (look,) = self.clock.getDelayedCalls()
            self.assertEqual(look.getTime() - self.clock.seconds(), pause)
            look.cancel()

    def test_service_that_is_away_for_a_moment(self):
        ask = self.treq.request
        waited = self.wait(ONE)
        for _ in range(2):
            self.treq.request = lambda *_, **__: fail(ConnectionRefusedError())
            self.clock.pump([PAUSE] * FAILURES)
            self.treq.request = ask
            self.clock.advance(PAUSE)
            self.assertNoResult(waited)
        self.service.have(ONE)
        self.clock.advance(PAUSE)
        self.successResultOf(waited)

    def test_service_that_stays_away(self):
        self.treq.request = lambda *_, **__: fail(ConnectionRefusedError())
        waited = self.wait(ONE)
        self.clock.pump([PAUSE] * (FAILURES - 1))
        self.assertNoResult(waited)
        self.clock.advance(PAUSE)
        self.failureResultOf(waited, Unreachable)

    def test_service_that_goes_on_failing(self):
        self.service.replies["/v2/queued_images"] = (503, {}, b"")
        waited = self.wait(ONE)
        self.clock.pump([PAUSE] * FAILURES)
        self.failureResultOf(waited, Failed)

    def test_refusal_is_the_end(self):
        self.service.replies["/v2/queued_images"] = (403, {}, b"")
        self.failureResultOf(self.wait(ONE), NotAllowed)

    def test_cancelling_stops_it(self):
        waited = self.wait(ONE)
        waited.addErrback(lambda _: None)
        waited.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
