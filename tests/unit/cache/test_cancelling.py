"""Whoever asks may go away at any moment: nothing stays open, locked or under way because of it."""

import os

from twisted.internet.defer import CancelledError

from tests.unit.cache.doubles import IMAGE, MIB, CacheCase, HeldPool, Store, image_of

SIZE = 2 * MIB + 123
DATA = os.urandom(SIZE)

#: More steps than anything takes.
MOST = 60


class CancellingCase(CacheCase):
    def setUp(self):
        super().setUp()
        self.image = image_of(DATA)
        self.pools = []

    def slow_process(self):
        """Return the cache of a process whose threads do one thing at a time when they are told."""
        self.pools = [HeldPool(), HeldPool()]
        cache = self.process(*self.pools, start=False)
        cache._running = True
        return cache

    def step(self):
        """Let one thread do one thing, or time pass; tell whether there was anything to do."""
        for pool in self.pools:
            if pool.waiting:
                pool.release()
                return True
        if not self.clock.getDelayedCalls():
            return False
        self.clock.advance(0.25)
        return True

    def finish(self):
        for _ in range(MOST):
            if not self.step():
                return
        self.fail("it does not come to an end")

    def assertNothingLeft(self, cache, steps):
        self.finish()
        self.assertEqual((cache._copying, cache._at_work), ({}, set()), steps)
        self.assertEqual(self.descriptors(), 0, steps)
        fills = [name for name in self.names("locks") if name.endswith(".fill")]
        self.assertEqual(fills, [], steps)

    def at_every_step(self, ask, prepare=lambda: None, after=lambda: None):
        """Ask and go away after no step, after one, and so on, until it has its answer."""
        for steps in range(MOST):
            prepare()
            cache, store = self.slow_process(), Store(DATA)
            store.let()
            asked = self.begin(ask(cache, store))
            for _ in range(steps):
                self.step()
            answered = asked.called
            if answered:
                self.answered(self.successResultOf(asked))
            else:
                asked.cancel()
                self.failureResultOf(asked, CancelledError)
            after()
            self.assertNothingLeft(cache, steps)
            self.assertTrue(all(reader.closed for reader in store.readers))
            for where in ("", "incomplete"):
                for name in self.names(where):
                    os.unlink(self.root / where / name)
            if answered:
                self.assertGreater(steps, 0)
                return
        self.fail("it never answers")

    def answered(self, answer):
        if answer is not True:
            answer.close()


class MissTests(CancellingCase):
    def test_open(self):
        self.at_every_step(lambda cache, store: cache.open(self.image, store.open))

    def test_fetch(self):
        self.at_every_step(lambda cache, store: cache.fetch(self.image, store.open))

    def test_open_what_was_left(self):
        self.at_every_step(
            lambda cache, store: cache.open(self.image, store.open),
            lambda: self.write(IMAGE, DATA[:MIB], "incomplete"),
        )

    def test_while_the_store_is_opened(self):
        cache, store = self.slow_process(), Store(DATA)
        store.held = []
        opening = self.begin(cache.open(self.image, store.open))
        self.finish()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertNothingLeft(cache, "held")


class HitTests(CancellingCase):
    def test_open(self):
        self.at_every_step(
            lambda cache, store: cache.open(self.image, store.open),
            lambda: self.write(IMAGE, DATA),
        )

    def test_read(self):
        """The file is closed when the read has ended, and not before."""
        self.write(IMAGE, DATA)
        cache = self.slow_process()
        opening = self.begin(cache.open_copy(self.image))
        self.finish()
        reader = self.successResultOf(opening)
        reading = reader.read(0, 9)
        reader.close()
        self.assertEqual(self.descriptors(), 1)
        self.finish()
        self.assertEqual(self.successResultOf(reading), DATA[:9])
        self.assertEqual(self.descriptors(), 0)


class FollowingTests(CancellingCase):
    def begin_elsewhere(self):
        self.filler, store = self.process(), Store(DATA)
        opening = self.begin(self.filler.open(self.image, store.open))
        store.let(SIZE - 1)
        self.reader = self.successResultOf(opening)

    def end_elsewhere(self):
        self.reader.close()

    def test_open(self):
        self.at_every_step(
            lambda cache, store: cache.open(self.image, store.open),
            self.begin_elsewhere,
            self.end_elsewhere,
        )

    def test_take_over(self):
        def begin_elsewhere():
            self.begin_elsewhere()
            self.clock.callLater(1, self.end_elsewhere)

        self.at_every_step(
            lambda cache, store: cache.fetch(self.image, store.open),
            begin_elsewhere,
            self.end_elsewhere,
        )
