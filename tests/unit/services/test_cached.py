"""A cache that cannot be started keeps no image from being sent."""

from types import SimpleNamespace

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import ConfigError
from glance.services.cached import AGAIN, CacheParts

CONF = SimpleNamespace(
    image_cache_dir="/nowhere",
    image_cache_driver="sqlite",
    image_cache_sqlite_db="cache.db",
    image_cache_max_size=1,
    worker_self_reference_url=None,
)


class Images:
    """Starts, or not, as a test says."""

    def __init__(self):
        self.outcome = None
        self.tries = 0

    async def start(self):
        self.tries += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        await (self.outcome or succeed(None))

    async def let_go(self):
        pass

    async def stop(self):
        pass


class TestStart(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.parts = CacheParts(CONF, None, self.clock, None)
        self.images = self.parts.images = Images()

    def start(self):
        self.successResultOf(Deferred.fromCoroutine(self.parts.start_if_possible()))

    def stop(self):
        self.successResultOf(Deferred.fromCoroutine(self.parts.stop()))

    def test_now(self):
        self.start()
        self.assertEqual((self.images.tries, self.clock.getDelayedCalls()), (1, []))

    def test_later(self):
        self.images.outcome = ConfigError("The directory cannot be used.")
        with capturedLogs() as logs:
            self.start()
            for _ in range(3):
                self.clock.advance(AGAIN)
            self.images.outcome = None
            self.clock.advance(AGAIN)
        self.assertEqual((self.images.tries, self.clock.getDelayedCalls()), (5, []))
        first, second = map(formatEvent, logs)
        self.assertIn("without the cache", first)
        self.assertIn("The directory cannot be used.", first)
        self.assertEqual(second, "The image cache can be used again")

    def test_told_to_end_before(self):
        self.images.outcome = ConfigError("The directory cannot be used.")
        self.start()
        self.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_told_to_end_meanwhile(self):
        self.images.outcome = ConfigError("The directory cannot be used.")
        self.start()
        cancelled = []
        self.images.outcome = Deferred(cancelled.append)
        self.clock.advance(AGAIN)
        self.stop()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fault_of_ours(self):
        self.images.outcome = ConfigError("The directory cannot be used.")
        self.start()
        self.images.outcome = ZeroDivisionError("oops")
        self.clock.advance(AGAIN)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
