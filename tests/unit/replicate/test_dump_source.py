from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from glance.domain.errors import Invalid
from glance.replicate import file_stream
from glance.replicate.dump_documents import write_dump
from glance.replicate.dump_source import DumpSource
from glance.replicate.errors import DumpError, NoData, WrongData
from glance.replicate.file_stream import FileStream
from tests.unit.replicate.doubles import IMAGE, OTHER, DumpTestCase, Receiver, record_of

DATA = bytes(range(256)) * 5


class SourceTestCase(DumpTestCase):
    def setUp(self):
        super().setUp()
        self.source = self.make()

    def make(self, threads=None, chunksize=100):
        return DumpSource(self.directory, self.clock, threads or self.threads, chunksize)

    def put(self, record, folder="", data=DATA):
        self.write(os.path.join(folder, record.image_id), write_dump(record))
        if data is not None:
            self.write(os.path.join(folder, f"{record.image_id}.img"), data)
        return record

    def open(self, record, offset=0):
        return self.run_now(self.source.open(record, offset))


class ListingTests(SourceTestCase):
    def test_images_are_found_below_too(self):
        first = self.put(record_of(DATA))
        second = self.put(record_of(DATA, OTHER), "a/b")
        self.write("README", b"not a dump")
        self.write(f".{OTHER}.part", b"x")
        self.write(f"{OTHER}.json", b"x")
        self.assertEqual(self.all_of(self.source), [first, second])
        for record in (first, second):
            receiver = Receiver()
            self.successResultOf(self.open(record).start(receiver))
            self.assertEqual(receiver.data, DATA)

    def test_both_layouts_are_read(self):
        first = self.put(record_of(DATA))
        v1 = {"id": OTHER, "status": "active", "size": 3, "is_public": True, "properties": {}}
        self.write(f"old/{OTHER}", json.dumps(v1).encode())
        found = self.all_of(self.source)
        self.assertEqual(found[0], first)
        self.assertEqual(found[1].fields, {"visibility": "public"})
        self.assertEqual(found[1].size, 3)

    def test_of_the_same_image_the_upper_one_counts(self):
        upper = self.put(record_of(DATA))
        self.put(record_of(b""), "a", b"")
        self.assertEqual(self.all_of(self.source), [upper])

    def test_more_images_than_one_batch(self):
        ids = [f"00000000-0000-4000-8000-{n:012x}" for n in range(120)]
        for image_id in ids:
            self.put(record_of(b"", image_id), data=None)
        self.assertEqual([record.image_id for record in self.all_of(self.source)], ids)

    def test_what_cannot_be_read_is_an_image_with_trouble(self):
        self.put(record_of(DATA), data=None)
        self.write(OTHER, b"[]")
        found = self.all_of(self.source)
        self.assertEqual(found[0].trouble, "")
        self.assertEqual((found[1].image_id, found[1].status), (OTHER, "unreadable"))
        self.assertEqual(
            found[1].trouble, f"{self.path(OTHER)}: it must be an object, not a list of length 0."
        )

    def test_links_and_odd_files_are_not_read(self):
        self.write("secret", write_dump(record_of(DATA)))
        os.symlink(self.path("secret"), self.path(IMAGE))
        os.mkfifo(self.path(OTHER))
        first, second = self.all_of(self.source)
        self.assertEqual(
            first.trouble, f"{self.path(IMAGE)} is a symbolic link; links are not followed."
        )
        self.assertIn(f"{self.path(OTHER)} cannot be read", second.trouble)

    def test_a_directory_of_a_uuids_name_is_looked_into(self):
        record = self.put(record_of(DATA), OTHER)
        self.assertEqual(self.all_of(self.source), [record])

    def test_an_endless_description_is_not_read(self):
        self.write(IMAGE, b"")
        os.truncate(self.path(IMAGE), 2**32)
        [found] = self.all_of(self.source)
        self.assertIn("is longer than any image's description", found.trouble)

    def test_a_directory_that_cannot_be_read_ends_it(self):
        async def read():
            async for _ in DumpSource(self.path("x"), self.clock, self.threads).records():
                pass

        error = self.fails(read(), DumpError)
        self.assertEqual(error.message, f"The directory {self.path('x')} does not exist.")
        self.write("x", b"")
        error = self.fails(read(), DumpError)
        self.assertEqual(error.message, f"{self.path('x')} is no directory.")

    def test_a_hash_that_the_service_had_not_is_in_the_file_beside_it(self):
        bare = record_of(DATA, checksum=None, hash_algorithm=None, hash_value=None)
        self.put(bare)
        self.assertEqual(self.all_of(self.source), [bare])
        self.write(f"{IMAGE}.sha512", b"5e  x\n")
        self.assertEqual(self.all_of(self.source), [bare])
        digest = hashlib.sha512(DATA).hexdigest()
        self.write(f"{IMAGE}.sha512", f"{digest}  {IMAGE}.img\n".encode())
        self.assertEqual(
            self.all_of(self.source), [replace(bare, hash_algorithm="sha512", hash_value=digest)]
        )


class OpeningTests(SourceTestCase):
    def test_data_that_is_not_there_is_named(self):
        error = self.fails(self.source.open(self.put(record_of(DATA), data=None)), NoData)
        self.assertIn(self.path(f"{IMAGE}.img"), error.message)

    def test_data_of_another_length_is_named(self):
        error = self.fails(self.source.open(self.put(record_of(DATA), data=b"x")), WrongData)
        self.assertEqual(
            error.message,
            f"{self.path(IMAGE)}.img has 1 bytes, but the image has {len(DATA)}.",
        )

    def test_links_and_odd_files_are_not_read(self):
        record = self.put(record_of(DATA), data=None)
        self.write("secret", DATA)
        os.symlink(self.path("secret"), self.path(f"{IMAGE}.img"))
        error = self.fails(self.source.open(record), DumpError)
        self.assertIn("is a symbolic link", error.message)
        os.unlink(self.path(f"{IMAGE}.img"))
        os.mkfifo(self.path(f"{IMAGE}.img"))
        self.fails(self.source.open(record), DumpError)

    def test_only_ids_become_names(self):
        self.fails(self.source.open(record_of(DATA, "../x")), Invalid)

    def test_it_begins_where_it_is_asked_to(self):
        record = self.put(record_of(DATA))
        for offset, begin in ((0, 0), (300, 300), (len(DATA), len(DATA)), (len(DATA) + 1, 0)):
            stream = self.open(record, offset)
            self.assertEqual((stream.offset, stream.size), (begin, len(DATA) - begin))
            receiver = Receiver()
            self.successResultOf(stream.start(receiver))
            self.assertEqual(receiver.data, DATA[begin:])

    def test_threads_of_its_own_are_started_when_needed_and_stopped(self):
        source = DumpSource(self.directory, self.clock)
        self.successResultOf(source.close())
        self.successResultOf(self.source.close())
        self.assertTrue(self.threads.running)


class StreamTests(SourceTestCase):
    def setUp(self):
        super().setUp()
        self.put(record_of(DATA))

    def stream(self, threads=None, chunksize=100, portion=None):
        if portion is not None:
            self.patch(file_stream, "_PORTION", portion)
        source = self.make(chunksize=chunksize)
        stream = self.run_now(source.open(record_of(DATA)))
        self.file = stream._file
        if threads is not None:
            stream = FileStream(threads, stream._file, 0, chunksize)
        return stream

    def test_pieces_have_the_size_asked_for(self):
        receiver = Receiver()
        self.successResultOf(self.stream().start(receiver))
        self.assertEqual({len(piece) for piece in receiver.pieces[:-1]}, {100})
        self.assertEqual(receiver.data, DATA)
        self.assertTrue(self.file._file.closed)

    def test_paused_it_reads_no_further_than_two_portions(self):
        stream = self.stream(self.slow, portion=200)
        receiver = Receiver(on_write=stream.pause)
        done = stream.start(receiver)
        self.held.release_all()
        self.assertEqual(len(receiver.pieces), 1)
        self.assertEqual(stream._position, 400)
        self.assertNoResult(done)
        for _ in range(12):
            stream.resume()
            self.held.release_all()
        self.successResultOf(done)
        self.assertEqual(receiver.data, DATA)

    def test_paused_before_it_is_started_nothing_comes(self):
        stream = self.stream()
        stream.pause()
        receiver = Receiver()
        done = stream.start(receiver)
        self.assertEqual(receiver.pieces, [])
        stream.resume()
        self.successResultOf(done)
        self.assertEqual(receiver.data, DATA)

    def test_cancelled_it_closes_the_file_after_the_read(self):
        stream = self.stream(self.slow, portion=200)
        receiver = Receiver()
        done = stream.start(receiver)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.held.release_all()
        self.assertTrue(self.file._file.closed)
        self.assertEqual(receiver.pieces, [])

    def test_stopped_before_it_is_started_it_closes_the_file(self):
        stream = self.stream()
        stream.stop()
        stream.stop()
        self.assertTrue(self.file._file.closed)
        self.failureResultOf(stream.start(Receiver()), CancelledError)

    def test_a_file_that_becomes_shorter_is_named(self):
        stream = self.stream(portion=200)
        receiver = Receiver(on_write=lambda: os.truncate(self.path(f"{IMAGE}.img"), 500))
        error = self.failureResultOf(stream.start(receiver), DumpError).value
        self.assertIn(f"{self.path(IMAGE)}.img has become shorter", error.message)
        self.assertTrue(self.file._file.closed)

    def test_a_receiver_that_fails_ends_it(self):
        def fail():
            raise KeyError

        self.failureResultOf(self.stream().start(Receiver(on_write=fail)), KeyError)
        self.assertTrue(self.file._file.closed)

    @settings(deadline=None)
    @given(
        st.integers(1, 2000), st.integers(1, 2000), st.lists(st.sampled_from("prt"), max_size=30)
    )
    def test_however_it_is_paused_all_comes_in_order(self, chunksize, portion, steps):
        self.put(record_of(DATA))
        stream = self.stream(self.slow, chunksize, portion)
        receiver = Receiver()
        done = stream.start(receiver)
        for step in steps:
            if step == "p":
                stream.pause()
            elif step == "r":
                stream.resume()
            elif self.held.waiting:
                count = len(receiver.pieces)
                self.held.release()
                if stream._paused:
                    self.assertEqual(len(receiver.pieces), count)
        stream.resume()
        self.held.release_all()
        self.successResultOf(done)
        self.assertEqual(receiver.data, DATA)
        self.assertLessEqual(max(map(len, receiver.pieces)), chunksize)
