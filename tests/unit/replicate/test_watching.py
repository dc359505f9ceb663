"""One run after the other."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from glance.replicate.outcome import SideLost, Summary
from glance.replicate.plan import Plan
from glance.replicate.run import replicate
from glance.replicate.service_source import ServiceSource
from glance.replicate.watching import Watch
from tests.unit.replicate.driving import Ear, Pair, ident
from tests.unit.replicate.services import REFUSED, FakeStream, make_document

SUMMARY = Summary("a", "b")


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.takes = 1.0
        self.rounds = 0
        self.fails: Exception | None = None
        self.told: list[Any] = []
        self.watch = Watch(self.round, 10, self.clock, self.tell)

    async def round(self) -> Summary:
        self.rounds += 1
        await deferLater(self.clock, self.takes)
        if self.fails is not None:
            raise self.fails
        return SUMMARY

    def tell(self, result: Any) -> None:
        self.told.append(result)

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.watch.stop())

    def test_runs_again_and_again(self) -> None:
        self.watch.start()
        self.assertEqual(self.rounds, 1)
        self.clock.advance(1)
        self.assertEqual(self.told, [SUMMARY])
        self.clock.advance(8)
        self.assertEqual(self.rounds, 1)
        self.clock.advance(1)
        self.assertEqual(self.rounds, 2)
        self.clock.advance(1)
        self.assertEqual(self.told, [SUMMARY] * 2)

    def test_a_long_run_delays_the_next(self) -> None:
        self.takes = 15
        self.watch.start()
        self.clock.advance(15)
        self.assertEqual(self.rounds, 1)
        self.clock.advance(5)
        self.assertEqual(self.rounds, 2)

    def test_a_run_that_fails_is_said_and_the_next_goes_on(self) -> None:
        self.fails = SideLost("it is not there")
        self.watch.start()
        self.clock.advance(1)
        self.assertEqual(self.told, [self.fails])
        self.fails = None
        self.clock.advance(9)
        self.clock.advance(1)
        self.assertEqual(self.told[1:], [SUMMARY])

    def test_mistakes_are_logged_and_the_next_goes_on(self) -> None:
        self.fails = ZeroDivisionError()
        self.watch.start()
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.fails = None
        self.tell = None  # type: ignore[assignment]
        self.watch._told = None  # type: ignore[assignment]
        self.clock.advance(9)
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.clock.advance(9)
        self.assertEqual(self.rounds, 3)

    def test_is_stopped_between_runs(self) -> None:
        self.watch.start()
        self.clock.advance(1)
        self.successResultOf(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.stop())

    def test_is_stopped_during_a_run(self) -> None:
        self.watch.start()
        self.successResultOf(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.told, [])

    def test_stopping_waits_for_the_run_to_end(self) -> None:
        ended: Deferred[None] = Deferred()

        async def stubborn() -> Summary:
            try:
                await deferLater(self.clock, 1)
            finally:
                await ended
            return SUMMARY

        self.watch = Watch(stubborn, 10, self.clock, self.tell)
        self.watch.start()
        stopping = self.stop()
        self.assertNoResult(stopping)
        ended.callback(None)
        self.successResultOf(stopping)

    def test_was_never_started(self) -> None:
        self.successResultOf(self.stop())

    def test_keeps_two_services_in_step(self) -> None:
        pair = Pair()
        plan = Plan()
        pair.source.add(make_document(ident(1), b"12345678"), b"12345678")

        async def make_round() -> Summary:
            source = ServiceSource(pair.source)  # type: ignore[arg-type]
            return await replicate(source, pair.target_side(plan), plan, pair.clock, Ear())

        watch = Watch(make_round, 60, pair.clock, self.tell)
        watch.start()
        for _ in range(1000):
            pair.clock.advance(0.01)
        self.assertEqual(self.told[-1].exit_code, 0)
        self.assertEqual(list(pair.target.images), [ident(1)])
        pair.source.trouble = lambda what, _: REFUSED
        pair.clock.advance(50.5)
        pair.clock.advance(1)
        self.assertIsInstance(self.told[-1], SideLost)
        pair.source.trouble = lambda what, _: None
        pair.source.add(make_document(ident(2), b"12345678"), b"12345678")
        pair.clock.advance(59)
        while not pair.target.under_way:
            pair.clock.advance(0.01)
        self.successResultOf(Deferred.fromCoroutine(watch.stop()))
        self.assertTrue(self.told[-1].interrupted)
        self.assertEqual(FakeStream.opened, 0)
        self.assertEqual(pair.clock.getDelayedCalls(), [])
