"""The scrubber as a service: what ends it, what it goes on after, and its exit code."""

from types import SimpleNamespace
from unittest import mock

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import Conflict, Unavailable
from glance.scrub.summary import Summary
from glance.services import scrubber
from glance.services.scrubber import STOP_TIME, ScrubberService


class Reactor(Clock):
    """A clock that runs from the start."""

    stopped = 0

    def callWhenRunning(self, function, *args):
        function(*args)

    def stop(self):
        self.stopped += 1


class Part(mock.MagicMock):
    """A store or a database that starts and stops at once."""

    def start(self):
        return succeed(None)

    def stop(self):
        return succeed(None)

    def runReading(self, *args):
        return succeed([])


class Notes:
    """What the service manager is told."""

    def __init__(self):
        self.told = []

    def ready(self):
        self.told.append("ready")

    def status(self, text):
        self.told.append(text)

    def stopping(self):
        self.told.append("stopping")


class ScrubberServiceCase(SynchronousTestCase):
    def setUp(self):
        self.reactor = Reactor()
        self.said, self.complaints, self.asides, self.passes = [], [], [], []
        self.notes = Notes()
        self.scrubber = mock.Mock()
        self.scrubber.run = self.run_pass
        self.outcome = Summary(images=1, size=3)
        for name in ("make_database", "Stores"):
            self.patch(scrubber, name, lambda *a, **k: Part())
        self.patch(scrubber, "Scrubber", lambda *a, **k: self.scrubber)

    async def run_pass(self, patience=0.0):
        self.passes.append(patience)
        if isinstance(self.outcome, Deferred):
            return await self.outcome
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def service(self, **options):
        conf = SimpleNamespace(
            daemon=False, restore=None, wakeup_time=300, scrub_time=0, scrub_pool_size=1,
            transfer_heartbeat_interval=10, transfer_stale_time=60, metadata_encryption_key=None,
            database=SimpleNamespace(max_pool_size=5),
        )  # fmt: skip
        for name, value in options.items():
            setattr(conf, name, value)
        service = ScrubberService(
            SimpleNamespace(conf=conf),
            self.reactor,
            say=self.said.append,
            complain=self.complaints.append,
            progress=self.asides.append,
            notifier=self.notes,
        )
        service.startService()
        return service

    def stop(self, service):
        self.successResultOf(service.stopService())


class TestOnePass(ScrubberServiceCase):
    def test_good(self):
        service = self.service()
        self.assertEqual((service.failed, self.reactor.stopped), (False, 1))
        self.assertEqual(self.said, ["Scrubbed 1 image (3 bytes)."])
        self.assertEqual(self.complaints, [])
        self.stop(service)

    def test_others_were_faster(self):
        """What is said, cron sends by mail."""
        self.outcome = Summary()
        service = self.service()
        self.assertEqual((service.failed, self.said, self.complaints), (False, [], []))
        self.assertEqual(self.asides, ["Nothing to scrub."])

    def test_failures(self):
        self.outcome = Summary(failed=1)
        self.outcome.failures["fast", "away"] += 1
        service = self.service()
        self.assertEqual((service.failed, self.reactor.stopped), (True, 1))
        self.assertEqual(len(self.complaints), 2)
        self.assertEqual(self.said, [])

    def test_database_away(self):
        self.outcome = Unavailable("The catalogue does not answer.")
        service = self.service()
        self.assertEqual((service.failed, self.reactor.stopped), (True, 1))
        self.assertEqual(self.complaints, ["ERROR: The catalogue does not answer."])

    def test_surprise(self):
        self.outcome = ZeroDivisionError("oops")
        service = self.service()
        self.assertEqual((service.failed, self.reactor.stopped), (True, 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class TestDaemon(ScrubberServiceCase):
    def test_a_pass_every_so_often(self):
        service = self.service(daemon=True, wakeup_time=5)
        self.assertEqual(len(self.passes), 1)
        self.reactor.pump([1] * 10)
        self.assertEqual(len(self.passes), 3)
        self.assertEqual(self.reactor.stopped, 0)
        self.stop(service)
        self.reactor.advance(100)
        self.assertEqual(len(self.passes), 3)
        self.assertEqual(self.notes.told[0], "Scrubbed 1 image (3 bytes).")
        self.assertEqual(self.notes.told.count("ready"), 1)
        self.assertEqual(self.notes.told[-1], "stopping")

    def test_no_time_between_passes_is_a_second(self):
        self.service(daemon=True, wakeup_time=0)
        self.reactor.pump([0.5] * 4)
        self.assertEqual(len(self.passes), 3)

    def test_says_nothing_of_passes_without_work(self):
        self.outcome = Summary()
        self.service(daemon=True)
        self.assertEqual(self.said, [])

    def test_goes_on_after_whatever_happens(self):
        for outcome in (Unavailable("away"), ZeroDivisionError("oops"), Summary(failed=1)):
            self.outcome = outcome
            self.passes.clear()
            service = self.service(daemon=True, wakeup_time=5)
            self.reactor.advance(5)
            self.assertEqual(len(self.passes), 2)
            self.assertEqual((service.failed, self.reactor.stopped), (False, 0))
            self.stop(service)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_a_long_pass_is_not_overtaken(self):
        self.outcome = passing = Deferred()
        self.service(daemon=True, wakeup_time=5)
        self.reactor.pump([1] * 20)
        self.assertEqual(len(self.passes), 1)
        self.outcome = Summary()
        passing.callback(Summary())
        self.reactor.advance(5)
        self.assertEqual(len(self.passes), 2)
        self.assertEqual(self.reactor.stopped, 0)

    def test_a_stop_waits_for_what_is_in_hand(self):
        self.outcome = passing = Deferred()
        service = self.service(daemon=True)
        stopped = service.stopService()
        self.scrubber.stop.assert_called_once_with()
        self.assertNoResult(stopped)
        passing.callback(Summary())
        self.successResultOf(stopped)

    def test_but_not_for_ever(self):
        self.outcome = Deferred()
        stopped = self.service(daemon=True).stopService()
        self.reactor.advance(STOP_TIME)
        self.successResultOf(stopped)


class TestRestoring(ScrubberServiceCase):
    def restoring(self, outcome):
        async def restore(image_id):
            self.assertEqual(image_id, "x")
            if outcome is not None:
                raise outcome

        self.patch(scrubber, "Restorer", lambda *a: SimpleNamespace(restore=restore))
        return self.service(restore="x")

    def test_good(self):
        service = self.restoring(None)
        self.assertEqual((service.failed, self.reactor.stopped), (False, 1))
        self.assertEqual((self.said, self.complaints, self.passes), ([], [], []))

    def test_refused(self):
        service = self.restoring(Conflict("held"))
        self.assertEqual((service.failed, self.reactor.stopped), (True, 1))
        self.assertEqual(self.complaints, ["ERROR: held"])
