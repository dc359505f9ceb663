"""Watching a copy that another process writes: growth, verdicts, deaths."""

import os

from glance.cache import following as following_module
from glance.cache.claims import BAD, GIVEN_UP, GOOD, OPEN, thd_write_state
from glance.cache.following import LATE, PATIENCE, QUIET, SOON, Follower
from glance.cache.growing import GrowingFile
from glance.stores.errors import StoreTimeout
from tests.unit.cache.doubles import IMAGE, MIB, CacheCase, HeldPool

SIZE = 3 * MIB


class FollowerCase(CacheCase):
    def setUp(self):
        super().setUp()
        self.claim, _ = self.room.thd_claim(IMAGE, SIZE, [])
        self.addCleanup(lambda: os.close(self.claim.fd))
        self.addCleanup(self.claim.abandon)
        fd, self.lock = self.room.thd_follow(IMAGE)
        self.addCleanup(os.close, fd)
        self.growing = GrowingFile(SIZE)
        self.growing.attach(fd)

    def follow(self, pool=None, timeout=0):
        self.follower = Follower(
            self.growing, self.lock, self.room, self.threads(pool, timeout), self.clock
        )
        return self.begin(self.follower.run())

    def grow(self, size):
        os.ftruncate(self.claim.fd, size)

    def assertOver(self):
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(os.path.exists(f"/proc/self/fd/{self.lock}"))


class GrowthTests(FollowerCase):
    def test_sees_what_is_there_at_once(self):
        self.grow(MIB)
        self.follow()
        self.assertEqual(self.growing.available, MIB)
        self.follower.stop()

    def test_sees_it_grow(self):
        following = self.follow()
        for size in range(0, SIZE, 100_000):
            self.grow(size)
            self.clock.advance(LATE)
            self.assertEqual(self.growing.available, size)
        self.assertNoResult(following)
        self.follower.stop()

    def test_looks_often_only_while_it_grows(self):
        looks = []
        fstat = os.fstat
        self.patch(os, "fstat", lambda fd: (looks.append(fd), fstat(fd))[1])
        self.follow()
        for n in range(10):
            self.grow(1000 * (n + 1))
            self.clock.advance(SOON)
        busy, looks[:] = len(looks), []
        self.assertGreaterEqual(busy, 18)
        self.pass_time(10)
        self.assertLess(len(looks), 10 / LATE * 4)
        self.follower.stop()

    def test_more_than_there_can_be_is_not_read(self):
        self.follow()
        self.grow(SIZE + 5)
        self.clock.advance(LATE)
        self.assertEqual(self.growing.available, SIZE)
        self.follower.stop()


class VerdictTests(FollowerCase):
    def test_good(self):
        following = self.follow()
        self.grow(SIZE)
        self.claim.thd_commit()
        self.clock.advance(SOON)
        self.assertTrue(self.successResultOf(following))
        self.assertEqual(self.growing.verdict, GOOD)
        self.assertOver()

    def test_good_as_soon_as_it_is_said(self):
        following = self.follow()
        self.grow(SIZE)
        self.claim.thd_judge(GOOD)
        self.clock.advance(SOON)
        self.assertTrue(self.successResultOf(following))
        self.assertOver()

    def test_good_but_too_short_is_not_believed(self):
        self.follow()
        self.grow(SIZE - 1)
        self.claim.thd_judge(GOOD)
        self.clock.advance(SOON)
        self.assertNotEqual(self.growing.verdict, GOOD)

    def test_bad(self):
        following = self.follow()
        self.grow(SIZE)
        self.claim.thd_reject("wrong")
        self.clock.advance(SOON)
        self.assertTrue(self.successResultOf(following))
        self.assertEqual(self.growing.verdict, BAD)
        self.assertOver()

    def test_given_up(self):
        following = self.follow()
        self.claim.thd_give_up()
        self.clock.advance(SOON)
        self.assertTrue(self.successResultOf(following))
        self.assertEqual(self.growing.verdict, GIVEN_UP)
        self.assertOver()

    def test_of_another_length(self):
        thd_write_state(self.claim._lock, SIZE + 1, OPEN)
        self.assertTrue(self.successResultOf(self.follow()))
        self.assertEqual(self.growing.verdict, GIVEN_UP)


class EndTests(FollowerCase):
    def test_writer_lets_go(self):
        following = self.follow()
        self.grow(MIB)
        self.claim.thd_release()
        self.clock.advance(SOON)
        # All that was there is known.
        self.assertFalse(self.successResultOf(following))
        self.assertEqual((self.growing.available, self.growing.verdict), (MIB, OPEN))
        self.assertOver()

    def test_writer_dies(self):
        following = self.follow()
        self.grow(MIB)
        self.clock.advance(SOON)
        self.claim.abandon()
        self.pass_time(2 * QUIET)
        self.assertFalse(self.successResultOf(following))
        self.assertEqual((self.growing.available, self.growing.verdict), (MIB, OPEN))
        self.assertOver()

    def test_slow_writer_is_not_taken_for_dead(self):
        following = self.follow()
        self.pass_time(20)
        self.assertNoResult(following)
        self.follower.stop()

    def test_writer_that_does_nothing_is_not_waited_for_without_end(self):
        """It may be stopped, and what it holds is held all the same."""
        following = self.follow()
        self.pass_time(PATIENCE - 2)
        self.grow(MIB)
        self.pass_time(PATIENCE - 2)
        self.assertNoResult(following)
        self.assertEqual(self.growing.verdict, OPEN)
        self.pass_time(4)
        self.assertTrue(self.successResultOf(following))
        self.assertEqual((self.growing.available, self.growing.verdict), (MIB, GIVEN_UP))
        self.assertOver()

    def test_writer_dies_right_after_its_verdict(self):
        self.grow(SIZE)
        is_written = type(self.room).thd_is_written

        def judge_first(room, lock):
            self.claim.thd_judge(GOOD)
            self.claim.abandon()
            return is_written(room, lock)

        self.patch(type(self.room), "thd_is_written", judge_first)
        following = self.follow()
        self.pass_time(2 * QUIET)
        self.assertTrue(self.successResultOf(following))
        self.assertEqual(self.growing.verdict, GOOD)

    def test_writer_ends_during_a_look(self):
        """What it said at the end is seen, not only that it has let go."""
        self.grow(SIZE)
        read_state = following_module.thd_read_state

        def ends_right_after(lock):
            state = read_state(lock)
            if not self.claim.ended:
                self.claim.thd_commit()
            return state

        self.patch(following_module, "thd_read_state", ends_right_after)
        following = self.follow()
        self.clock.advance(SOON)
        self.assertTrue(self.successResultOf(following))
        self.assertEqual(self.growing.verdict, GOOD)

    def test_stop(self):
        following = self.follow()
        self.assertTrue(self.follower.stop())
        self.assertFalse(self.successResultOf(following))
        self.assertOver()

    def test_stop_during_a_look(self):
        pool = HeldPool()
        following = self.follow(pool)
        self.follower.stop()
        pool.release_all()
        self.assertFalse(self.successResultOf(following))
        self.assertOver()

    def test_directory_that_hangs(self):
        pool = HeldPool()
        following = self.follow(pool, timeout=15)
        self.clock.advance(15)
        self.failureResultOf(following, StoreTimeout)
        # What hangs may still look at them.
        self.assertTrue(os.path.exists(f"/proc/self/fd/{self.lock}"))
        pool.release_all()
        self.assertOver()
