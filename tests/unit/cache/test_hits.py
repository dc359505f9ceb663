"""Hits on their way to the index."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from glance.cache.hits import PAUSE, Hits
from glance.domain.errors import Unavailable


class SlowIndex:
    """An index whose writes end when the test says so."""

    def __init__(self) -> None:
        self.writes: list[dict[str, tuple[int, float]]] = []
        self.waiting: list[Deferred[None]] = []

    def touch(self, hits: dict[str, tuple[int, float]]) -> Deferred[None]:
        self.writes.append(dict(hits))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def end(self) -> None:
        self.waiting.pop(0).callback(None)

    def fail(self, error: Exception | None = None) -> None:
        self.waiting.pop(0).errback(error or Unavailable("The index is away."))


class HitsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.index = SlowIndex()
        self.hits = Hits(self.index, self.clock, most=3)  # type: ignore[arg-type]
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def count(self, *image_ids: str) -> None:
        for image_id in image_ids:
            self.clock.advance(1)
            self.hits.count(image_id)

    def logged(self, level: Any) -> int:
        ours = [e for e in self.events if e.get("log_namespace") == "glance.cache.hits.Hits"]
        return sum(e["log_level"] == level for e in ours)

    def test_written_at_once(self) -> None:
        self.count("a")
        self.assertEqual(self.index.writes, [{"a": (1, 1.0)}])

    def test_gathered_while_one_is_written(self) -> None:
        self.count("a", "a", "b", "a")
        self.assertEqual(len(self.index.writes), 1)
        self.index.end()
        self.clock.advance(PAUSE)
        self.assertEqual(self.index.writes[1:], [{"a": (2, 4.0), "b": (1, 3.0)}])
        self.index.end()
        self.clock.advance(PAUSE)
        self.assertEqual(len(self.index.writes), 2)
        self.count("c")
        self.assertEqual(self.index.writes[2:], [{"c": (1, 6.0)}])

    def test_gathered_for_a_moment_after_a_write(self) -> None:
        self.count("a")
        self.index.end()
        for _ in range(9):
            self.clock.advance(PAUSE / 10)
            self.hits.count("b")
        self.assertEqual(len(self.index.writes), 1)
        self.clock.advance(PAUSE / 10)
        self.assertEqual([batch["b"][0] for batch in self.index.writes[1:]], [9])

    def test_not_tried_again_for_each_one_while_it_fails(self) -> None:
        self.count("a")
        self.index.fail()
        self.hits.count("b")
        self.assertEqual(len(self.index.writes), 1)
        self.clock.advance(PAUSE)
        self.hits.count("b")
        self.assertEqual(self.index.writes[1:], [{"a": (1, 1.0), "b": (2, 1.0 + PAUSE)}])

    def test_stop_does_not_wait_for_that_moment(self) -> None:
        self.count("a")
        self.index.end()
        self.hits.count("b")
        stopped = self.hits.stop()
        self.assertEqual(self.index.writes[1:], [{"b": (1, 1.0)}])
        self.index.end()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kept_where_they_cannot_be_written(self) -> None:
        self.count("a", "b")
        self.index.fail()
        self.assertEqual(len(self.index.writes), 1)
        self.count("a")
        self.assertEqual(self.index.writes[1:], [{"a": (2, 3.0), "b": (1, 2.0)}])
        self.index.end()
        self.assertEqual(len(self.index.writes), 2)

    def test_the_latest_are_kept(self) -> None:
        self.count("a", "b", "c", "a")
        self.index.fail()
        self.count("d")
        self.assertEqual(self.index.writes[1:], [{"c": (1, 3.0), "a": (2, 4.0), "d": (1, 5.0)}])

    def test_an_outage_is_said_once(self) -> None:
        for _ in range(3):
            self.count("a")
            self.index.fail()
        self.assertEqual((self.logged(LogLevel.warn), self.logged(LogLevel.info)), (1, 0))
        self.count("a")
        self.index.end()
        self.count("a")
        self.index.end()
        self.assertEqual((self.logged(LogLevel.warn), self.logged(LogLevel.info)), (1, 1))
        self.count("a")
        self.index.fail()
        self.assertEqual(self.logged(LogLevel.warn), 2)

    def test_a_mistake_of_ours_is_survived(self) -> None:
        self.count("a")
        self.index.fail(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.index.touch = lambda hits: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        self.count("a")
        del self.index.touch
        self.count("a")
        self.assertEqual(self.index.writes[1:], [{"a": (3, 3.0)}])

    def test_stop_with_nothing_to_do(self) -> None:
        self.successResultOf(self.hits.stop())
        self.assertEqual((self.index.writes, self.clock.getDelayedCalls()), ([], []))

    def test_stop_waits_and_writes_the_rest(self) -> None:
        self.count("a", "b")
        stopped = self.hits.stop()
        self.assertNoResult(stopped)
        self.index.end()
        self.assertNoResult(stopped)
        self.assertEqual(self.index.writes[1:], [{"b": (1, 2.0)}])
        self.index.end()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.logged(LogLevel.warn), 0)

    def test_stop_tries_what_was_kept(self) -> None:
        self.count("a")
        self.index.fail()
        stopped = self.hits.stop()
        self.assertEqual(len(self.index.writes), 2)
        self.index.end()
        self.successResultOf(stopped)

    def test_stop_gives_up_after_a_failure(self) -> None:
        self.count("a", "b")
        stopped = self.hits.stop()
        self.index.fail()
        self.successResultOf(stopped)
        self.assertEqual(len(self.index.writes), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.logged(LogLevel.warn), 2)

    def test_stop_gives_up_in_time(self) -> None:
        self.count("a")
        stopped = self.hits.stop(patience=5)
        self.clock.advance(4.9)
        self.assertNoResult(stopped)
        self.clock.advance(0.2)
        self.successResultOf(stopped)
        self.index.end()
        self.assertEqual(self.logged(LogLevel.warn), 1)
