"""Reading a copy while it grows: what is given out when, and how it ends."""

import errno
import os

from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from glance.cache.claims import BAD, GIVEN_UP, GOOD
from glance.cache.growing import WITHHELD, CopyReader, GrowingFile, GrowingReader
from glance.cache.interfaces import ICachedReader
from glance.stores.errors import ReadElsewhere, StoreError
from tests.unit.cache.doubles import IMAGE, MIB, CacheCase, HeldPool

SIZE = 3 * MIB
DATA = os.urandom(SIZE)
#: What may be given out before the verdict.
OPEN_PART = SIZE - WITHHELD


class GrowingCase(CacheCase):
    def setUp(self):
        super().setUp()
        self.path = self.write(IMAGE, b"", "incomplete")
        self.growing = GrowingFile(SIZE)
        self.fd = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)
        self.growing.attach(self.fd)
        self.closed = []

    def grow(self, size):
        with self.path.open("ab") as file:
            file.write(DATA[file.tell() : size])
        self.growing.grown(size)

    def reader(self, pool=None):
        reader = GrowingReader(self.threads(pool), self.growing, lambda: self.closed.append(reader))
        self.addCleanup(reader.close)
        return reader

    def count(self, reader, offset=0, length=SIZE):
        return self.successResultOf(reader.prefetch(offset, length))


class FileTests(GrowingCase):
    def test_last_piece_is_withheld(self):
        self.assertEqual(self.growing.readable, 0)
        self.growing.grown(MIB)
        self.assertEqual(self.growing.readable, MIB)
        self.growing.grown(SIZE)
        self.assertEqual(self.growing.readable, OPEN_PART)
        self.growing.settle(GOOD)
        self.assertEqual(self.growing.readable, SIZE)

    def test_small_ones_are_withheld_whole(self):
        for size in (1, WITHHELD - 1, WITHHELD):
            growing = GrowingFile(size)
            growing.grown(size)
            self.assertEqual(growing.readable, 0)
            growing.settle(GOOD)
            self.assertEqual(growing.readable, size)
        growing = GrowingFile(WITHHELD + 1)
        growing.grown(WITHHELD + 1)
        self.assertEqual(growing.readable, 1)

    def test_nothing_more_of_a_bad_one(self):
        self.growing.grown(MIB)
        self.growing.settle(BAD)
        self.assertEqual(self.growing.readable, 0)

    def test_first_verdict_counts(self):
        self.growing.settle(GIVEN_UP)
        self.growing.settle(GOOD)
        self.growing.grown(SIZE)
        self.assertEqual((self.growing.verdict, self.growing.readable), (GIVEN_UP, 0))

    def test_never_shrinks(self):
        self.growing.grown(MIB)
        self.growing.grown(5)
        self.assertEqual(self.growing.readable, MIB)

    def test_wakes_those_who_can_go_on(self):
        waiting = [self.growing.wait(until) for until in (1, MIB, MIB + 1, SIZE)]
        self.growing.grown(MIB)
        self.assertEqual([bool(w.called) for w in waiting], [True, True, False, False])
        self.growing.settle(GOOD)
        for one in waiting:
            self.successResultOf(one)

    def test_one_that_is_woken_may_disturb_the_others(self):
        first, second = self.growing.wait(1), self.growing.wait(1)
        second.addErrback(lambda f: f.trap(CancelledError))
        first.addCallback(lambda _: second.cancel())
        self.growing.grown(1)
        self.successResultOf(second)

    def test_how_it_ends(self):
        told = StoreError("broken in its own way")
        for verdict, error, kind, text in (
            (BAD, None, StoreError, "not what the catalogue says"),
            (BAD, told, StoreError, "broken in its own way"),
            (GIVEN_UP, None, ReadElsewhere, "does without"),
        ):
            growing = GrowingFile(SIZE)
            waiting = [growing.wait(1), growing.wait(2)]
            growing.settle(verdict, error)
            for one in (*waiting, growing.wait(3)):
                self.assertIn(text, self.failureResultOf(one, kind).getErrorMessage())

    def test_cancelled_waiting_is_forgotten(self):
        waiting = self.growing.wait(1)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.growing.grown(MIB)


class ReaderTests(GrowingCase):
    def test_is_a_reader(self):
        verifyObject(ICachedReader, self.reader())
        self.assertEqual(self.reader().size, SIZE)

    def test_brings_in_what_there_is(self):
        reader = self.reader()
        self.grow(MIB)
        self.assertEqual(self.count(reader), MIB)
        self.assertEqual(self.count(reader, 5, 10), 10)
        self.assertEqual(self.count(reader, MIB - 3, 10), 3)

    def test_waits_while_there_is_nothing(self):
        reader = self.reader()
        self.grow(MIB)
        waiting = reader.prefetch(MIB, MIB)
        self.assertNoResult(waiting)
        self.grow(MIB + 7)
        self.assertEqual(self.successResultOf(waiting), 7)

    def test_waits_for_the_verdict_at_the_end(self):
        reader = self.reader()
        self.grow(SIZE)
        self.assertEqual(self.count(reader), OPEN_PART)
        waiting = reader.prefetch(OPEN_PART, MIB)
        self.assertNoResult(waiting)
        self.growing.settle(GOOD)
        self.assertEqual(self.successResultOf(waiting), WITHHELD)

    def test_sends_what_was_written(self):
        reader = self.reader()
        self.grow(MIB)
        self.assertEqual(os.pread(reader.fileno(), MIB, 0), DATA[:MIB])

    def test_reads_as_soon_as_all_of_it_is_there(self):
        reader = self.reader()
        waiting = reader.read(MIB - 2, 4)
        self.grow(MIB)
        self.assertNoResult(waiting)
        self.grow(MIB + 2)
        self.assertEqual(self.successResultOf(waiting), DATA[MIB - 2 : MIB + 2])
        last = reader.read(SIZE - 2, 100)
        self.grow(SIZE)
        self.assertNoResult(last)
        self.growing.settle(GOOD)
        self.assertEqual(self.successResultOf(last), DATA[-2:])
        self.assertEqual(self.successResultOf(reader.read(SIZE, 5)), b"")

    def test_given_up_what_is_there_is_still_given_out(self):
        reader = self.reader()
        self.grow(MIB)
        waiting = reader.prefetch(MIB, 5)
        self.growing.settle(GIVEN_UP)
        self.failureResultOf(waiting, ReadElsewhere)
        self.assertEqual(self.count(reader), MIB)
        self.failureResultOf(reader.read(MIB - 1, 2), ReadElsewhere)

    def test_bad_gives_out_nothing(self):
        reader = self.reader()
        self.grow(SIZE)
        waiting = [reader.prefetch(OPEN_PART, 5), reader.read(OPEN_PART, 5)]
        self.growing.settle(BAD)
        for one in (*waiting, reader.prefetch(0, 5), reader.read(0, 5)):
            self.assertNotIsInstance(self.failureResultOf(one, StoreError).value, ReadElsewhere)

    def test_outlives_the_fill(self):
        reader = self.reader()
        self.grow(SIZE)
        self.growing.settle(GOOD)
        os.rename(self.path, self.root / IMAGE)
        self.assertEqual(self.successResultOf(reader.read(0, SIZE)), DATA)

    def test_what_is_not_in_memory_any_more_is_brought_in(self):
        pool = HeldPool()
        reader = self.reader(pool)
        self.grow(SIZE)
        self.growing.settle(GOOD)

        def not_cached(*args):
            raise OSError(errno.EAGAIN, "not here")

        self.patch(os, "preadv", not_cached)
        # What was written last is taken to be there.
        self.assertEqual(self.count(reader, 0, 5), 5)
        self.growing.available = 100 * MIB
        waiting = reader.prefetch(0, 5)
        self.assertNoResult(waiting)
        pool.release_all()
        self.assertEqual(self.successResultOf(waiting), 5)

    def test_closing_ends_waiting(self):
        reader = self.reader()
        waiting = [reader.prefetch(0, 5), reader.read(0, 5)]
        reader.close()
        for one in waiting:
            self.assertNotIsInstance(self.failureResultOf(one, StoreError).value, ReadElsewhere)
        reader.close()
        self.assertEqual(self.closed, [reader])
        self.growing.grown(MIB)
        for one in (reader.prefetch(0, 5), reader.read(0, 5)):
            self.failureResultOf(one, StoreError)

    def test_every_reader_has_a_descriptor_of_its_own(self):
        readers = [self.reader() for _ in range(3)]
        self.assertEqual(self.descriptors(), 4)
        for reader in readers:
            reader.close()
        self.assertEqual(self.descriptors(), 1)


class CompleteTests(CacheCase):
    def reader(self, pool=None):
        fd = os.open(self.write(IMAGE, DATA), os.O_RDONLY)
        self.sent = []
        reader = CopyReader(self.threads(pool), fd, SIZE, lambda: self.sent.append(IMAGE))
        self.addCleanup(reader.close)
        return reader

    def test_reads(self):
        reader = self.reader()
        verifyObject(ICachedReader, reader)
        self.assertEqual(self.successResultOf(reader.read(5, SIZE)), DATA[5:])
        self.assertEqual(self.successResultOf(reader.prefetch(0, SIZE)), SIZE)

    def test_tells_that_it_was_sent(self):
        reader = self.reader()
        self.assertEqual(self.sent, [])
        reader.delivered()
        self.assertEqual(self.sent, [IMAGE])

    def test_disk_that_fails_is_no_reason_to_break_off(self):
        reader = self.reader()

        def broken(*args):
            raise OSError(errno.EIO, "broken")

        for name in ("pread", "preadv", "posix_fadvise"):
            self.patch(os, name, broken)
        self.failureResultOf(reader.read(0, 5), ReadElsewhere)
        self.failureResultOf(reader.prefetch(0, 5), ReadElsewhere)
