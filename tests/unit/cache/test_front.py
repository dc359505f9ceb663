"""The cache as a whole, in one process and in several: who reads, who fills, who goes without."""

import errno
import os
import shutil

from twisted.internet.defer import CancelledError, Deferred

from glance.cache import copying as copying_module
from glance.cache import room as room_module
from glance.cache.claims import Claim
from glance.cache.following import PATIENCE, QUIET, SOON
from glance.cache.front import OFF_TIME
from glance.cache.growing import WITHHELD, GrowingReader
from glance.domain.errors import LimitExceeded, Unavailable
from glance.domain.image import DEACTIVATED
from glance.stores.errors import ReadElsewhere, RemoteUnavailable, StoreError
from tests.unit.cache.doubles import (
    IMAGE,
    MIB,
    OTHER,
    CacheCase,
    HeldPool,
    LatePool,
    Store,
    image_of,
)

SIZE = 5 * MIB + 123
DATA = os.urandom(SIZE)
#: Time in which every process has seen whatever there is to be seen.
WHILE = 4 * QUIET


class FrontCase(CacheCase):
    def setUp(self):
        super().setUp()
        self.store = Store(DATA)
        self.image = image_of(DATA)
        self.cache = self.process()

    def open(self, cache=None, store=None, image=None):
        cache, store = cache or self.cache, store or self.store
        return self.begin(cache.open(image or self.image, store.open))

    def opened(self, **more):
        return self.successResultOf(self.open(**more))

    def fetch(self, cache=None, store=None):
        return self.begin((cache or self.cache).fetch(self.image, (store or self.store).open))

    def content(self, reader):
        """Read all, and close."""
        data = self.successResultOf(reader.read(0, SIZE))
        reader.close()
        return data

    def cached(self):
        """Have a copy."""
        self.store.let()
        self.assertTrue(self.successResultOf(self.fetch()))

    def assertQuiet(self, *where):
        """Nothing is under way, and files are only in these places."""
        for place in ("", "incomplete", "invalid"):
            self.assertEqual(self.names(place), [IMAGE] if place in where else [])
        self.assertEqual([n for n in self.names("locks") if n.endswith(".fill")], [])
        self.assertNothingOpen()
        self.assertEqual(self.cache._at_work, set())
        self.assertEqual(self.cache._copying, {})


class OneProcessTests(FrontCase):
    def test_first_one_has_it_made(self):
        opening = self.open()
        self.assertNoResult(opening)
        self.store.let(MIB)
        reader = self.successResultOf(opening)
        self.assertEqual(reader.size, SIZE)
        self.store.let()
        self.assertEqual(self.content(reader), DATA)
        self.assertQuiet("")
        self.assertEqual(self.cache.hits, [])

    def test_all_others_join(self):
        openings = [self.open() for _ in range(5)]
        self.store.let(MIB)
        openings += [self.open() for _ in range(5)]
        readers = [self.successResultOf(one) for one in openings]
        self.store.let()
        self.assertTrue(all(self.content(reader) == DATA for reader in readers))
        self.assertEqual(self.store.opened, [0])
        self.assertQuiet("")

    def test_complete_copy_is_read(self):
        self.cached()
        reader = self.opened()
        self.assertEqual(self.content(reader), DATA)
        self.assertEqual(self.store.opened, [0])
        self.assertEqual(self.cache.hits, [])
        reader.delivered()
        self.assertEqual(self.cache.hits, [IMAGE])
        self.assertQuiet("")

    def test_reader_outlasts_the_copy(self):
        self.cached()
        reader = self.opened()
        self.run_now(self.cache.image_is_gone(IMAGE))
        self.assertEqual(self.content(reader), DATA)
        self.assertQuiet()
        self.assertEqual(self.index.known, {})

    def test_what_is_never_cached(self):
        self.store.let()
        for image in (
            image_of(DATA, status=DEACTIVATED),
            image_of(b""),
            image_of(DATA, size=None),
            image_of(DATA, image_id="not-an-id"),
        ):
            self.assertIsNone(self.opened(image=image))
            self.assertIsNone(self.run_now(self.cache.open_copy(image)))
            self.assertFalse(self.run_now(self.cache.fetch(image, self.store.open)))
        large = image_of(DATA, size=self.limit + 1)
        self.assertIsNone(self.opened(image=large))
        asked = Deferred.fromCoroutine(self.cache.fetch(large, self.store.open))
        refusal = self.failureResultOf(asked, LimitExceeded).value
        self.assertIn("are more than [DEFAULT]image_cache_max_size allows", str(refusal))
        self.assertEqual(self.store.opened, [])
        self.assertQuiet()

    def test_deactivated_image_is_not_read_from_its_copy(self):
        self.cached()
        self.assertIsNone(self.opened(image=image_of(DATA, status=DEACTIVATED)))
        self.assertQuiet("")

    def test_parts_have_nothing_made(self):
        self.store.let()
        self.assertIsNone(self.run_now(self.cache.open_copy(self.image)))
        self.assertEqual(self.store.opened, [])
        self.cached()
        reader = self.run_now(self.cache.open_copy(self.image))
        self.assertEqual(self.content(reader), DATA)

    def test_no_room(self):
        self.write(OTHER, bytes(self.limit))
        with open(self.root / OTHER) as used:
            room_module.fcntl.flock(used, room_module.fcntl.LOCK_SH)
            self.assertIsNone(self.opened())
            self.assertFalse(self.successResultOf(self.fetch()))
        self.assertEqual(self.store.opened, [])
        self.cached()
        self.assertQuiet("")

    def test_directory_that_was_removed(self):
        self.cached()
        shutil.rmtree(self.root)
        self.root.mkdir()
        reader = self.opened()
        self.assertEqual(self.content(reader), DATA)
        self.assertEqual((self.root / IMAGE).read_bytes(), DATA)

    def test_nobody_joins_what_has_another_length(self):
        opening = self.open()
        longer = image_of(DATA + b"x", checksum=None, os_hash_algo=None)
        other = self.open(image=longer, store=Store(DATA + b"x"))
        self.store.let()
        self.pass_time(WHILE)
        self.assertEqual(self.content(self.successResultOf(opening)), DATA)
        self.assertIsNone(self.successResultOf(other))

    def test_copy_of_another_length(self):
        self.write(IMAGE, DATA[1:])
        self.store.let()
        self.assertEqual(self.content(self.opened()), DATA)
        self.assertQuiet("", "invalid")

    def test_store_that_cannot_be_read_tells_everybody(self):
        self.store.held = []
        openings = [self.open() for _ in range(3)]
        self.store.held.pop().errback(RemoteUnavailable("The server is away."))
        for one in openings:
            self.failureResultOf(one, RemoteUnavailable)
        self.assertQuiet()

    def test_store_without_data(self):
        self.store.data = None
        self.assertIsNone(self.opened())
        self.assertQuiet()

    def test_wrong_data(self):
        self.store.data = DATA[:-1] + b"x"
        self.store.let(MIB)
        reader = self.opened()
        self.store.let()
        self.failureResultOf(reader.read(SIZE - 5, 5), StoreError)
        reader.close()
        self.assertQuiet("invalid")

    def test_after_wrong_data_another_copy_comes_first(self):
        self.store.data = DATA[:-1] + b"x"
        self.store.let()
        self.failureResultOf(self.fetch(), StoreError)
        self.store.data = DATA
        self.assertTrue(self.successResultOf(self.fetch()))
        self.assertEqual(self.store.opened, [0, 1])
        self.run_now(self.cache.keeper.drop(IMAGE))
        # Now that all is well it is as it was.
        self.assertTrue(self.successResultOf(self.fetch()))
        self.assertEqual(self.store.opened, [0, 1, 0])

    def test_small_image_is_judged_before_anybody_gets_it(self):
        self.store = Store(b"wrong")
        self.store.let()
        image = image_of(b"right")
        self.failureResultOf(self.open(image=image), StoreError)
        self.assertQuiet("invalid")

    def test_cannot_be_written(self):
        """What is there is read here, and the rest elsewhere."""
        self.store.let(2 * MIB)
        reader = self.opened()
        there = reader._growing.available
        self.patch(os, "pwrite", _full(os.pwrite))
        self.store.let()
        self.assertEqual(self.successResultOf(reader.prefetch(0, SIZE)), there)
        self.failureResultOf(reader.prefetch(there, 5), ReadElsewhere)
        reader.close()
        self.assertQuiet()
        # Not every download has to find that out.
        self.assertIsNone(self.opened())
        self.assertEqual(self.store.opened, [0])
        self.clock.advance(OFF_TIME)
        self.assertIsNotNone(self.open())
        self.assertEqual(self.store.opened, [0, 0])


class LeavingTests(FrontCase):
    def begun(self, readers=1):
        openings = [self.open() for _ in range(readers)]
        self.store.let(2 * MIB)
        return [self.successResultOf(one) for one in openings]

    def test_when_the_last_one_goes_it_ends(self):
        first, second = self.begun(2)
        first.close()
        self.assertFalse(self.store.readers[0].closed)
        second.close()
        self.assertTrue(self.store.readers[0].closed)
        self.assertQuiet("incomplete")

    def test_next_one_goes_on(self):
        (reader,) = self.begun()
        reader.close()
        there = (self.root / "incomplete" / IMAGE).stat().st_size
        self.store.let()
        self.store.reads.clear()
        self.assertEqual(self.content(self.opened()), DATA)
        self.assertEqual(self.store.reads[0][0], there)
        self.assertQuiet("")

    def test_who_waits_may_go(self):
        opening = self.open()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertQuiet()

    def test_one_of_those_who_wait_goes(self):
        opening, other = self.open(), self.open()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.store.let()
        self.assertEqual(self.content(self.successResultOf(other)), DATA)
        self.assertQuiet("")

    def test_whoever_wants_it_cached_keeps_it_going(self):
        fetching = self.fetch()
        (reader,) = self.begun()
        reader.close()
        self.assertNoResult(fetching)
        self.store.let()
        self.assertTrue(self.successResultOf(fetching))
        self.assertQuiet("")

    def test_fetching_is_given_up(self):
        fetching = self.fetch()
        self.store.let(2 * MIB)
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertQuiet("incomplete")

    def test_at_the_end_it_is_finished_all_the_same(self):
        data_pool = HeldPool()
        self.cache = self.process(data_pool=data_pool)
        self.store.let()
        opening = self.open()
        while not opening.called:
            data_pool.release()
        reader = self.successResultOf(opening)
        while reader._growing.verdict == "open":
            data_pool.release()
        reader.close()
        data_pool.release_all()
        self.assertQuiet("")

    def test_claim_that_comes_too_late_is_given_back(self):
        pool = HeldPool()
        self.cache = self.process(pool=pool, start=False)
        self.cache._running = True
        opening = self.open()
        pool.release()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        pool.release_all()
        self.assertQuiet()


class TroubleTests(FrontCase):
    def test_directory_that_hangs(self):
        """It costs one deadline, not one for every download."""
        pool = HeldPool()
        self.cache = self.process(pool=pool, timeout=15, start=False)
        self.cache._running = True
        openings = [self.open() for _ in range(3)]
        self.clock.advance(15)
        self.assertEqual([self.successResultOf(one) for one in openings], [None] * 3)
        self.assertIsNone(self.opened())
        self.assertIsNone(self.run_now(self.cache.open_copy(self.image)))
        pool.release_all()
        self.clock.advance(OFF_TIME)
        opening = self.open()
        pool.release_all()
        self.store.let()
        pool.release_all()
        self.assertEqual(self.content(self.successResultOf(opening)), DATA)
        pool.release_all()
        self.assertQuiet("")

    def test_what_answers_too_late_is_let_go(self):
        """A copy, a claim, and what another process writes."""
        for make in (lambda: self.write(IMAGE, DATA), lambda: None, self.claimed):
            made = make()
            pool = LatePool()
            self.cache = self.process(pool=pool, timeout=15, start=False)
            self.cache._running = True
            opening = self.open()
            while pool.done and not opening.called:
                deliver, outcome = pool.done.pop(0)
                if not pool.done and self.interesting(outcome):
                    # This one is late.
                    self.clock.advance(15)
                deliver(*outcome)
            pool.deliver_all()
            self.assertIsNone(self.successResultOf(opening))
            if isinstance(made, Claim):
                made.thd_release()
                os.close(made.fd)
            elif made is not None:
                made.unlink()
            self.assertQuiet()

    def claimed(self):
        return self.room.thd_claim(IMAGE, SIZE, [])[0]

    def interesting(self, outcome):
        """Tell whether somebody has to close something."""
        result = outcome[1]
        return (
            isinstance(result, int)
            or (isinstance(result, tuple) and isinstance(result[0], Claim))
            or (isinstance(result, tuple) and isinstance(result[0], int))
        )

    def test_no_more_files_may_be_open(self):
        """Whoever notices goes without, and what was claimed is given back."""

        def dup(fd):
            raise OSError(errno.EMFILE, "too many")

        self.patch(os, "dup", dup)
        self.assertIsNone(self.opened())
        self.assertQuiet()

    def test_no_more_files_may_be_open_for_another_reader(self):
        opening = self.open()
        self.store.let(2 * MIB)
        reader = self.successResultOf(opening)

        def dup(fd):
            raise OSError(errno.EMFILE, "too many")

        self.patch(os, "dup", dup)
        self.assertIsNone(self.opened())
        self.store.let()
        self.assertEqual(self.content(reader), DATA)
        self.assertQuiet("")

    def test_claim_is_not_lost_by_the_index(self):
        """However it fails to learn what made way for it."""

        def remove(image_ids):
            raise RuntimeError("broken")

        self.patch(self.index, "remove", remove)
        self.write(OTHER, bytes(1024))
        self.cache._room._max_size = SIZE
        self.store.let()
        self.assertEqual(self.content(self.opened()), DATA)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertQuiet("")

    def test_index_that_hangs_holds_nobody_up(self):
        self.patch(self.index, "remove", lambda image_ids: Deferred())
        self.write(OTHER, bytes(1024))
        self.cache._room._max_size = SIZE
        self.store.let()
        self.assertEqual(self.content(self.opened()), DATA)

    def test_directory_that_is_busy(self):
        def busy(*args, **more):
            raise Unavailable("busy")

        self.patch(type(self.directory), "thd_alone", busy)
        self.assertIsNone(self.opened())
        self.assertFalse(self.successResultOf(self.fetch()))

    def test_nothing_is_written_for_a_while_but_copies_are_read(self):
        self.cached()
        self.cache._trouble(OSError(errno.ENOSPC, "full"))
        self.assertEqual(self.content(self.opened()), DATA)
        self.run_now(self.cache.keeper.drop(IMAGE))
        self.assertIsNone(self.opened())
        self.clock.advance(OFF_TIME)
        self.assertEqual(self.content(self.opened()), DATA)

    def test_broken_directory(self):
        for path in (self.root / "locks").iterdir():
            path.unlink()
        (self.root / "locks").rmdir()
        (self.root / "locks").write_bytes(b"")
        self.assertIsNone(self.opened())
        self.assertIsNone(self.opened())
        # That it cannot be removed is no reason not to delete an image.
        self.run_now(self.cache.image_is_gone(IMAGE))

    def test_lock_without_a_copy(self):
        """As while the copy of an image that was deleted is still being written."""
        claim, _ = self.room.thd_claim(IMAGE, SIZE, [])
        os.unlink(self.directory.partial(IMAGE))
        opening = self.open()
        self.pass_time(WHILE)
        self.assertIsNone(self.successResultOf(opening))
        claim.thd_release()
        os.close(claim.fd)
        self.assertQuiet()

    def test_lock_without_a_copy_for_a_moment(self):
        """It has just ended, or is just being begun."""
        claim, _ = self.room.thd_claim(IMAGE, SIZE, [])
        os.unlink(self.directory.partial(IMAGE))
        opening = self.open()
        self.pass_time(3 * SOON)
        self.assertNoResult(opening)
        claim.thd_release()
        os.close(claim.fd)
        self.store.let()
        self.pass_time(2 * SOON)
        self.assertEqual(self.content(self.successResultOf(opening)), DATA)
        self.assertQuiet("")


class StoppingTests(FrontCase):
    def test_what_is_written_can_be_gone_on_with(self):
        fetching = self.fetch()
        opening = self.open()
        self.store.let(2 * MIB)
        reader = self.successResultOf(opening)
        self.run_now(self.cache.let_go())
        self.assertFalse(self.successResultOf(fetching))
        self.failureResultOf(reader.read(0, SIZE), ReadElsewhere)
        reader.close()
        self.assertQuiet("incomplete")
        self.run_now(self.cache.stop())
        self.assertFalse(self.index.running)

    def test_nothing_more_is_begun(self):
        self.cached()
        self.run_now(self.cache.stop())
        self.assertIsNone(self.opened())
        self.assertFalse(self.successResultOf(self.fetch()))

    def test_does_not_wait_for_ever(self):
        data_pool = HeldPool()
        self.cache = self.process(data_pool=data_pool)
        self.store.let()
        fetching = self.fetch()
        stopping = self.begin(self.cache.let_go())
        self.assertNoResult(stopping)
        self.clock.advance(5)
        self.successResultOf(stopping)
        data_pool.release_all()
        self.successResultOf(fetching)


class SeveralProcessesTests(FrontCase):
    def setUp(self):
        super().setUp()
        self.other = self.process()
        self.second_store = Store(DATA)

    def open_both(self, allowed=2 * MIB):
        """Return a reader of the process that fills, and one of the one that follows."""
        opening = self.open()
        following = self.open(cache=self.other, store=self.second_store)
        self.store.let(allowed)
        reader = self.successResultOf(opening)
        self.pass_time(WHILE)
        return reader, self.successResultOf(following)

    def assertAllQuiet(self, *where):
        self.assertQuiet(*where)
        self.assertEqual((self.other._at_work, self.other._copying), (set(), {}))

    def test_one_fills_and_the_other_follows(self):
        mine, others = self.open_both()
        self.assertIsInstance(others, GrowingReader)
        waiting = others.prefetch(others._growing.available, MIB)
        self.assertNoResult(waiting)
        self.store.let()
        self.pass_time(WHILE)
        self.successResultOf(waiting)
        self.assertEqual((self.content(mine), self.content(others)), (DATA, DATA))
        self.assertEqual((self.store.opened, self.second_store.opened), ([0], []))
        self.assertAllQuiet("")

    def test_both_fetch(self):
        fetching = [self.fetch(), self.fetch(self.other, self.second_store)]
        self.store.let()
        self.pass_time(WHILE)
        self.assertEqual([self.successResultOf(one) for one in fetching], [True, True])
        self.assertEqual(self.second_store.opened, [])
        self.assertAllQuiet("")

    def test_wrong_data_is_wrong_for_all(self):
        self.store.data = DATA[:-1] + b"x"
        mine, others = self.open_both()
        self.store.let()
        self.pass_time(WHILE)
        for reader in (mine, others):
            self.assertEqual(reader._growing.readable, 0)
            failed = self.failureResultOf(reader.read(SIZE - 9, 9), StoreError)
            self.assertNotIsInstance(failed.value, ReadElsewhere)
            reader.close()
        self.assertAllQuiet("invalid")

    def test_who_fills_lets_go_and_the_other_goes_on(self):
        mine, others = self.open_both()
        there = others._growing.available
        self.second_store.let()
        mine.close()
        self.pass_time(WHILE)
        self.assertEqual(self.content(others), DATA)
        self.assertEqual(self.second_store.reads[0][0], there)
        self.assertAllQuiet("")

    def test_who_fills_lets_go_before_there_is_anything(self):
        """The store is not asked by each of those who follow."""
        for hashes in (True, False):
            self.image = image_of(DATA, hashes=hashes)
            self.store, self.second_store = Store(DATA), Store(DATA)
            mine = self.open()
            others = [self.open(cache=self.other, store=self.second_store) for _ in range(3)]
            mine.cancel()
            self.failureResultOf(mine, CancelledError)
            self.second_store.let()
            self.pass_time(WHILE)
            self.assertEqual([self.content(self.successResultOf(o)) for o in others], [DATA] * 3)
            self.assertEqual(self.second_store.opened, [0])
            self.assertAllQuiet("")
            self.run_now(self.other.keeper.drop(IMAGE))

    def test_who_fills_dies_and_the_other_goes_on(self):
        mine, others = self.open_both()
        there = others._growing.available
        self.assertGreater(there, 0)
        self.die(self.cache)
        self.second_store.let()
        self.pass_time(WHILE)
        self.assertEqual(self.content(others), DATA)
        self.assertEqual(self.second_store.reads[0][0], there)
        self.assertEqual((self.root / IMAGE).read_bytes(), DATA)

    def die(self, cache):
        """End a process, as far as others can see it."""
        for copying in list(cache._at_work):
            claim = copying._work._claim
            self.patch(copying._work, "_write", _never)
            claim.abandon()

    def test_who_fills_dies_and_nobody_can_tell_whether_it_was_right(self):
        """The others go on from the store, and new ones begin anew."""
        self.image = image_of(DATA, hashes=False)
        mine, others = self.open_both()
        there = others._growing.available
        self.die(self.cache)
        self.second_store.let()
        self.pass_time(WHILE)
        self.assertEqual(self.successResultOf(others.prefetch(0, SIZE)), there)
        self.failureResultOf(others.prefetch(there, 5), ReadElsewhere)
        others.close()
        reader = self.opened(cache=self.other, store=self.second_store)
        self.assertEqual(self.content(reader), DATA)
        self.assertEqual(self.second_store.reads[0][0], 0)

    def test_another_file_is_never_mixed_in(self):
        mine, others = self.open_both()
        there = others._growing.available
        # Somebody removes the file, and a third one begins anew.
        self.room.thd_drop([IMAGE], unfinished=True)
        self.die(self.cache)
        third, _ = self.room.thd_claim(IMAGE, SIZE, [])
        self.assertIsInstance(third, Claim)
        os.pwrite(third.fd, b"x" * SIZE, 0)
        self.pass_time(WHILE)
        self.failureResultOf(others.prefetch(there, 5), ReadElsewhere)
        self.assertEqual(os.pread(others.fileno(), there, 0), DATA[:there])
        third.thd_release()
        os.close(third.fd)
        others.close()

    def begun_anew(self):
        """Remove what is being written, as if all were dead, and have another process begin."""
        self.room.thd_drop([IMAGE], unfinished=True)
        self.die(self.cache)
        third, _ = self.room.thd_claim(IMAGE, SIZE, [])
        os.pwrite(third.fd, DATA, 0)
        return third

    def test_another_file_that_was_left_is_never_mixed_in(self):
        mine, others = self.open_both()
        there = others._growing.available
        third = self.begun_anew()
        third.abandon()
        os.close(third.fd)
        self.second_store.let()
        self.pass_time(WHILE)
        self.assertEqual(others._growing.available, there)
        self.failureResultOf(others.prefetch(there, 5), ReadElsewhere)
        others.close()

    def test_another_copy_is_never_mixed_in(self):
        mine, others = self.open_both()
        there = others._growing.available
        third = self.begun_anew()
        third.thd_commit()
        os.close(third.fd)
        self.pass_time(WHILE)
        self.assertEqual(others._growing.available, there)
        self.failureResultOf(others.prefetch(there, 5), ReadElsewhere)
        others.close()
        self.assertEqual(self.content(self.opened(cache=self.other)), DATA)

    def test_finished_by_a_third_one(self):
        mine, others = self.open_both()
        self.die(self.cache)
        third, _ = self.room.thd_claim(IMAGE, SIZE, [])
        os.pwrite(third.fd, DATA, 0)
        third.thd_commit()
        os.close(third.fd)
        self.pass_time(WHILE)
        self.assertEqual(self.content(others), DATA)

    def test_another_file_was_finished_by_a_third_one(self):
        mine, others = self.open_both()
        there = others._growing.available
        self.room.thd_drop([IMAGE], unfinished=True)
        self.die(self.cache)
        third, _ = self.room.thd_claim(IMAGE, SIZE, [])
        os.pwrite(third.fd, b"x" * SIZE, 0)
        third.thd_commit()
        os.close(third.fd)
        self.pass_time(WHILE)
        self.failureResultOf(others.prefetch(there, 5), ReadElsewhere)
        others.close()

    def test_full_disk_of_the_one_that_fills(self):
        mine, others = self.open_both()
        there = others._growing.available
        self.patch(os, "pwrite", _full(os.pwrite))
        self.store.let()
        self.pass_time(WHILE)
        for reader in (mine, others):
            self.assertEqual(self.successResultOf(reader.prefetch(0, SIZE)), there)
            self.failureResultOf(reader.prefetch(there, 5), ReadElsewhere)
            reader.close()
        self.assertAllQuiet()

    def test_who_fills_is_stopped_and_the_other_goes_on_elsewhere(self):
        mine, others = self.open_both()
        there = others._growing.available
        waiting = others.prefetch(there, 5)
        self.pass_time(PATIENCE + WHILE)
        self.failureResultOf(waiting, ReadElsewhere)
        self.assertEqual(self.successResultOf(others.prefetch(0, SIZE)), there)
        others.close()
        # It may go on again.
        self.store.let()
        self.assertEqual(self.content(mine), DATA)
        self.assertAllQuiet("")

    def test_reader_of_the_other_goes_away(self):
        mine, others = self.open_both()
        others.close()
        self.assertEqual((self.other._at_work, self.other._copying), (set(), {}))
        self.store.let()
        self.assertEqual(self.content(mine), DATA)
        self.assertAllQuiet("")

    def test_copy_that_was_made_while_it_was_claimed(self):
        claim = self.keeper().claim

        async def late(*args, **more):
            self.write(IMAGE, DATA)
            return await claim(*args, **more)

        self.cache.keeper.claim = late
        self.assertEqual(self.content(self.opened()), DATA)
        self.assertEqual(self.store.opened, [])
        self.assertAllQuiet("")

    def test_withheld_piece_is_withheld_everywhere(self):
        self.store.data = DATA[:-1] + b"x"
        mine, others = self.open_both(SIZE - 1)
        for reader in (mine, others):
            self.assertLessEqual(reader._growing.readable, SIZE - WITHHELD)
        mine.close()
        others.close()


async def _never(data):
    raise copying_module.ReadElsewhere("dead")


def _full(pwrite):
    def full(fd, data, at):
        if len(data) > 100:
            raise OSError(errno.ENOSPC, "full")
        return pwrite(fd, data, at)

    return full
