"""The cache's own service: its beginning, reloads, its end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import ConfigError, GlanceError
from glance.services.cache_service import STOP_TIME, CacheService


class Reactor(Clock):
    """A clock that runs from the start."""

    stopped = 0

    def callWhenRunning(self, function: Any, *args: Any) -> None:
        function(*args)

    def stop(self) -> None:
        self.stopped += 1


class Notes:
    """What the service manager is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ready(self, text: str) -> None:
        self.told.append(text)

    def reloading(self, text: str) -> None:
        self.told.append("reloading")

    def stopping(self) -> None:
        self.told.append("stopping")


class Tended:
    """A cache that does as a test says. It is its own upkeep."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told
        self.outcome: Any = None
        self.upkeep: Any = self

    async def start(self) -> None:
        self.told.append(f"{self.name} start")
        if isinstance(self.outcome, Deferred):
            await self.outcome
        elif self.outcome is not None:
            raise self.outcome

    async def stop(self) -> None:
        self.told.append(f"{self.name} stop")

    def startService(self) -> None:
        self.told.append(f"{self.name} upkeep")

    def stopService(self) -> Deferred[None]:
        self.told.append(f"{self.name} rest")
        return succeed(None)


class CacheServiceCase(SynchronousTestCase):
    def setUp(self):
        self.reactor = Reactor()
        self.notes = Notes()
        self.told, self.used, self.outcomes = [], [], {}
        self.names = iter("bcdef")
        self.reading = self.read

    def read(self):
        return succeed(next(self.names))

    def use(self, loaded):
        self.used.append(loaded)

    def make(self, loaded):
        tended = Tended(loaded, self.told)
        tended.outcome = self.outcomes.get(loaded)
        return tended

    def service(self):
        service = CacheService(
            "a", self.reactor, make=self.make, thd_reload=lambda: None,
            run=lambda _: self.reading(), use=self.use, notifier=self.notes,
        )  # fmt: skip
        service.startService()
        return service

    def since(self):
        told = list(self.told)
        self.told.clear()
        return told


class TestBeginning(CacheServiceCase):
    def test_good(self):
        service = self.service()
        self.assertEqual(self.since(), ["a start", "a upkeep"])
        self.assertEqual(self.notes.told, ["looking after the image cache"])
        self.successResultOf(service.stopService())
        self.assertEqual(self.since(), ["a rest", "a stop"])
        self.assertEqual(self.notes.told[1:], ["stopping"])
        self.assertEqual((service.failed, self.reactor.stopped), (False, 0))

    def test_impossible(self):
        self.outcomes["a"] = ConfigError("There is no cache.")
        service = self.service()
        self.assertEqual((service.failed, self.reactor.stopped), (True, 1))
        self.assertEqual(self.since(), ["a start", "a stop"])
        self.assertEqual(self.notes.told, [])
        self.successResultOf(service.stopService())

    def test_fault_of_ours(self):
        self.outcomes["a"] = ZeroDivisionError("oops")
        service = self.service()
        self.assertEqual((service.failed, self.reactor.stopped), (True, 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_told_to_end_meanwhile(self):
        self.outcomes["a"] = started = Deferred()
        service = self.service()
        stopped = service.stopService()
        self.assertNoResult(stopped)
        started.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.since(), ["a start", "a rest", "a stop"])
        self.assertEqual(self.notes.told, ["stopping"])

    def test_told_to_end_while_the_start_hangs(self):
        self.outcomes["a"] = Deferred()
        stopped = self.service().stopService()
        self.reactor.advance(STOP_TIME)
        self.successResultOf(stopped)


class TestReload(CacheServiceCase):
    def setUp(self):
        super().setUp()
        self.service = self.service()
        self.since()
        self.notes.told.clear()

    def test_good(self):
        self.service.reload()
        self.assertEqual(self.since(), ["b start", "a rest", "a stop", "b upkeep"])
        self.assertEqual(self.used, ["b"])
        self.assertEqual(self.notes.told, ["reloading", "looking after the image cache"])

    def test_files_that_cannot_be_used(self):
        self.reading = lambda: fail(ConfigError("[DEFAULT]x is wrong."))
        self.service.reload()
        self.assertEqual((self.since(), self.used), ([], []))
        self.assertEqual(self.notes.told[0], "reloading")
        self.assertIn("given up", self.notes.told[1])
        self.reading = self.read
        self.service.reload()
        self.assertEqual(self.used, ["b"])

    def test_what_cannot_be_started(self):
        self.outcomes["b"] = ConfigError("The directory cannot be used.")
        self.service.reload()
        self.assertEqual(self.since(), ["b start", "b stop"])
        self.assertIn("given up", self.notes.told[-1])
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.since(), ["a rest", "a stop"])

    def test_fault_of_ours(self):
        self.outcomes["b"] = ZeroDivisionError("oops")
        self.service.reload()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.service.failed, self.reactor.stopped), (False, 0))
        self.assertIn("given up", self.notes.told[-1])

    def test_log_that_cannot_be_followed(self):
        def use(loaded):
            raise GlanceError("no such facility")

        self.service._use = use
        self.service.reload()
        self.assertEqual(self.since()[-1], "b upkeep")
        self.assertEqual(self.notes.told[-1], "looking after the image cache")

    def test_one_after_the_other(self):
        """Signals that come meanwhile amount to one more."""
        held = Deferred()
        self.reading = lambda: held
        self.service.reload()
        self.service.reload()
        self.service.reload()
        self.reading = self.read
        held.callback("x")
        self.assertEqual(self.used, ["x", "b"])
        self.assertEqual(
            self.since(),
            ["x start", "a rest", "a stop", "x upkeep", "b start", "x rest", "x stop", "b upkeep"],
        )

    def test_told_to_end_meanwhile(self):
        held = Deferred()
        self.reading = lambda: held
        self.service.reload()
        stopped = self.service.stopService()
        held.callback("x")
        self.successResultOf(stopped)
        self.assertEqual(self.since(), ["a rest", "a stop"])
        self.service.reload()
        self.assertEqual(self.notes.told, ["reloading", "stopping"])
