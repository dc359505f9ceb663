"""What goes when a copy needs room, and what is asked of the index for that."""

import os
import time

from twisted.internet.defer import Deferred, fail, succeed

from glance.cache import keeper
from glance.cache.claims import Claim
from glance.cache.room import Refusal
from glance.domain.caching import CachedImage
from glance.domain.errors import Unavailable
from tests.unit.cache.upkeep_doubles import IDS, CacheCase


class FakeTime:
    """The module ``time``, with a clock that a test sets."""

    def __init__(self, now):
        self.monotonic = lambda: now[0]
        self.time = time.time


class TestOrder(CacheCase):
    def claim(self, image_id, size):
        outcome = self.result(self.keeper.claim(image_id, size))
        if isinstance(outcome, Claim):
            self.addCleanup(os.close, outcome.fd)
            self.addCleanup(outcome.abandon)
        return outcome

    def record(self, image_id, at):
        self.index.known[image_id] = CachedImage(image_id, 400, 0, at, at)

    def watch_index(self):
        """Return a list that gets an entry each time the index is read."""
        read = []
        entries = self.index.entries
        self.patch(self.index, "entries", lambda: read.append(1) or entries())
        return read

    def test_index_is_read_only_where_others_have_to_go(self):
        """With thousands of copies that takes longer than all else."""
        read = self.watch_index()
        self.assertIsInstance(self.claim(IDS[0], 1000), Claim)
        self.assertEqual(read, [])
        self.write(self.directory.copy(IDS[1]), 400)
        self.assertIs(self.claim(IDS[2], 400), Refusal.NO_ROOM)
        self.assertEqual(read, [1])
        self.assertIs(self.claim(IDS[2], 1001), Refusal.NO_ROOM)
        self.assertIs(self.claim(IDS[0], 1000), Refusal.BUSY)
        self.assertEqual(read, [1])

    def test_what_was_not_asked_for_longest_goes(self):
        for number in (0, 1):
            self.write(self.directory.copy(IDS[number]), 400)
        self.record(IDS[0], 200.0)
        self.record(IDS[1], 100.0)
        self.assertIsInstance(self.claim(IDS[2], 400), Claim)
        self.assertEqual(self.copies(), [IDS[0]])
        self.assertEqual(set(self.index.known), {IDS[0]})

    def test_what_is_not_recorded_yet_is_new(self):
        self.write(self.directory.copy(IDS[0]), 400)
        self.write(self.directory.copy(IDS[1]), 400)
        self.record(IDS[1], 100.0)
        self.assertIsInstance(self.claim(IDS[2], 400), Claim)
        self.assertEqual(self.copies(), [IDS[0]])

    def test_index_away(self):
        """Then the oldest files go."""
        self.write(self.directory.copy(IDS[0]), 400)
        self.write(self.directory.copy(IDS[1]), 400, age=10)
        self.index.away = True
        self.assertIsInstance(self.claim(IDS[2], 400), Claim)
        self.assertEqual(self.copies(), [IDS[0]])

    def test_index_that_does_not_answer_is_waited_for_once(self):
        """A file that another process has locked holds up nobody else's download."""
        now = [1000.0]
        self.patch(keeper, "time", FakeTime(now))
        for number in (0, 1):
            self.write(self.directory.copy(IDS[number]), 400)
        read, answer = self.watch_index(), Deferred()
        self.patch(self.index, "entries", lambda: read.append(1) or answer)
        waiting = [
            Deferred.fromCoroutine(self.keeper.claim(name, 900)) for name in (IDS[2], IDS[3])
        ]
        self.assertEqual(read, [1])
        answer.errback(Unavailable("locked"))
        outcomes = [self.successResultOf(each) for each in waiting]
        self.assertEqual(read, [1])
        (claim,) = (outcome for outcome in outcomes if isinstance(outcome, Claim))
        self.assertIn(Refusal.NO_ROOM, outcomes)
        claim.thd_give_up()
        os.close(claim.fd)
        now[0] += 30.0
        self.write(self.directory.copy(IDS[0]), 400)
        self.patch(self.index, "entries", lambda: read.append(1) or succeed([]))
        self.claim(IDS[4], 900)
        self.assertEqual(read, [1, 1])

    def test_index_that_is_not_told_of_what_made_way_keeps_nobody_waiting(self):
        self.write(self.directory.copy(IDS[0]), 400)
        self.patch(self.index, "remove", lambda image_ids: Deferred())
        self.assertIsInstance(self.claim(IDS[1], 900), Claim)


class TestStart(CacheCase):
    def test_index_is_put_right(self):
        self.write(self.directory.copy(IDS[0]))
        self.index.known[IDS[1]] = CachedImage(IDS[1], 1, 0, 1.0, 1.0)
        self.result(self.make_keeper().start())
        self.assertEqual(set(self.index.known), {IDS[0]})

    def test_what_is_known_stays(self):
        self.write(self.directory.copy(IDS[0]))
        known = self.index.known[IDS[0]] = CachedImage(IDS[0], 10, 5, 2.0, 1.0)
        self.result(self.make_keeper().start())
        self.assertIs(self.index.known[IDS[0]], known)

    def test_index_away_is_asked_once(self):
        """A file that is locked would hold up the start for as long once more."""
        self.patch(self.index, "start", lambda: fail(Unavailable("locked")))
        asked = []
        self.patch(self.index, "entries", lambda: asked.append(1) or fail(Unavailable("locked")))
        self.result(self.make_keeper().start())
        self.assertEqual(asked, [])
