"""The clock of the upkeep: turns, jitter, what fails, the end."""

from types import SimpleNamespace

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glance.cache.upkeep import STOP_TIME, Duty, Upkeep
from glance.domain.errors import Unavailable


class UpkeepCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.done, self.said = [], []
        self.outcome = None
        self.broken_off, self.ends = 0, False
        self.patch(Upkeep, "_log", Log(self.said))

    def duty(self, name, interval):
        async def do():
            self.done.append((name, self.clock.seconds()))
            if isinstance(self.outcome, Deferred):
                await self.outcome
            elif self.outcome is not None:
                raise self.outcome

        return Duty(name, interval, do)

    def start(self, *duties, jitter=0, draw=lambda: 1.0):
        upkeep = Upkeep(duties, self.clock, jitter=jitter, break_off=self.break_off, draw=draw)
        upkeep.startService()
        return upkeep

    async def break_off(self):
        self.broken_off += 1
        if isinstance(self.outcome, Deferred) and self.ends:
            self.outcome.callback(None)

    def stop(self, upkeep):
        self.successResultOf(upkeep.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Log:
    def __init__(self, said):
        self._said = said

    def error(self, text, **values):
        self._said.append(("error", str(values["error"])))

    def failure(self, text, **values):
        self._said.append(("failure", values["duty"]))

    def info(self, text, **values):
        self._said.append(("info", values["duty"]))


class TestTurns(UpkeepCase):
    def test_each_at_its_interval(self):
        upkeep = self.start(self.duty("a", 10), self.duty("b", 25))
        self.clock.pump([1] * 51)
        self.assertEqual([when for name, when in self.done if name == "a"], [0, 10, 20, 30, 40, 50])
        self.assertEqual([when for name, when in self.done if name == "b"], [0, 25, 50])
        self.stop(upkeep)
        self.clock.advance(100)
        self.assertEqual(len(self.done), 9)

    def test_jitter_puts_turns_off(self):
        numbers = iter([0.5, 0.0, 1.0, 0.25])
        upkeep = self.start(self.duty("a", 100), jitter=20, draw=lambda: next(numbers))
        self.clock.pump([1] * 310)
        self.assertEqual([when for _, when in self.done], [10, 100, 220, 305])
        self.stop(upkeep)

    def test_stopped_before_a_turn_that_was_put_off(self):
        upkeep = self.start(self.duty("a", 100), jitter=100)
        self.stop(upkeep)
        self.assertEqual(self.done, [])

    def test_turn_that_takes_long(self):
        self.outcome = Deferred()
        upkeep = self.start(self.duty("a", 10), self.duty("b", 10))
        self.clock.advance(35)
        self.assertEqual(self.done, [("a", 0), ("b", 0)])
        self.outcome.callback(None)
        self.outcome = None
        self.clock.advance(5)
        self.assertEqual(self.done[2:], [("a", 40), ("b", 40)])
        self.stop(upkeep)


class TestFailures(UpkeepCase):
    def test_said_once_and_tried_again(self):
        self.outcome = Unavailable("the catalogue is away.")
        upkeep = self.start(self.duty("a", 10))
        self.clock.pump([10] * 3)
        self.assertEqual(len(self.done), 4)
        self.assertEqual(self.said, [("error", "the catalogue is away.")])
        self.outcome = OSError(28, "No space left on device")
        self.clock.pump([10] * 2)
        self.assertEqual(self.said[1:], [("error", "[Errno 28] No space left on device")])
        self.outcome = None
        self.clock.pump([10] * 2)
        self.assertEqual(self.said[2:], [("info", "a")])
        self.outcome = Unavailable("the catalogue is away.")
        self.clock.advance(10)
        self.assertEqual(len(self.said), 4)
        self.stop(upkeep)

    def test_faults_of_ours(self):
        self.outcome = ZeroDivisionError("oops")
        upkeep = self.start(self.duty("a", 10))
        self.clock.pump([10] * 3)
        self.assertEqual((len(self.done), self.said), (4, [("failure", "a")]))
        self.stop(upkeep)


class TestEnd(UpkeepCase):
    def test_waits_for_a_turn_but_not_for_ever(self):
        self.outcome = Deferred()
        upkeep = self.start(self.duty("a", 10))
        stopped = upkeep.stopService()
        self.assertNoResult(stopped)
        self.clock.advance(STOP_TIME)
        self.successResultOf(stopped)

    def test_turn_that_is_broken_off(self):
        self.outcome, self.ends = Deferred(), True
        upkeep = self.start(self.duty("a", 10))
        self.stop(upkeep)
        self.assertEqual(self.broken_off, 1)

    def test_breaking_off_fails(self):
        async def fail():
            raise ZeroDivisionError

        said = []
        self.patch(Upkeep, "_log", SimpleNamespace(failure=lambda text, *_: said.append(text)))
        upkeep = self.start()
        self.patch(upkeep, "_break_off", fail)
        self.stop(upkeep)
        self.assertEqual(said, ["Ending the cache's upkeep"])

    def test_rest(self):
        """Another process goes on; what is under way here is finished here."""
        self.outcome = Deferred()
        upkeep = self.start(self.duty("a", 10))
        upkeep.rest()
        self.assertEqual(self.broken_off, 0)
        self.outcome.callback(None)
        self.clock.advance(30)
        self.assertEqual(len(self.done), 1)
        self.stop(upkeep)

    def test_rest_before_a_turn_that_was_put_off(self):
        upkeep = self.start(self.duty("a", 100), jitter=100)
        upkeep.rest()
        self.clock.advance(1000)
        self.assertEqual(self.done, [])
        self.stop(upkeep)
