"""What looks after a cache, and by which options."""

from types import SimpleNamespace

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glance.services.cache_filling import make_upkeep

CONF = SimpleNamespace(
    cache_prefetcher_interval=10,
    cache_cleaner_interval=40,
    cache_pruner_interval=20,
    cache_interval_jitter=0,
)


class Part:
    """A prefetcher, or what does the chores."""

    def __init__(self):
        self.done = []

    def __getattr__(self, name):
        async def do():
            self.done.append(name)
            await succeed(None)

        return do


class TestUpkeep(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.prefetcher, self.chores = Part(), Part()

    def run_for_a_while(self, **more):
        upkeep = make_upkeep(CONF, self.clock, self.prefetcher, self.chores, **more)
        upkeep.startService()
        self.clock.pump([1] * 40)
        self.successResultOf(upkeep.stopService())

    def test_each_at_its_interval(self):
        self.run_for_a_while()
        self.assertEqual(self.prefetcher.done, ["run"] * 5 + ["stop"])
        self.assertEqual(self.chores.done.count("prune"), 3)
        self.assertEqual(self.chores.done.count("clean"), 2)

    def test_what_others_look_after(self):
        """What is queued in this process is fetched by it, and to be broken off."""
        self.run_for_a_while(idle=True)
        self.assertEqual((self.prefetcher.done, self.chores.done), (["stop"], []))
