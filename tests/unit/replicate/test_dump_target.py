from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from dataclasses import replace
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from glance.domain.errors import Invalid
from glance.replicate import dump_writing
from glance.replicate.dump_documents import read_dump, write_dump
from glance.replicate.dump_source import DumpSource
from glance.replicate.dump_target import DumpTarget
from glance.replicate.errors import DumpBusy, DumpError, NoRoom, WrongData
from glance.replicate.hashing import MOST_WAITING
from glance.replicate.outcome import Deed, Outcome
from tests.unit.replicate.doubles import (
    IMAGE,
    OTHER,
    Broken,
    DumpTestCase,
    MemorySource,
    Stream,
    record_of,
)

DATA = bytes(range(256)) * 5
PART = f".{IMAGE}.part"
IMG = f"{IMAGE}.img"
SUM = f"{IMAGE}.sha512"
LOCK = ".glance-replicator.lock"
DONE = [LOCK, IMAGE, IMG, SUM]


class TargetTestCase(DumpTestCase):
    def setUp(self):
        super().setUp()
        self.target = self.make()
        self.source = MemorySource(DATA)
        self.moved = []

    def make(self, threads=None, **options):
        target = DumpTarget(
            self.directory, self.clock, threads or self.threads, chunksize=100, **options
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(target.close()))
        return target

    def putting(self, record, target=None, there=None):
        return (target or self.target).put(record, there, self.source, self.moved.append)

    def put(self, record, target=None):
        return self.run_now(self.putting(record, target))

    def names(self):
        return sorted(os.listdir(self.directory))

    def check_whole(self, record):
        self.assertEqual(self.names(), DONE)
        self.assertEqual(self.read(IMG), DATA)
        self.assertEqual(self.read(IMAGE), write_dump(record))
        self.assertEqual(self.read(SUM).decode(), f"{hashlib.sha512(DATA).hexdigest()}  {IMG}\n")


class WritingTests(TargetTestCase):
    def test_an_image_is_written(self):
        record = record_of(DATA)
        outcome = self.put(record)
        self.assertEqual(outcome, Outcome(IMAGE, Deed.COPIED, size=len(DATA)))
        self.assertEqual(sum(self.moved), len(DATA))
        self.check_whole(record)

    def test_what_gets_a_name_is_on_the_disk_and_the_description_is_the_last(self):
        done = []
        rename = os.rename

        def sync(fd):
            done.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))}")

        def note(old, new, **options):
            done.append(f"rename {new}")
            rename(old, new, **options)

        self.patch(os, "fsync", sync)
        self.patch(os, "rename", note)
        self.put(record_of(DATA))
        folder = f"sync {os.path.basename(self.directory)}"
        self.assertEqual(
            done,
            [
                f"sync {PART}", f"rename {IMG}",
                f"sync .{SUM}.new", f"rename {SUM}", folder,
                f"sync .{IMAGE}.new", f"rename {IMAGE}", folder,
            ],
        )  # fmt: skip

    def test_sha512sum_checks_it(self):
        self.put(record_of(DATA))
        subprocess.run(["sha512sum", "--strict", "-c", SUM], cwd=self.directory, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip

    def test_what_was_written_is_found_and_loaded(self):
        record = record_of(DATA, members={"p": "accepted"}, tags=frozenset("a"))
        self.put(record)
        self.assertEqual(self.all_of(self.target), [record])
        self.assertEqual(self.all_of(DumpSource(self.directory, None, self.threads)), [record])

    def test_again_nothing_is_done(self):
        record = record_of(DATA)
        self.put(record)
        os.utime(self.path(IMAGE), (1, 1))
        there = self.all_of(self.target)[0]
        self.assertEqual(self.target.foresee(record, there), Outcome(IMAGE, Deed.SAME))
        self.assertEqual(self.put(record), Outcome(IMAGE, Deed.SAME))
        self.assertEqual(os.stat(self.path(IMAGE)).st_mtime, 1)
        self.assertEqual(self.source.opened, [0])

    def test_a_description_alone_is_brought_up_to_date(self):
        self.put(record_of(DATA, members={"p": "accepted"}))
        changed = record_of(DATA, updated_at="2026-02-02T00:00:00Z", properties={"a": "b"})
        self.assertEqual(self.put(changed), Outcome(IMAGE, Deed.UPDATED))
        # Nobody asked for the members this time.
        self.check_whole(replace(changed, members={"p": "accepted"}))
        self.assertEqual(self.source.opened, [0])

    def test_an_image_without_data_has_a_file_without_data(self):
        self.source = MemorySource(b"")
        self.put(record_of(b""))
        self.assertEqual(self.read(IMG), b"")
        self.assertEqual(self.names(), DONE)

    def test_the_hash_may_be_any(self):
        for known in (
            {"hash_algorithm": "sha256", "hash_value": hashlib.sha256(DATA).hexdigest()},
            {"hash_algorithm": None, "hash_value": None},
            {"hash_algorithm": "unheard-of", "hash_value": "ab"},
            {"hash_algorithm": None, "hash_value": None, "checksum": None},
            {"hash_algorithm": None, "hash_value": None, "checksum": None, "size": None},
        ):
            record = record_of(DATA, **known)
            self.put(record)
            self.check_whole(record)
            self.run_now(self.target.remove(record))

    def test_what_is_not_active_is_left_out(self):
        outcome = self.put(record_of(DATA, status="queued"))
        self.assertEqual(outcome, Outcome(IMAGE, Deed.SKIPPED, "it is queued on the source"))
        self.assertEqual(self.names(), [LOCK])

    def test_some_is_not_replicated(self):
        target = self.make(dontreplicate={"name", "tags", "updated_at"})
        record = record_of(DATA, tags=frozenset("a"), updated_at="2026-02-02T00:00:00Z")
        self.put(record, target)
        found = read_dump(self.read(IMAGE), "")
        self.assertEqual(found.fields, {"visibility": "private"})
        self.assertIsNone(found.tags)
        self.assertEqual(found.updated_at, record.updated_at)
        self.assertEqual(self.put(record, target).deed, Deed.SAME)

    def test_only_ids_become_names(self):
        for odd in ("../x", "x", IMAGE + "/", ""):
            with self.subTest(odd):
                self.fails(self.putting(record_of(DATA, odd)), Invalid)
                self.fails(self.target.remove(record_of(DATA, odd)), Invalid)

    def test_removing_leaves_nothing(self):
        record = record_of(DATA)
        self.put(record)
        self.write(PART, b"x")
        self.run_now(self.target.remove(record))
        self.run_now(self.target.remove(record))
        self.assertEqual(self.names(), [LOCK])


class MetadataOnlyTests(TargetTestCase):
    def test_descriptions_alone_are_written(self):
        target = self.make(metaonly=True)
        record = record_of(DATA)
        self.assertEqual(target.foresee(record, None), Outcome(IMAGE, Deed.COPIED))
        self.assertEqual(self.put(record, target), Outcome(IMAGE, Deed.COPIED))
        self.assertEqual(self.names(), [LOCK, IMAGE])
        self.assertEqual(self.source.opened, [])
        self.assertEqual(self.put(record, target).deed, Deed.SAME)
        changed = replace(record, properties={"a": "b"})
        self.assertEqual(self.put(changed, target).deed, Deed.UPDATED)

    def test_their_data_is_got_later(self):
        record = record_of(DATA)
        self.put(record, only := self.make(metaonly=True))
        self.run_now(only.close())
        there = self.all_of(self.target)[0]
        expected = Outcome(IMAGE, Deed.COMPLETED, size=len(DATA))
        self.assertEqual(self.target.foresee(record, there), expected)
        self.assertEqual(self.put(record), expected)
        self.check_whole(record)


class ResumingTests(TargetTestCase):
    def breaking(self, count):
        return lambda data, offset: Stream(
            data[offset : offset + count], offset, error=Broken("broken")
        )

    def test_what_came_before_a_break_stays_and_is_gone_on_from(self):
        record = record_of(DATA)
        self.source.streams = [self.breaking(500), self.breaking(200)]
        self.fails(self.putting(record), Broken)
        self.assertEqual(self.names(), [PART, LOCK])
        self.fails(self.putting(record), Broken)
        outcome = self.put(record)
        self.assertEqual(self.source.opened, [0, 500, 700])
        self.assertEqual(outcome.size, len(DATA) - 700)
        self.assertEqual(outcome.notes, ("went on from byte 700",))
        self.check_whole(record)

    def test_a_source_that_begins_anew_is_followed(self):
        record = record_of(DATA)
        self.write(PART, DATA[:300])
        for start in (0, 100):
            self.source.streams = [lambda data, _: Stream(data[start:], start)]  # noqa: B023
            outcome = self.put(record)
            self.assertEqual(outcome.size, len(DATA) - start)
            self.check_whole(record)
            self.run_now(self.target.remove(record))
            self.write(PART, DATA[:300])

    def test_a_source_that_begins_too_late_is_refused(self):
        self.source.streams = [lambda data, _: Stream(data[5:], 5)] * 2
        error = self.fails(self.putting(record_of(DATA)), WrongData)
        self.assertIn("does not begin where it was asked to", error.message)

    def test_what_is_left_of_other_data_is_thrown_away_once(self):
        record = record_of(DATA)
        self.write(PART, b"x" * 300)
        outcome = self.put(record)
        self.assertEqual(self.source.opened, [300, 0])
        self.assertEqual(outcome.notes, ())
        self.assertEqual(outcome.size, len(DATA) - 300 + len(DATA))
        self.check_whole(record)

    def test_all_of_the_data_is_enough(self):
        self.write(PART, DATA)
        outcome = self.put(record_of(DATA))
        self.assertEqual((outcome.size, self.source.opened), (0, []))
        self.check_whole(record_of(DATA))

    def test_more_than_all_of_the_data_is_not(self):
        self.write(PART, DATA + b"x")
        self.put(record_of(DATA))
        self.assertEqual(self.source.opened, [0])
        self.check_whole(record_of(DATA))

    def test_without_a_hash_it_begins_anew(self):
        record = record_of(DATA, checksum=None, hash_value=None, hash_algorithm=None)
        self.write(PART, DATA[:300])
        self.put(record)
        self.assertEqual(self.source.opened, [0])
        self.check_whole(record)

    def test_data_under_its_name_counts_if_its_hash_fits(self):
        record = record_of(DATA)
        self.write(IMG, DATA)
        self.assertEqual(self.put(record), Outcome(IMAGE, Deed.COMPLETED))
        self.assertEqual(self.source.opened, [])
        self.check_whole(record)

    def test_data_under_its_name_is_replaced_otherwise(self):
        record = record_of(DATA)
        for wrong in (DATA[:-1], DATA[:-1] + b"x"):
            self.write(IMG, wrong)
            self.put(record)
            self.check_whole(record)
            self.run_now(self.target.remove(record))
        self.assertEqual(self.source.opened, [0, 0])

    def test_a_dump_of_other_days_is_taken_over(self):
        record = record_of(DATA, tags=frozenset("a"))
        self.write(IMG, DATA)
        self.write(
            IMAGE,
            b'{"id": "%s", "status": "active", "is_public": false, "size": %d, "checksum": "%s",'
            b' "properties": {}}' % (IMAGE.encode(), len(DATA), record.checksum.encode()),
        )
        self.assertEqual(self.put(record).deed, Deed.COMPLETED)
        self.assertEqual(self.source.opened, [])
        self.check_whole(record)

    def test_other_data_of_the_same_id_is_replaced(self):
        other = record_of(DATA[::-1])
        self.source.data = DATA[::-1]
        self.put(other)
        self.source.data = DATA
        record = record_of(DATA)
        self.all_of(self.target)
        expected = Outcome(IMAGE, Deed.UPDATED, size=len(DATA))
        self.assertEqual(self.target.foresee(record, other), expected)
        self.assertEqual(self.put(record), expected)
        self.check_whole(record)

    def test_a_description_of_other_data_is_gone_when_that_is(self):
        self.source.data = DATA[::-1]
        self.put(record_of(DATA[::-1]))
        self.source.data = DATA
        full = OSError(errno.ENOSPC, "full")
        with mock.patch.object(dump_writing.os, "fsync", side_effect=[None, full]):
            self.fails(self.putting(record_of(DATA)), NoRoom)
        self.assertEqual(self.read(IMG), DATA)
        self.assertNotIn(IMAGE, self.names())

    def test_data_that_was_cut_or_is_elsewhere_is_got_again(self):
        record = record_of(DATA)

        def cut():
            os.truncate(self.path(IMG), 5)

        def move():
            os.rename(self.path(IMG), self.path("elsewhere"))
            os.symlink(self.path("elsewhere"), self.path(IMG))

        def remove():
            os.unlink(self.path(IMG))

        for spoil in (cut, move, remove):
            self.put(record)
            spoil()
            self.source.opened.clear()
            self.assertIn(self.put(record).deed, (Deed.COMPLETED, Deed.UPDATED))
            self.assertEqual(self.source.opened, [0])
            self.assertFalse(os.path.islink(self.path(IMG)))
            self.assertEqual(self.read(IMG), DATA)

    def test_a_description_that_cannot_be_read_is_written_anew(self):
        record = record_of(DATA)
        self.put(record)
        self.write(IMAGE, b"{")
        [there] = self.all_of(self.target)
        self.assertIn(self.path(IMAGE), there.trouble)
        self.assertEqual(self.target.foresee(record, there).deed, Deed.COPIED)
        self.assertEqual(self.put(record), Outcome(IMAGE, Deed.COMPLETED))
        self.check_whole(record)


class FailingTests(TargetTestCase):
    def test_wrong_data_leaves_nothing(self):
        self.source.data = DATA[:-1] + b"x"
        error = self.fails(self.putting(record_of(DATA)), WrongData)
        found = hashlib.sha512(self.source.data).hexdigest()
        self.assertIn(f"image {IMAGE} from memory: the data is not the image's", error.message)
        self.assertIn(found, error.message)
        self.assertEqual(self.names(), [LOCK])

    def test_data_of_another_length_leaves_nothing(self):
        for data in (DATA[:-1], DATA + b"x"):
            self.source.data = data
            self.fails(self.putting(record_of(DATA)), WrongData)
            self.assertEqual(self.names(), [LOCK])

    def test_more_data_than_there_should_be_is_not_waited_for(self):
        streams = [Stream(DATA * 1000), Stream(DATA * 1000)]
        self.source.streams = [lambda *_: streams[0], lambda *_: streams[1]]
        self.fails(self.putting(record_of(DATA)), WrongData)
        for stream in streams:
            self.assertGreater(len(stream.left), len(DATA) * 990)

    def test_data_that_became_wrong_on_its_way_is_got_once_more(self):
        self.source.streams = [lambda *_: Stream(DATA[:-1] + b"x")]
        self.assertEqual(self.put(record_of(DATA)).size, 2 * len(DATA))
        self.check_whole(record_of(DATA))

    def test_a_full_disk_leaves_nothing_and_is_named(self):
        stream = Stream(DATA)
        self.source.streams = [lambda *_: stream]
        full = OSError(errno.ENOSPC, "full")
        with mock.patch.object(dump_writing.os, "pwrite", side_effect=full):
            error = self.fails(self.putting(record_of(DATA)), NoRoom)
        self.assertEqual(
            error.message, f"{self.path(PART)} cannot be written: No space left on device."
        )
        self.assertTrue(stream.stopped)
        self.assertEqual(self.names(), [LOCK])

    def test_other_errors_leave_what_came(self):
        write = os.pwrite
        calls = iter([write, write])

        def fail_third(*args):
            done = next(calls, None)
            if done is None:
                raise OSError(errno.EIO, "broken")
            return done(*args)

        with mock.patch.object(dump_writing.os, "pwrite", side_effect=fail_third):
            error = self.fails(self.putting(record_of(DATA)), DumpError)
        self.assertEqual(error.message, f"{self.path(PART)} cannot be written: Input/output error.")
        self.assertEqual(self.names(), [PART, LOCK])
        self.put(record_of(DATA))
        self.check_whole(record_of(DATA))

    def test_a_full_disk_at_the_end_keeps_the_data(self):
        full = OSError(errno.ENOSPC, "full")
        # Of the data, and of what it is checked by.
        with mock.patch.object(dump_writing.os, "fsync", side_effect=[None, full]):
            error = self.fails(self.putting(record_of(DATA)), NoRoom)
        self.assertIn(self.path(SUM), error.message)
        self.assertEqual(self.names(), [LOCK, IMG])
        self.assertEqual(self.put(record_of(DATA)).deed, Deed.COMPLETED)
        self.check_whole(record_of(DATA))

    def test_a_source_that_does_not_open_leaves_what_there_was(self):
        self.write(PART, DATA[:300])
        self.source.streams = [Broken("broken")]
        self.fails(self.putting(record_of(DATA)), Broken)
        self.assertEqual(self.read(PART), DATA[:300])

    def test_a_directory_that_is_not_there_is_named(self):
        for path in (self.path("x"), self.path(IMG)):
            self.write(IMG, b"")
            target = DumpTarget(path, self.clock, self.threads)
            error = self.fails(target.open(), DumpError)
            self.assertIn(path, error.message)

    def test_two_do_not_write_at_once(self):
        self.run_now(self.target.open())
        other = self.make()
        error = self.fails(other.open(), DumpBusy)
        self.assertIn(f"Another glance-replicator writes to {self.directory}", error.message)
        self.run_now(self.target.close())
        self.run_now(other.open())


class LinkTests(TargetTestCase):
    def setUp(self):
        super().setUp()
        self.write("victim", b"precious")

    def check_victim(self):
        self.assertEqual(self.read("victim"), b"precious")

    def test_nothing_is_written_through_links(self):
        record = record_of(DATA)
        for link in (os.symlink, os.link):
            for name in (PART, IMG, SUM, IMAGE, f".{IMAGE}.new", f".{SUM}.new"):
                with self.subTest(name):
                    link(self.path("victim"), self.path(name))
                    self.put(record)
                    self.assertEqual(self.names(), sorted([*DONE, "victim"]))
                    self.assertEqual(self.read(IMG), DATA)
                    self.check_victim()
                    self.assertFalse(os.path.islink(self.path(name)))
                    self.run_now(self.target.remove(record))

    def test_a_lock_that_is_a_link_is_refused(self):
        os.symlink(self.path("victim"), self.path(LOCK))
        error = self.fails(self.target.open(), DumpError)
        self.assertIn(f"{self.path(LOCK)} is a symbolic link", error.message)
        self.check_victim()


class PaceTests(TargetTestCase):
    def test_a_slow_disk_holds_the_source_back(self):
        piece = 64 * 1024
        self.source.data = os.urandom(piece) * 200
        record = record_of(self.source.data)
        stream = Stream(self.source.data, piece=piece)
        self.source.streams = [lambda *_: stream]
        putting = Deferred.fromCoroutine(self.putting(record, self.make(self.slow)))
        most = 0
        while self.held.waiting:
            self.held.release()
            most = max(most, sum(self.moved) - self._size())
            self.assertTrue(stream.paused or not stream.left or self.moved == [])
        self.assertEqual(self.successResultOf(putting).deed, Deed.COPIED)
        self.assertLessEqual(most, 2 * MOST_WAITING + 2 * piece)
        self.assertGreater(most, MOST_WAITING)

    def _size(self):
        for name in (PART, IMG):
            if os.path.exists(self.path(name)):
                return os.path.getsize(self.path(name))
        return 0

    def test_cancelling_waits_for_what_is_being_written(self):
        stream = Stream(DATA, held=True)
        self.source.streams = [lambda *_: stream]
        putting = Deferred.fromCoroutine(self.putting(record_of(DATA), self.make(self.slow)))
        self.held.release_all()
        stream.go(count=len(DATA) // 14)
        self.assertTrue(self.held.waiting)
        putting.cancel()
        self.assertNoResult(putting)
        self.held.release_all()
        self.failureResultOf(putting, CancelledError)
        self.assertTrue(stream.stopped)
        kept = self.read(PART)
        self.assertTrue(kept)
        self.assertTrue(DATA.startswith(kept))

    def test_cancelled_at_any_point_it_can_be_gone_on_from(self):
        record = record_of(DATA)
        steps = 0
        while True:
            target = self.make(self.slow)
            putting = Deferred.fromCoroutine(self.putting(record, target))
            for _ in range(steps):
                if self.held.waiting:
                    self.held.release()
            if putting.called:
                break
            putting.cancel()
            self.held.release_all()
            self.failureResultOf(putting, CancelledError)
            closing = Deferred.fromCoroutine(target.close())
            self.held.release_all()
            self.successResultOf(closing)
            self.put(record)
            self.check_whole(record)
            self.run_now(self.target.remove(record))
            self.run_now(self.target.close())
            steps += 1
        self.successResultOf(putting)
        self.check_whole(record)
        self.assertGreater(steps, 6)

    def test_an_error_while_others_are_at_work_comes_when_they_are_done(self):
        full = OSError(errno.ENOSPC, "full")
        stream = Stream(DATA, held=True)
        self.source.streams = [lambda *_: stream]
        putting = Deferred.fromCoroutine(self.putting(record_of(DATA), self.make(self.slow)))
        self.held.release_all()
        stream.go(count=20)
        with mock.patch.object(dump_writing.os, "pwrite", side_effect=full):
            self.held.release()
        self.assertNoResult(putting)
        self.held.release_all()
        self.failureResultOf(putting, NoRoom)
        self.assertEqual(self.names(), [LOCK])


class AnyPiecesTests(TargetTestCase):
    @settings(deadline=None, max_examples=50)
    @given(st.binary(max_size=600), st.integers(1, 300), st.integers(0, 700), st.booleans())
    def test_whatever_was_left_and_however_it_comes_it_is_right(self, data, piece, left, good):
        record = record_of(data, OTHER)
        self.source = MemorySource(data)
        self.source.streams = [lambda data, offset: Stream(data[offset:], offset, piece=piece)]
        self.write(f".{OTHER}.part", data[:left] if good else b"x" * left)
        self.put(record)
        self.assertEqual(self.read(f"{OTHER}.img"), data)
        self.assertEqual(self.put(record).deed, Deed.SAME)
        self.run_now(self.target.remove(record))
