"""What the keeper promises when directory or index do not do as they should."""

import errno
import os

from glance.cache.claims import Claim
from glance.cache.room import Refusal
from glance.domain.errors import ConfigError, Unavailable
from glance.stores.errors import StoreTimeout
from tests.unit.cache.doubles import IMAGE, OTHER, THIRD, CacheCase, HeldPool, LatePool

AWAY = Unavailable("The index is away.")


class StartTests(CacheCase):
    def test_index_learns_what_the_directory_has(self):
        self.write(IMAGE, b"four")
        keeper = self.keeper()
        self.run_now(keeper.record(OTHER, 7))
        self.run_now(keeper.start())
        (entry,) = self.index.known.values()
        self.assertEqual((entry.image_id, entry.size, entry.hits), (IMAGE, 4, 0))
        self.assertEqual(entry.last_accessed, (self.root / IMAGE).stat().st_mtime)

    def test_what_is_known_stays_as_it_is(self):
        self.write(IMAGE)
        keeper = self.keeper()
        self.run_now(keeper.record(IMAGE, 4))
        before = self.index.known[IMAGE]
        self.run_now(keeper.reconcile())
        self.assertIs(self.index.known[IMAGE], before)

    def test_index_that_is_away_does_not_keep_it_from_starting(self):
        self.index.error = AWAY
        self.run_now(self.keeper().start())

    def test_index_that_cannot_work_does(self):
        self.index.error = ConfigError("No attributes here.")
        self.failureResultOf(self.begin(self.keeper().start()), ConfigError)

    def test_directory_that_hangs(self):
        threads = self.threads(HeldPool(), timeout=15)
        starting = self.begin(self.keeper(threads=threads).start())
        self.clock.advance(15)
        told = self.failureResultOf(starting, ConfigError).getErrorMessage()
        self.assertIn(f"[DEFAULT]image_cache_dir = {self.root} does not answer", told)


class TroubleTests(CacheCase):
    def test_directory_that_fails_is_told_to_who_asked(self):
        def full(*args, **more):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")

        self.patch(type(self.directory), "thd_enqueue", full)
        told = self.failureResultOf(self.begin(self.keeper().queue(IMAGE)), Unavailable)
        self.assertIn("No space left on device", told.getErrorMessage())
        self.assertNotIn("/secret/path", told.getErrorMessage())

    def test_without_the_index_room_is_made_all_the_same(self):
        self.limit = 8
        self.index.error = AWAY
        self.room = type(self.room)(self.directory, 8)
        self.write(IMAGE, b"four")
        self.write(OTHER, b"four")
        claim = self.run_now(self.keeper().claim(THIRD, 4))
        self.assertIsInstance(claim, Claim)
        self.assertEqual(len(self.names()), 1)
        claim.thd_release()
        os.close(claim.fd)
        self.run_now(self.keeper().record(THIRD, 4))
        self.assertNothingOpen()

    def test_what_was_evicted_is_forgotten(self):
        self.room = type(self.room)(self.directory, 8)
        keeper = self.keeper()
        for image_id in (IMAGE, OTHER):
            self.write(image_id, b"four")
            self.run_now(keeper.record(image_id, 4))
        self.index.known[OTHER] = _older(self.index.known[OTHER])
        claim = self.run_now(keeper.claim(THIRD, 4))
        self.assertEqual((self.names(), list(self.index.known)), ([IMAGE], [IMAGE]))
        self.assertIs(self.run_now(keeper.claim(THIRD, 4)), Refusal.BUSY)
        claim.thd_release()
        os.close(claim.fd)

    def test_claim_that_comes_too_late_is_given_back(self):
        pool = LatePool()
        keeper = self.keeper(threads=self.threads(pool, timeout=15))
        claiming = self.begin(keeper.claim(IMAGE, 4))
        self.assertEqual(self.names("incomplete"), [IMAGE])
        self.clock.advance(15)
        self.failureResultOf(claiming, StoreTimeout)
        pool.deliver_all()
        self.assertNothingOpen()
        self.assertEqual(
            (self.names("incomplete"), self.names("locks")), ([], ["admission", "probe"])
        )


def _older(entry):
    return type(entry)(entry.image_id, entry.size, 0, 1.0, 1.0)
