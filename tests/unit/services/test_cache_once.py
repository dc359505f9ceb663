"""Programs that do one thing to the cache: how they end, and what they say of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import ConfigError, Unavailable
from glance.services.cache_once import CacheOnce


class Reactor:
    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


class Work:
    """What is worked with."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.beginning: Any = None

    async def start(self) -> None:
        self.told.append("start")
        if isinstance(self.beginning, Exception):
            raise self.beginning
        if self.beginning is not None:
            await self.beginning

    async def stop(self) -> None:
        self.told.append("stop")


class TestCacheOnce(SynchronousTestCase):
    def setUp(self):
        self.work, self.reactor, self.complaints = Work(), Reactor(), []
        self.outcome = True

    async def do(self, work):
        work.told.append("do")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, Deferred):
            return await self.outcome
        return self.outcome

    def run_service(self):
        service = CacheOnce(self.work, self.do, self.reactor, self.complaints.append)
        service.startService()
        return service

    def assert_ended(self, service, failed, complaints):
        self.assertEqual((service.failed, self.reactor.stopped), (failed, 1))
        self.assertEqual(self.complaints, complaints)
        self.successResultOf(service.stopService())
        self.assertEqual(self.work.told[-1], "stop")

    def test_good(self):
        self.assert_ended(self.run_service(), False, [])
        self.assertEqual(self.work.told, ["start", "do", "stop"])

    def test_not_all_is_well(self):
        self.outcome = False
        self.assert_ended(self.run_service(), True, [])

    def test_no_beginning(self):
        self.work.beginning = ConfigError("The directory cannot be used.")
        self.assert_ended(self.run_service(), True, ["ERROR: The directory cannot be used."])
        self.assertNotIn("do", self.work.told)

    def test_what_fails(self):
        for error in (Unavailable("It is away."), OSError(28, "No space left on device")):
            self.setUp()
            self.outcome = error
            self.assert_ended(self.run_service(), True, [f"ERROR: {error}"])

    def test_fault_of_ours(self):
        self.outcome = ZeroDivisionError("oops")
        fault = ["ERROR: The program has a fault; its log says more."]
        self.assert_ended(self.run_service(), True, fault)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_told_to_end_meanwhile(self):
        """What then fails does so because everything was taken away."""
        self.outcome = Deferred()
        service = self.run_service()
        self.successResultOf(service.stopService())
        self.outcome.errback(Unavailable("There are no threads any more."))
        self.assertEqual((service.failed, self.complaints), (False, []))

    def test_told_to_end_at_the_beginning(self):
        self.work.beginning = Deferred()
        service = self.run_service()
        self.successResultOf(service.stopService())
        self.work.beginning.callback(None)
        self.assertEqual(self.work.told, ["start", "stop"])
        self.assertEqual((service.failed, self.complaints), (False, []))
