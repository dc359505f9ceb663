"""Passes over the queue: order, what ends a wish, what leaves it, kicks, one pass at a time."""

import os

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from glance.cache.prefetched import Prefetched, Standing
from glance.cache.prefetching import LOCK, LOOK_AGAIN, REPORT_INTERVAL, Prefetcher
from glance.domain.errors import Unavailable
from glance.stores.errors import StoreError
from tests.unit.cache.upkeep_doubles import IDS, CacheCase


class PrefetchCase(CacheCase):
    pool_size = 2
    report = None

    def setUp(self):
        super().setUp()
        self.prefetcher = self.make_prefetcher()

    def make_prefetcher(self):
        return Prefetcher(
            self.keeper, self.fills, self.database, None, self.reactor,
            pool_size=self.pool_size, report=self.report,
        )  # fmt: skip

    def run_pass(self):
        return self.result(self.prefetcher.run())

    def begin(self, prefetcher=None):
        """Begin a pass that ends when the test lets it."""
        return Deferred.fromCoroutine((prefetcher or self.prefetcher).run())

    def is_locked(self):
        held = self.directory.thd_hold(LOCK)
        if held is None:
            return True
        os.close(held)
        return False


class TestWishes(PrefetchCase):
    def test_oldest_first_and_then_they_are_over(self):
        ids = self.add_images(5)
        self.queue(*reversed(ids))
        done = self.run_pass()
        self.assertEqual(self.fills.begun, ids[::-1])
        self.assertEqual((done.images, done.size, done.left), (5, 50, {}))
        self.assertEqual(done.line(), "Cached 5 images (50 bytes).")
        self.assertEqual(self.queued(), [])
        self.assertFalse(self.is_locked())

    def test_nothing_to_do(self):
        done = self.run_pass()
        self.assertEqual((done.seen, done.elsewhere), (0, False))
        self.assertEqual(done.line(), "No image waits to be cached.")

    def test_cached_already(self):
        """As in a directory that was adopted."""
        (image_id,) = self.add_images(1)
        self.queue(image_id)
        self.write(self.directory.copy(image_id))
        done = self.run_pass()
        self.assertEqual((done.images, done.present, self.fills.begun), (0, 1, []))
        self.assertEqual(self.queued(), [])

    def test_images_that_are_gone(self):
        deleted, other = self.add_images(2)
        self.run_in_database(
            lambda connection: (
                connection.exec_driver_sql(
                    "UPDATE images SET deleted = 1 WHERE id = ?", (deleted,)
                ).rowcount
            )
        )
        never = "ffffffff-0000-4000-8000-000000000000"
        self.queue(deleted, never, other)
        done = self.run_pass()
        self.assertEqual((done.gone, done.images, done.left), (2, 1, {}))
        self.assertEqual(self.queued(), [])

    def test_not_active(self):
        (image_id,) = self.add_images(1, status="queued")
        self.queue(image_id)
        done = self.run_pass()
        self.assertEqual(done.left, {image_id: "its status is queued, not active"})
        self.assertEqual((self.queued(), self.fills.begun), ([image_id], []))

    def test_a_failure_stops_no_other(self):
        ids = self.add_images(4)
        self.queue(*ids)
        self.fills.outcomes[ids[0]] = StoreError("The disk is broken.")
        self.fills.outcomes[ids[1]] = OSError(5, "Input/output error")
        done = self.run_pass()
        self.assertEqual(done.images, 2)
        self.assertEqual(
            done.left, {ids[0]: "The disk is broken.", ids[1]: "[Errno 5] Input/output error"}
        )
        self.assertEqual(done.line(), "Cached 2 images (20 bytes); 2 left in the queue.")
        self.assertEqual(self.queued(), ids[:2])
        del self.fills.outcomes[ids[0]]
        self.assertEqual(self.run_pass().images, 1)

    def test_a_fault_of_ours_stops_no_other(self):
        ids = self.add_images(2)
        self.queue(*ids)
        self.fills.outcomes[ids[0]] = ZeroDivisionError("oops")
        done = self.run_pass()
        self.assertEqual((done.images, list(done.left)), (1, [ids[0]]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cache_that_is_busy_is_no_fault_of_the_catalogue(self):
        ids = self.add_images(2)
        self.queue(*ids)
        self.fills.outcomes[ids[0]] = Unavailable("The image cache is busy.")
        done = self.run_pass()
        self.assertEqual((done.images, done.left), (1, {ids[0]: "The image cache is busy."}))

    def test_no_room(self):
        (image_id,) = self.add_images(1)
        self.queue(image_id)
        self.fills.outcomes[image_id] = False
        done = self.run_pass()
        reason = (
            "there is no room for its 10 bytes: what is being sent or written stays, or the disk "
            "is full, or the cache cannot be written to (see the log)"
        )
        self.assertEqual(done.left, {image_id: reason})
        self.assertEqual(self.queued(), [image_id])

    def test_nothing_to_cache(self):
        empty, unknown = IDS[:2]
        self.add_image(id=empty, status="active", size=0)
        self.add_image(id=unknown, status="active")
        self.queue(empty, unknown)
        done = self.run_pass()
        self.assertEqual((done.present, done.left), (1, {unknown: "nobody knows its size"}))
        self.assertEqual((self.queued(), self.fills.begun), ([unknown], []))

    def test_another_process_writes_it(self):
        (image_id,) = self.add_images(1)
        self.queue(image_id)
        claim = self.result(self.make_started_keeper().claim(image_id, 10))
        self.fills.outcomes[image_id] = False
        done = self.run_pass()
        self.assertEqual((done.busy, done.left), (1, {}))
        self.assertEqual(self.queued(), [image_id])
        claim.thd_give_up()
        os.close(claim.fd)

    def make_started_keeper(self):
        keeper = self.make_keeper()
        self.result(keeper.start())
        return keeper

    def test_said_once(self):
        said = []
        self.prefetcher._complain = lambda *words: said.append(words)
        (image_id,) = self.add_images(1)
        self.queue(image_id)
        self.fills.outcomes[image_id] = False
        self.run_pass()
        self.run_pass()
        self.assertEqual(len(said), 1)
        self.fills.outcomes[image_id] = StoreError("away")
        self.run_pass()
        self.assertEqual(said[1:], [(image_id, "away")])
        # Wished for anew, it is told of anew.
        self.directory.thd_dequeue(image_id)
        self.run_pass()
        self.queue(image_id)
        self.run_pass()
        self.assertEqual(len(said), 3)

    def test_telling_fails(self):
        def complain(*words):
            raise ValueError("nobody listens")

        self.prefetcher._complain = complain
        first, second = self.add_images(2)
        self.queue(first, second)
        held = self.fills.hold(first)
        passing = self.begin()
        held.callback(False)
        self.assertEqual(self.successResultOf(passing).images, 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertFalse(self.is_locked())

    def test_wish_taken_back_before_its_turn(self):
        self.prefetcher._pool_size = 1
        first, second = self.add_images(2)
        self.queue(first, second)
        held = self.fills.hold(first)
        passing = self.begin()
        self.directory.thd_dequeue(second)
        held.callback(True)
        self.assertEqual(self.successResultOf(passing).images, 1)
        self.assertEqual(self.fills.begun, [first])

    def test_catalogue_away(self):
        ids = self.add_images(3)
        self.queue(*ids)
        read = self.database.runReading
        answers = [Unavailable("The catalogue does not answer.")]
        self.patch(
            self.database,
            "runReading",
            lambda *a: fail(answers.pop()) if answers else read(*a),
        )
        error = self.failure(self.prefetcher.run(), Unavailable)
        self.assertEqual(error.message, "The catalogue does not answer.")
        self.assertEqual((self.fills.begun, self.queued()), ([], ids))
        self.assertFalse(self.is_locked())
        self.assertEqual(self.run_pass().images, 3)


class TestSeveralAtATime(PrefetchCase):
    def test_never_more_than_the_pool(self):
        ids = self.add_images(4)
        self.queue(*ids)
        held = [self.fills.hold(image_id) for image_id in ids]
        passing = self.begin()
        self.assertEqual(self.fills.begun, ids[:2])
        self.assertTrue(self.is_locked())
        held[1].callback(True)
        self.assertEqual(self.fills.begun, ids[:3])
        held[0].callback(False)
        held[2].callback(True)
        self.assertNoResult(passing)
        held[3].callback(True)
        self.assertEqual(self.successResultOf(passing).images, 3)
        self.assertFalse(self.is_locked())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_new_wish_in_a_pass_that_takes_long(self):
        """It is found without anybody telling: another process may have written it down."""
        first, second = self.add_images(2)
        self.queue(first)
        held = self.fills.hold(first)
        passing = self.begin()
        self.queue(second)
        self.assertEqual(self.fills.begun, [first])
        self.reactor.advance(LOOK_AGAIN)
        self.assertEqual(self.fills.begun, [first, second])
        held.callback(True)
        self.assertEqual(self.successResultOf(passing).images, 2)

    def test_kick_in_a_pass(self):
        first, second = self.add_images(2)
        self.queue(first)
        held = self.fills.hold(first)
        passing = self.begin()
        self.queue(second)
        self.prefetcher.kick()
        self.assertEqual(self.fills.begun, [first, second])
        held.callback(True)
        self.assertEqual(self.successResultOf(passing).images, 2)

    def test_wish_that_comes_again_in_a_pass_that_takes_long(self):
        """An image was cached in this pass, removed since, and is wished for anew."""
        slow, quick = self.add_images(2)
        held = self.fills.hold(slow)
        self.queue(slow, quick)
        passing = self.begin()
        self.assertEqual(self.copies(), [quick])
        self.result(self.keeper.drop(quick))
        self.queue(quick)
        self.prefetcher.kick()
        self.assertEqual(self.copies(), [quick])
        held.callback(True)
        self.assertEqual(self.successResultOf(passing).images, 3)

    def test_what_failed_is_not_tried_twice_in_a_pass(self):
        first, second = self.add_images(2)
        self.queue(first, second)
        self.fills.outcomes[first] = StoreError("away")
        held = self.fills.hold(second)
        passing = self.begin()
        self.reactor.advance(3 * LOOK_AGAIN)
        self.prefetcher.kick()
        self.assertEqual(self.fills.begun, [first, second])
        held.callback(True)
        self.assertEqual(len(self.successResultOf(passing).left), 1)


class TestOnePassAtATime(PrefetchCase):
    def test_another_process_is_at_it(self):
        self.queue(*self.add_images(1))
        lock = self.directory.thd_hold(LOCK)
        done = self.run_pass()
        self.assertEqual((done.elsewhere, self.fills.begun), (True, []))
        os.close(lock)
        self.assertEqual(self.run_pass().images, 1)

    def test_same_process_is_at_it(self):
        (image_id,) = self.add_images(1)
        self.queue(image_id)
        held = self.fills.hold(image_id)
        passing = self.begin()
        self.assertTrue(self.run_pass().elsewhere)
        held.callback(True)
        self.assertEqual(self.successResultOf(passing).images, 1)
        self.assertFalse(self.run_pass().elsewhere)

    def test_wish_that_others_leave_to_us_at_the_last_moment(self):
        """They find the lock taken when we have read the queue for the last time."""
        first, second = self.add_images(2)
        self.queue(first)
        close = os.close
        late = [second]

        def close_after_a_wish(fd):
            if late:
                self.queue(late.pop())
            close(fd)

        self.patch(os, "close", close_after_a_wish)
        self.assertEqual(self.run_pass().images, 2)


class TestKick(PrefetchCase):
    def test_begins_a_pass(self):
        self.queue(*self.add_images(2))
        self.prefetcher.kick()
        self.assertEqual(self.queued(), [])

    def test_catalogue_away(self):
        self.queue(*self.add_images(1))
        self.patch(self.database, "runReading", lambda *_: fail(Unavailable("It is away.")))
        self.prefetcher.kick()
        self.assertEqual(len(self.queued()), 1)

    def test_between_the_last_look_and_the_end(self):
        """The look that found nothing may have been a moment too early."""
        (image_id,) = self.add_images(1)
        look = self.keeper.queued
        looks = []

        async def queued():
            found = await look()
            if not looks:
                looks.append(1)
                self.queue(image_id)
                self.prefetcher._passing = Deferred()
                self.prefetcher.kick()
            return found

        self.patch(self.keeper, "queued", queued)
        self.assertEqual(self.run_pass().images, 1)

    def test_after_the_end(self):
        self.queue(*self.add_images(1))
        self.result(self.prefetcher.stop())
        self.prefetcher.kick()
        self.assertEqual(self.fills.begun, [])


class TestStop(PrefetchCase):
    def test_breaks_off_and_lets_go(self):
        ids = self.add_images(3)
        self.queue(*ids)
        for image_id in ids:
            self.fills.hold(image_id)
        passing = self.begin()
        self.result(self.prefetcher.stop())
        self.assertEqual(self.fills.cancelled, ids[:2])
        self.assertEqual(self.fills.begun, ids[:2])
        done = self.successResultOf(passing)
        self.assertEqual((done.images, done.left), (0, {}))
        self.assertEqual(self.queued(), ids)
        self.assertFalse(self.is_locked())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertTrue(self.run_pass().elsewhere)

    def test_while_the_queue_is_being_read(self):
        (image_id,) = self.add_images(1)
        self.queue(image_id)
        self.fills.hold(image_id)
        passing = self.begin()
        look, reading = self.keeper.queued, Deferred()

        async def queued():
            await reading
            return await look()

        self.patch(self.keeper, "queued", queued)
        self.prefetcher.kick()
        stopped = Deferred.fromCoroutine(self.prefetcher.stop())
        self.assertNoResult(stopped)
        reading.callback(None)
        self.successResultOf(stopped)
        self.successResultOf(passing)
        self.assertFalse(self.is_locked())

    def test_nothing_under_way(self):
        self.result(self.prefetcher.stop())


class TestProgress(PrefetchCase):
    def report(self, standing):
        self.told.append(standing)

    def setUp(self):
        self.told = []
        super().setUp()

    def test_what_is_told(self):
        ids = self.add_images(3)
        self.queue(*ids)
        held = [self.fills.hold(image_id) for image_id in ids]
        self.write(self.directory.partial(ids[0]), 4)
        passing = self.begin()
        self.assertEqual(self.told, [Standing(0, 3, 0, 30)])
        self.reactor.advance(REPORT_INTERVAL)
        self.assertEqual(self.told[-1], Standing(0, 3, 4, 30))
        held[1].callback(True)
        self.reactor.advance(REPORT_INTERVAL)
        self.assertEqual(self.told[-1], Standing(1, 3, 14, 30))
        held[0].callback(True)
        held[2].callback(True)
        self.successResultOf(passing)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class TestWords(SynchronousTestCase):
    def test_all_there_is_to_say(self):
        done = Prefetched(1, 2048, present=2, present_size=5, gone=3, busy=4, left={"x": "y"})
        self.assertEqual(done.seen, 11)
        self.assertEqual(
            done.line(),
            "Cached 1 image (2.0 KiB); 2 cached already; 3 deleted since, no longer queued; "
            "4 being cached by another process; 1 left in the queue.",
        )
