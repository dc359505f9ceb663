"""Writing a copy: the bytes, what breaks off, and how it ends."""

import errno
import hashlib
import os

from glance.cache import filling
from glance.cache.claims import BAD, GIVEN_UP, GOOD, OPEN, thd_read_state
from glance.cache.filling import PAUSES, PIECE_TIME, Filler, NoData
from glance.cache.growing import GrowingFile
from glance.cache.pieces import LARGEST, LARGEST_OF_FILE, SMALLEST, Pace, Pieces
from glance.cache.proof import expected_hashes
from glance.domain.errors import Unavailable
from glance.stores.errors import RemoteUnavailable, StoreError, StoreTimeout
from tests.unit.cache.doubles import (
    IMAGE,
    KIB,
    MIB,
    CacheCase,
    HeldPool,
    Store,
    image_of,
)

SIZE = 5 * MIB + 123
DATA = os.urandom(SIZE)
AWAY = RemoteUnavailable("The server is away.")


class ExpectationTests(CacheCase):
    def test_hashes_that_are_known(self):
        image = image_of(b"data")
        md5 = hashlib.md5(b"data", usedforsecurity=False).hexdigest()
        sha512 = hashlib.sha512(b"data").hexdigest()
        self.assertEqual(expected_hashes(image), {"md5": md5, "sha512": sha512})
        image.checksum = md5.upper()
        image.os_hash_value = None
        self.assertEqual(expected_hashes(image), {"md5": md5})

    def test_hashes_that_nobody_can_compute(self):
        for algorithm in ("of-the-future", "shake_128", None):
            image = image_of(b"data", os_hash_algo=algorithm, checksum=None)
            self.assertEqual(expected_hashes(image), {})


class FillCase(CacheCase):
    def setUp(self):
        super().setUp()
        self.store = Store(DATA)
        self.image = image_of(DATA)
        self.pieces = Pieces()
        self.told = []

    def fill(self, pool=None, attempt=0, resume=True, timeout=0):
        """Begin to fill; return what fires at the end."""
        self.claim, _ = self.room.thd_claim(IMAGE, self.image.size, [], resume=resume)
        self.addCleanup(self.claim.abandon)
        self.lock = os.open(self.directory.fill_lock(IMAGE), os.O_RDONLY)
        self.addCleanup(os.close, self.lock)
        self.growing = GrowingFile(self.image.size)
        self.growing.attach(self.claim.fd)
        self.filler = Filler(
            self.image,
            self.store.open,
            self.claim,
            self.growing,
            self.keeper(),
            self.threads(pool, timeout),
            _Hashing(),
            self.clock,
            self.pieces,
            attempt,
        )
        return self.begin(self.filler.run())

    def state(self):
        return thd_read_state(self.lock)[1]

    def partial(self):
        try:
            return (self.root / "incomplete" / IMAGE).read_bytes()
        except FileNotFoundError:
            return None

    def assertOver(self, verdict, where=None):
        """It ended so, and left nothing but a file in one place."""
        self.assertEqual(self.growing.verdict, verdict)
        for place in ("", "incomplete", "invalid"):
            self.assertEqual(self.names(place), [IMAGE] if place == where else [])
        self.assertEqual(self.names("locks"), ["admission", "probe"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # One is the test's.
        self.assertEqual(self.descriptors(), 1)
        self.assertTrue(all(reader.closed for reader in self.store.readers))
        self.assertEqual(self.pieces.fills, 0)


class _Hashing:
    def callInThread(self, function):
        function()


class WellTests(FillCase):
    def test_whole(self):
        self.store.let()
        self.assertTrue(self.successResultOf(self.fill()))
        self.assertEqual((self.root / IMAGE).read_bytes(), DATA)
        self.assertOver(GOOD, "")
        self.assertEqual(self.state(), GOOD)
        self.assertEqual(self.store.opened, [0])
        entry = self.index.known[IMAGE]
        self.assertEqual((entry.size, entry.hits, entry.checksum), (SIZE, 0, None))

    def test_every_byte_is_read_once(self):
        self.store.let()
        self.fill()
        at = 0
        for offset, length in self.store.reads:
            self.assertEqual(offset, at)
            at += length
        self.assertEqual(at, SIZE)

    def test_grows_piece_by_piece(self):
        filling_ = self.fill()
        seen = []
        for allowed in range(0, SIZE + MIB, 100 * KIB):
            self.store.let(allowed)
            self.assertLessEqual(self.growing.available, allowed)
            self.assertEqual(self.partial() or DATA, DATA[: len(self.partial() or DATA)])
            seen.append(self.growing.available)
        self.successResultOf(filling_)
        self.assertGreater(len(set(seen)), 5)
        self.assertOver(GOOD, "")

    def test_verdict_comes_when_all_is_hashed_and_before_the_disk_is_waited_for(self):
        self.store.let()
        verdicts = []
        fsync = os.fsync

        def slow(fd):
            verdicts.append((self.growing.verdict, self.state()))
            fsync(fd)

        self.patch(os, "fsync", slow)
        self.successResultOf(self.fill())
        self.assertEqual(verdicts, [(GOOD, GOOD)])

    def test_slow_hashes_hold_it_up(self):
        class Slow:
            def __init__(self):
                self.jobs = []

            def callInThread(self, job):
                self.jobs.append(job)

        slow = Slow()
        self.patch(_Hashing, "callInThread", slow.callInThread)
        self.store.let()
        filling_ = self.fill()
        self.assertNoResult(filling_)
        # Not all of it may be in memory.
        self.assertLess(self.growing.available, SIZE)
        while slow.jobs:
            self.assertEqual(self.growing.verdict, OPEN)
            slow.jobs.pop(0)()
        self.successResultOf(filling_)
        self.assertOver(GOOD, "")

    def test_image_without_hashes(self):
        self.image = image_of(DATA, hashes=False)
        self.store.let()
        self.assertTrue(self.successResultOf(self.fill()))
        self.assertOver(GOOD, "")

    def test_goes_on_with_what_was_left(self):
        self.write(IMAGE, DATA[:MIB], "incomplete")
        filling_ = self.fill()
        # It can be read at once.
        self.assertEqual(self.growing.available, MIB)
        self.store.let()
        self.assertTrue(self.successResultOf(filling_))
        self.assertEqual((self.root / IMAGE).read_bytes(), DATA)
        self.assertEqual(self.store.reads[0][0], MIB)
        self.assertOver(GOOD, "")

    def test_what_was_left_can_be_read_before_it_was_hashed(self):
        self.write(IMAGE, DATA[:MIB], "incomplete")
        pool = HeldPool()
        filling_ = self.fill(pool)
        self.assertEqual(self.growing.available, MIB)
        self.store.let()
        pool.release_all()
        self.assertTrue(self.successResultOf(filling_))

    def test_what_was_left_is_given_out_at_once(self):
        self.write(IMAGE, DATA[: 3 * MIB], "incomplete")
        pool = HeldPool()
        self.fill(pool)
        self.assertEqual(self.growing.readable, 3 * MIB)
        self.assertEqual(self.store.opened, [])
        self.filler.stop()
        pool.release_all()
        self.assertOver(GIVEN_UP, "incomplete")

    def test_all_was_left(self):
        self.write(IMAGE, DATA, "incomplete")
        self.assertTrue(self.successResultOf(self.fill()))
        self.assertEqual(self.store.opened, [])
        self.assertOver(GOOD, "")

    def test_length_that_the_store_does_not_know(self):
        self.store.knows_size = False
        self.store.let()
        self.assertTrue(self.successResultOf(self.fill()))
        self.assertEqual(self.store.reads[-1], (SIZE, 1))
        self.assertOver(GOOD, "")

    def test_deleted_meanwhile(self):
        filling_ = self.fill()
        self.store.let(MIB)
        self.room.thd_drop([IMAGE], unfinished=True)
        self.store.let()
        self.assertFalse(self.successResultOf(filling_))
        self.assertOver(GOOD)
        self.assertEqual(self.index.known, {})

    def test_index_that_is_away_changes_nothing(self):
        self.index.error = Unavailable("The index is away.")
        self.store.let()
        self.assertTrue(self.successResultOf(self.fill()))
        self.assertOver(GOOD, "")


class PieceTests(FillCase):
    def test_fast_store_gives_large_ones(self):
        self.store.let()
        self.fill()
        lengths = [length for _, length in self.store.reads]
        self.assertEqual(lengths[0], SMALLEST)
        self.assertEqual(max(lengths), LARGEST)

    def test_slow_store_gives_small_ones(self):
        self.fill()
        while self.growing.available < SIZE // 2:
            self.clock.advance(1)
            self.store.let(self.store.reads[-1][0])
        self.assertEqual({length for _, length in self.store.reads}, {SMALLEST})
        self.filler.stop()

    def test_store_that_slows_down(self):
        self.fill()
        self.store.let(3 * MIB)
        self.assertEqual(self.store.reads[-1][1], LARGEST)
        for _ in range(2):
            self.clock.advance(1)
            # One piece of those that are asked for.
            self.store.let(self.growing.available + LARGEST)
        self.assertLess(self.store.reads[-1][1], LARGEST)
        self.filler.stop()

    def test_file_of_this_machine_gives_larger_ones(self):
        pace = Pace(self.pieces)
        for of_file, largest in ((False, LARGEST), (True, LARGEST_OF_FILE)):
            pace.begin(of_file=of_file)
            self.assertEqual(pace.size, SMALLEST)
            for _ in range(10):
                pace.took(0)
            self.assertEqual(pace.size, largest)
            pace.took(1)
            self.assertEqual(pace.size, largest if of_file else largest // 2)
            pace.took(3)
            self.assertLess(pace.size, largest)

    def test_many_fills_share_the_memory(self):
        pieces = Pieces()
        self.assertEqual(pieces.largest, LARGEST_OF_FILE)
        sizes = []
        for pieces.fills in (1, 10, 100, 1000):
            sizes.append(pieces.largest)
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertLess(sizes[2], LARGEST)
        self.assertEqual(sizes[3], SMALLEST)


class StoreTroubleTests(FillCase):
    def test_breaks_off_and_goes_on(self):
        filling_ = self.fill()
        self.store.let(2 * MIB)
        there = self.growing.available
        self.store.break_off(AWAY)
        self.assertNoResult(filling_)
        self.assertTrue(self.store.readers[0].closed)
        self.store.let()
        self.clock.advance(PAUSES[0])
        self.assertTrue(self.successResultOf(filling_))
        # The second time with another copy first, and from where it was.
        self.assertEqual(self.store.opened, [0, 1])
        first = next(o for o, _ in self.store.reads[1:] if o == there)
        self.assertEqual(first, there)
        self.assertOver(GOOD, "")

    def test_is_given_up_after_some_attempts(self):
        filling_ = self.fill()
        self.store.let(2 * MIB)
        self.store.error = AWAY
        self.store.break_off(AWAY)
        for pause in PAUSES:
            self.assertNoResult(filling_)
            self.clock.advance(pause)
        self.assertFalse(self.successResultOf(filling_))
        self.assertEqual(self.store.opened, [0, 1, 2, 3])
        self.assertOver(BAD, "invalid")
        self.assertEqual(self.state(), BAD)
        told = self.failureResultOf(self.growing.wait(1), RemoteUnavailable)
        self.assertEqual(told.getErrorMessage(), AWAY.message)

    def test_progress_gives_new_attempts(self):
        filling_ = self.fill()
        for n in range(1, 9):
            self.store.let(n * 600 * KIB)
            self.store.break_off(AWAY)
            self.assertNoResult(filling_)
            self.clock.advance(PAUSES[0])
        self.store.let()
        self.assertTrue(self.successResultOf(filling_))
        self.assertOver(GOOD, "")

    def test_cannot_be_opened(self):
        self.store.error = AWAY
        self.assertFalse(self.successResultOf(self.fill()))
        self.assertEqual(self.store.opened, [0])
        self.assertOver(BAD)
        self.failureResultOf(self.growing.wait(1), RemoteUnavailable)

    def test_has_no_data(self):
        self.store.data = None
        self.assertFalse(self.successResultOf(self.fill()))
        # Whoever reads the store tells it in the usual way.
        self.assertOver(GIVEN_UP)

    def test_has_no_data_any_more(self):
        filling_ = self.fill()
        self.store.let(2 * MIB)
        self.store.data = None
        self.store.break_off(AWAY)
        self.clock.pump(PAUSES)
        self.assertFalse(self.successResultOf(filling_))
        self.assertOver(BAD, "invalid")
        self.failureResultOf(self.growing.wait(1), NoData)

    def test_ends_early(self):
        self.store = Store(DATA[:-1], SIZE)
        self.store.let()
        filling_ = self.fill()
        self.clock.pump(PAUSES)
        self.assertFalse(self.successResultOf(filling_))
        self.assertOver(BAD, "invalid")

    def test_ends_early_and_nobody_could_tell_by_hashes(self):
        self.store = Store(DATA[:-1], SIZE)
        self.image = image_of(DATA, hashes=False)
        self.store.let()
        filling_ = self.fill()
        self.clock.pump(PAUSES)
        self.assertFalse(self.successResultOf(filling_))
        self.assertOver(BAD, "invalid")

    def test_ends_early_and_another_copy_does_not(self):
        """What came of a piece that was not whole counts for nothing."""
        self.store.data = DATA[:-1000]
        filling_ = self.fill()
        self.store.let(SIZE)
        self.store.data = DATA
        self.clock.advance(PAUSES[0])
        self.assertTrue(self.successResultOf(filling_))
        self.assertEqual((self.root / IMAGE).read_bytes(), DATA)
        self.assertOver(GOOD, "")

    def test_has_more_than_it_should(self):
        self.store = Store(DATA + b"x", SIZE)
        self.store.knows_size = False
        self.store.let()
        self.assertFalse(self.successResultOf(self.fill()))
        self.assertOver(BAD, "invalid")
        told = self.failureResultOf(self.growing.wait(1), StoreError)
        self.assertIn("longer", told.getErrorMessage())

    def test_does_not_say_that_it_ends(self):
        """All bytes are there: a server that says nothing more cannot keep them back."""
        self.store = Store(DATA + b"x", SIZE)
        self.store.knows_size = False
        self.store.let(SIZE)
        filling_ = self.fill()
        self.assertNoResult(filling_)
        self.clock.advance(PIECE_TIME)
        self.clock.advance(PAUSES[0])
        self.assertTrue(self.successResultOf(filling_))
        self.assertOver(GOOD, "")

    def test_has_another_length(self):
        self.store.size = SIZE - 1
        self.store.let()
        self.assertFalse(self.successResultOf(self.fill()))
        self.assertOver(BAD)

    def test_sends_nothing_for_too_long(self):
        filling_ = self.fill()
        self.store.let(2 * MIB)
        self.clock.advance(PIECE_TIME)
        self.assertTrue(self.store.readers[0].closed)
        self.store.let()
        self.clock.advance(PAUSES[0])
        self.assertTrue(self.successResultOf(filling_))

    def test_sends_nothing_at_all(self):
        filling_ = self.fill()
        self.clock.advance(PIECE_TIME)
        self.assertFalse(self.successResultOf(filling_))
        self.failureResultOf(self.growing.wait(1), StoreTimeout)
        self.assertOver(BAD)

    def test_begins_with_the_copy_that_it_is_told(self):
        self.store.let()
        self.fill(attempt=3)
        self.assertEqual(self.store.opened, [3])


class WrongDataTests(FillCase):
    def wrong(self, at):
        data = bytearray(DATA)
        data[at] ^= 1
        self.store = Store(bytes(data))
        self.store.let()

    def test_one_bit(self):
        for at in (0, SIZE // 2, SIZE - 1):
            self.wrong(at)
            self.assertFalse(self.successResultOf(self.fill()))
            self.assertOver(BAD, "invalid")
            self.assertEqual(self.state(), BAD)
            told = self.failureResultOf(self.growing.wait(1), StoreError).getErrorMessage()
            self.assertIn("md5 and sha512", told)
            self.assertEqual(self.index.known, {})
            os.close(self.lock)
            self.lock = os.open(os.devnull, os.O_RDONLY)
            (self.root / "invalid" / IMAGE).unlink()

    def test_any_hash_will_do(self):
        for fields, name in (({"checksum": None}, "sha512"), ({"os_hash_value": None}, "md5")):
            self.wrong(7)
            self.image = image_of(DATA, **fields)
            self.successResultOf(self.fill())
            self.assertEqual(self.growing.verdict, BAD)
            told = self.failureResultOf(self.growing.wait(1), StoreError).getErrorMessage()
            self.assertIn(f"another {name} than", told)

    def test_what_was_left_is_wrong(self):
        self.write(IMAGE, b"x" * MIB, "incomplete")
        self.store.let()
        self.assertFalse(self.successResultOf(self.fill()))
        self.assertOver(BAD, "invalid")


class CacheTroubleTests(FillCase):
    def test_disk_that_is_full(self):
        filling_ = self.fill()
        self.store.let(MIB)
        self.refuse("pwrite", errno.ENOSPC)
        there = self.growing.available
        self.store.let()
        self.assertFalse(self.successResultOf(filling_))
        self.assertOver(GIVEN_UP)
        self.assertGreater(there, 0)

    def refuse(self, name, number):
        real = getattr(os, name)

        def refuse(fd, *args):
            if fd == self.claim.fd:
                raise OSError(number, os.strerror(number))
            return real(fd, *args)

        self.patch(os, name, refuse)

    def test_part_of_a_piece_that_still_fitted(self):
        """What was written of it is not counted: it may be written again."""
        pwrite = os.pwrite
        self.patch(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:1000], at))
        self.store.let()
        self.assertTrue(self.successResultOf(self.fill()))
        self.assertEqual((self.root / IMAGE).read_bytes(), DATA)

    def test_disk_that_fails_at_the_end(self):
        self.store.let()
        self.patch(os, "fsync", _broken)
        self.assertFalse(self.successResultOf(self.fill()))
        # Who reads has what is right, but nothing stays.
        self.assertOver(GOOD)
        self.assertEqual(self.index.known, {})

    def test_what_was_left_cannot_be_read(self):
        self.write(IMAGE, DATA[:MIB], "incomplete")
        self.patch(filling, "thd_read", _unreadable)
        self.assertFalse(self.successResultOf(self.fill()))
        self.assertOver(GIVEN_UP)
        self.assertEqual(self.store.opened, [])

    def test_disk_that_hangs(self):
        pool = HeldPool()
        self.store.let()
        filling_ = self.fill(pool, timeout=30)
        self.assertEqual(len(pool.waiting), 1)
        self.clock.advance(30)
        self.assertEqual(self.growing.verdict, GIVEN_UP)
        # The file is closed only when the write has truly ended.
        fd = self.claim.fd
        os.fstat(fd)
        pool.release_all()
        self.assertFalse(self.successResultOf(filling_))
        self.assertRaises(OSError, os.fstat, fd)

    def test_claim_that_cannot_be_given_back(self):
        """The right ends all the same, as with a process that dies."""
        self.store.let(MIB)
        filling_ = self.fill()

        def busy(*args, **more):
            raise Unavailable("busy")

        self.patch(type(self.directory), "thd_alone", busy)
        self.filler.stop()
        self.assertFalse(self.successResultOf(filling_))
        self.assertTrue(self.claim.ended)


def _broken(*args):
    raise OSError(errno.EIO, "broken")


def _unreadable(*args):
    raise StoreError("cannot be read")


class StoppingTests(FillCase):
    def stopped(self, filling_):
        self.assertTrue(self.filler.stop())
        self.assertFalse(self.successResultOf(filling_))

    def test_in_the_middle(self):
        filling_ = self.fill()
        self.store.let(2 * MIB)
        there = self.growing.available
        self.stopped(filling_)
        self.assertOver(GIVEN_UP, "incomplete")
        self.assertEqual(self.partial(), DATA[:there])
        self.assertEqual(self.state(), OPEN)

    def test_before_anything_was_read(self):
        filling_ = self.fill()
        self.stopped(filling_)
        self.assertOver(GIVEN_UP)

    def test_while_the_store_is_opened(self):
        self.store.held = []
        filling_ = self.fill()
        self.store.readers.clear()
        self.stopped(filling_)
        self.assertOver(GIVEN_UP)

    def test_between_attempts(self):
        filling_ = self.fill()
        self.store.let(2 * MIB)
        self.store.break_off(AWAY)
        self.stopped(filling_)
        self.assertOver(GIVEN_UP, "incomplete")

    def test_before_it_begins(self):
        self.write(IMAGE, DATA[:MIB], "incomplete")
        self.claim, _ = self.room.thd_claim(IMAGE, SIZE, [])
        growing = GrowingFile(SIZE)
        filler = Filler(
            self.image, self.store.open, self.claim, growing, self.keeper(), self.threads(),
            _Hashing(), self.clock, self.pieces,
        )  # fmt: skip
        self.assertTrue(filler.stop())
        self.assertFalse(self.run_now(filler.run()))
        self.assertEqual(self.partial(), DATA[:MIB])
        self.assertEqual(self.store.opened, [])
        self.assertNothingOpen()

    def test_during_a_write(self):
        pool = HeldPool()
        self.store.let(2 * MIB)
        filling_ = self.fill(pool)
        self.assertTrue(self.filler.stop())
        self.assertNoResult(filling_)
        pool.release_all()
        self.assertFalse(self.successResultOf(filling_))
        self.assertOver(GIVEN_UP, "incomplete")
        self.assertEqual(self.partial(), DATA[:SMALLEST])

    def test_not_when_all_is_there(self):
        pool = HeldPool()
        self.store.let()
        filling_ = self.fill(pool)
        while self.growing.verdict == OPEN:
            pool.release()
        self.assertFalse(self.filler.stop())
        pool.release_all()
        self.assertTrue(self.successResultOf(filling_))
        self.assertOver(GOOD, "")
