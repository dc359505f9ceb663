"""Work that outlives the request that asked for it, and what is said when it fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import Invalid
from glance.transfers.detached import detached


class DetachedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.gate: Deferred[Any] = Deferred()
        globalLogPublisher.addObserver(self.entries.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.entries.append)
        self.waiting = detached(self.work())

    async def work(self) -> Any:
        return await self.gate

    def let_go(self) -> None:
        self.waiting.cancel()
        self.failureResultOf(self.waiting, CancelledError)

    def test_result(self) -> None:
        self.gate.callback(7)
        self.assertEqual(self.successResultOf(self.waiting), 7)

    def test_failure_that_somebody_waits_for(self) -> None:
        self.gate.errback(KeyError("a bug"))
        self.failureResultOf(self.waiting, KeyError)
        self.assertEqual(self.entries, [])

    def test_cancelling_does_not_reach_the_work(self) -> None:
        self.let_go()
        self.assertFalse(self.gate.called)
        self.gate.callback(7)
        self.assertEqual(self.entries, [])

    def test_failure_that_a_request_would_be_answered_with(self) -> None:
        self.let_go()
        self.gate.errback(Invalid("The image is too large."))
        (entry,) = self.entries
        self.assertEqual(entry["log_level"], LogLevel.warn)
        self.assertNotIn("log_failure", entry)
        self.assertIn("The image is too large.", formatEvent(entry))

    def test_failure_that_is_a_bug(self) -> None:
        self.let_go()
        self.gate.errback(KeyError("a bug"))
        (entry,) = self.entries
        self.assertTrue(entry["log_failure"].check(KeyError))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
