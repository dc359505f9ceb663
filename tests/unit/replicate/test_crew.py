"""Doing many things side by side."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from glance.replicate.crew import Breath, side_by_side


class CrewTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ended: list[int] = []

    async def work(self, number: int, seconds: float = 0.0) -> None:
        try:
            if seconds:
                await deferLater(self.clock, seconds)
            self.ended.append(number)
        except CancelledError:
            self.ended.append(-number)
            raise

    def begin(self, *works: Any) -> Deferred[bool]:
        return Deferred.fromCoroutine(side_by_side(works))

    def test_nothing(self) -> None:
        self.assertFalse(self.successResultOf(self.begin()))

    def test_ends_when_all_have(self) -> None:
        running = self.begin(self.work(1, 2), self.work(2), self.work(3, 1))
        self.clock.advance(1)
        self.assertNoResult(running)
        self.clock.advance(1)
        self.assertFalse(self.successResultOf(running))
        self.assertEqual(self.ended, [2, 3, 1])

    def test_cancelling_cancels_all(self) -> None:
        running = self.begin(self.work(1, 2), self.work(2, 1))
        running.cancel()
        self.assertTrue(self.successResultOf(running))
        self.assertEqual(sorted(self.ended), [-2, -1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_waits_for_those_that_take_their_time(self) -> None:
        async def slow() -> None:
            try:
                await deferLater(self.clock, 5)
            finally:
                await deferLater(self.clock, 1)

        running = self.begin(slow(), self.work(1, 9))
        running.cancel()
        # However often: they are only cleaning up.
        running.cancel()
        self.assertNoResult(running)
        self.clock.advance(1)
        self.assertTrue(self.successResultOf(running))

    def test_the_first_failure_ends_all(self) -> None:
        async def fail() -> None:
            await deferLater(self.clock, 1)
            raise ValueError("oops")

        running = self.begin(self.work(1, 2), fail(), fail())
        self.clock.advance(1)
        self.failureResultOf(running, ValueError)
        self.assertEqual(self.ended, [-1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_has_not_begun_by_then_never_does(self) -> None:
        async def fail() -> None:
            raise ValueError("oops")

        self.failureResultOf(self.begin(fail(), self.work(1)), ValueError)
        self.assertEqual(self.ended, [])


class BreathTests(SynchronousTestCase):
    def test_lets_others_have_a_turn_now_and_then(self) -> None:
        clock = Clock()
        breath = Breath(clock)
        self.successResultOf(Deferred.fromCoroutine(breath.take()))
        clock.advance(0.1)
        taking = Deferred.fromCoroutine(breath.take())
        self.assertNoResult(taking)
        clock.advance(0)
        self.successResultOf(taking)
        self.successResultOf(Deferred.fromCoroutine(breath.take()))
