"""The file store: the store contract with calls that run at once, and what is its own."""

import errno
import json
import os
import tempfile
from types import SimpleNamespace

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from glance.stores import datadirs, partfile
from glance.stores.errors import (
    BadLocation,
    BadStoreConfiguration,
    DataNotFound,
    DeleteForbidden,
    DuplicateData,
    StoreError,
    StoreFull,
    StoreTimeout,
    WriteDenied,
    WriteDisabled,
)
from glance.stores.file_options import metadata_for, parse_metadata, parse_perm
from glance.stores.interfaces import IFileReader
from glance.stores.threads import HeldPool
from tests.unit.stores.contract import IMAGE, MIB, OTHER, StoreContract, get, put
from tests.unit.stores.doubles import file_store


class FileCase(SynchronousTestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.root = place.name
        self.datadir = os.path.join(place.name, "images")

    def drive(self, test):
        return self.successResultOf(Deferred.fromCoroutine(test))

    def started(self, **given):
        given.setdefault("filesystem_store_datadir", self.datadir)
        store = file_store(**given)
        self.successResultOf(store.start())
        self.addCleanup(store.stop)
        return store

    def free(self, **bytes_of):
        """Make the directories named after the keys seem to have that much room."""

        def thd_free(dirs):
            return [(d, bytes_of[os.path.basename(d.path)]) for d in dirs]

        self.patch(datadirs, "thd_free", thd_free)

    def patched(self, module, name, code):
        def refuse(*args, **kwargs):
            raise OSError(code, os.strerror(code))

        self.patch(module, name, refuse)


class FileStoreContract(StoreContract, FileCase):
    foreign_url = "file:///etc/passwd"

    async def make_store(self):
        return self.started()


class ThinFileStoreContract(StoreContract, FileCase):
    foreign_url = "filesystem:///etc/passwd"

    async def make_store(self):
        return self.started(filesystem_thin_provisioning=True, filesystem_store_direct_io=False)


class SeveralDirectoriesContract(StoreContract, FileCase):
    foreign_url = "file:///etc/passwd"

    async def make_store(self):
        dirs = [f"{self.root}/a:1", f"{self.root}/b:2", f"{self.root}/c"]
        return self.started(filesystem_store_datadir=None, filesystem_store_datadirs=dirs)


class LocationTests(FileCase):
    """Which URLs the store takes for its own."""

    def setUp(self):
        super().setUp()
        self.store = self.started()
        self.url = self.successResultOf(Deferred.fromCoroutine(put(self.store, IMAGE, b"x"))).url
        self.outside = os.path.join(self.root, "outside")
        with open(self.outside, "w") as file:
            file.write("secret")

    def refused(self, url):
        for attempt in (self.store.open_reader, self.store.size_of, self.store.delete):
            error = self.failureResultOf(attempt(url)).value
            self.assertIsInstance(error, (BadLocation, DataNotFound))
            self.assertNotIn(self.root, error.message)
        self.assertTrue(os.path.exists(self.outside))

    def accepted(self, url):
        reader = self.successResultOf(self.store.open_reader(url))
        self.assertEqual(self.successResultOf(reader.read(0, 9)), b"x")
        reader.close()

    def test_form(self):
        self.assertEqual(self.url, f"file://{self.datadir}/{IMAGE}")
        self.assertEqual(self.store.url_for(IMAGE), [self.url])

    def test_spellings_of_the_same_place(self):
        self.accepted(self.url)
        self.accepted(self.url.replace("file:", "filesystem:"))
        self.accepted(f"file:///{self.datadir}//{IMAGE}")
        self.accepted(self.url.replace("-", "%2D"))

    def test_everything_else(self):
        d, o = self.datadir, self.outside
        climbing = os.path.relpath("/etc/passwd", d)
        for url in (
            "file:///etc/passwd",
            "filesystem:///etc/passwd",
            f"file://{o}",
            f"file://{d}/../outside",
            f"file://{d}/%2e%2e/outside",
            f"file://{d}/%2e%2e%2foutside",
            f"file://{d}%2f..%2foutside",
            f"file://{d}/%252e%252e/outside",
            f"file://{d}/{climbing}",
            f"file://{d}/./{IMAGE}",
            f"file://{d}/sub/../{IMAGE}",
            f"file://{d}/",
            f"file://{d}",
            f"file://localhost{d}/{IMAGE}",
            f"file://{d[1:]}/{IMAGE}",
            f"file:{d}/{IMAGE}",
            f"{d}/{IMAGE}",
            f"http://localhost{d}/{IMAGE}",
            f"file://{d}/{IMAGE}\0",
            f"file://{d}/{IMAGE}%00",
            f"file://{d}/{'x' * 300}",
            f"file://{d}/{IMAGE}/x",
            f"file://{self.root}/images2/{IMAGE}",
        ):
            self.refused(url)

    def test_links_inside_the_directory_are_not_followed(self):
        os.symlink(self.outside, os.path.join(self.datadir, "link"))
        os.symlink(self.root, os.path.join(self.datadir, "up"))
        self.refused(f"file://{self.datadir}/link")
        self.refused(f"file://{self.datadir}/up/outside")
        self.assertTrue(os.path.islink(os.path.join(self.datadir, "link")))

    def test_only_plain_files(self):
        os.mkdir(os.path.join(self.datadir, "directory"))
        os.mkfifo(os.path.join(self.datadir, "fifo"))
        for name in ("directory", "fifo"):
            self.refused(f"file://{self.datadir}/{name}")
            self.assertTrue(os.path.exists(os.path.join(self.datadir, name)))

    def test_unfinished_files_are_no_objects(self):
        self.successResultOf(self.store.open_writer(OTHER, None))
        (hidden,) = (name for name in os.listdir(self.datadir) if name.startswith("."))
        self.refused(f"file://{self.datadir}/{hidden}")

    def test_configured_through_a_link(self):
        link = os.path.join(self.root, "link")
        os.symlink(self.datadir, link)
        store = self.started(filesystem_store_datadir=link)
        for url in (self.url, f"file://{link}/{IMAGE}"):
            self.assertTrue(store.owns(url))
            self.successResultOf(store.open_reader(url)).close()

    def test_reached_through_an_old_link(self):
        os.symlink(self.datadir, os.path.join(self.root, "old"))
        self.accepted(f"file://{self.root}/old/{IMAGE}")

    def test_names_with_percent_signs_mean_themselves_first(self):
        store = self.started(filesystem_store_datadir=os.path.join(self.root, "100%25 full"))
        stored = self.successResultOf(Deferred.fromCoroutine(put(store, IMAGE, b"data")))
        self.assertTrue(store.owns(stored.url))
        self.assertEqual(
            self.successResultOf(Deferred.fromCoroutine(get(store, stored.url))), b"data"
        )

    def test_odd_image_ids(self):
        for image_id in ("", ".", "..", ".x", "a/b", "../x", "a\0b"):
            self.failureResultOf(self.store.open_writer(image_id, None), BadLocation)

    def test_a_missing_directory_is_not_a_missing_file(self):
        os.rename(self.datadir, self.datadir + "-away")
        for attempt in (self.store.open_reader, self.store.size_of, self.store.delete):
            error = self.failureResultOf(attempt(self.url), StoreError).value
            self.assertNotIsInstance(error, DataNotFound)


class ConfigurationTests(FileCase):
    def test_properties(self):
        store = self.started(filesystem_thin_provisioning=True, filesystem_store_chunk_size=4096)
        self.assertEqual(
            store.properties(),
            {"data_dir": self.datadir, "chunk_size": 4096, "thin_provisioning": True},
        )
        dirs = [f"{self.root}/a:1", f"{self.root}/b:2"]
        store = self.started(filesystem_store_datadir=None, filesystem_store_datadirs=dirs)
        self.assertEqual(store.properties()["data_dir"], [f"{self.root}/b", f"{self.root}/a"])

    def faulty(self, option, **given):
        given.setdefault("filesystem_store_datadir", self.datadir)
        store = file_store(**given)
        error = self.failureResultOf(store.start(), BadStoreConfiguration).value
        self.assertIn("[glance_store]", error.message)
        self.assertIn(option, error.message)
        self.assertFalse(store.writable)
        self.failureResultOf(store.open_writer(IMAGE, None), WriteDisabled)
        return store

    def test_faults_disable_writing_but_not_reading(self):
        good = self.started()
        url = self.successResultOf(Deferred.fromCoroutine(put(good, IMAGE, b"data"))).url
        store = self.faulty("filesystem_store_file_perm", filesystem_store_file_perm=244)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(get(store, url))), b"data")

    def test_directory_options(self):
        self.faulty("filesystem_store_datadirs", filesystem_store_datadirs=["/x"])
        self.faulty("filesystem_store_datadir", filesystem_store_datadir="")

    def test_directory_that_cannot_be_created(self):
        with open(os.path.join(self.root, "file"), "w"):
            pass
        self.faulty("datadir", filesystem_store_datadir=os.path.join(self.root, "file", "x"))

    def test_metadata_file(self):
        path = os.path.join(self.root, "mounts.json")
        self.faulty("filesystem_store_metadata_file", filesystem_store_metadata_file=path)
        with open(path, "w") as file:
            file.write('{"id": "only"}')
        self.faulty("filesystem_store_metadata_file", filesystem_store_metadata_file=path)
        entries = [
            {"id": "else", "mountpoint": "/mnt"},
            {"id": "this", "mountpoint": self.root, "share": ["nfs1"]},
        ]
        with open(path, "w") as file:
            json.dump(entries, file)
        store = self.started(filesystem_store_metadata_file=path)
        stored = self.successResultOf(Deferred.fromCoroutine(put(store, IMAGE, b"")))
        self.assertEqual(stored.metadata, entries[1])

    def test_description_and_weight(self):
        store = file_store(store_description="Fast disks", weight=10)
        self.assertEqual((store.description, store.weight), ("Fast disks", 10))

    def test_missing_directories_are_made_and_not_before_the_start(self):
        store = file_store(filesystem_store_datadir=self.datadir)
        self.assertFalse(os.path.exists(self.datadir))
        self.successResultOf(store.start())
        self.assertTrue(os.path.isdir(self.datadir))

    def test_a_store_that_was_slow_at_the_start_takes_images_later(self):
        clock, pool = Clock(), HeldPool()
        store = file_store(
            pool, clock, filesystem_store_datadir=self.datadir, filesystem_store_timeout=5
        )
        starting = store.start()
        clock.advance(5)
        self.failureResultOf(starting, StoreTimeout)
        self.assertFalse(store.writable)
        opening = store.open_writer(IMAGE, None)
        pool.release_all()
        self.successResultOf(opening)
        self.assertTrue(store.writable)


class DirectoryChoiceTests(FileCase):
    def several(self):
        dirs = [f"{self.root}/a:1", f"{self.root}/b", f"{self.root}/c"]
        return self.started(filesystem_store_datadir=None, filesystem_store_datadirs=dirs)

    def stored_in(self, store, image_id, size):
        stored = self.successResultOf(Deferred.fromCoroutine(put(store, image_id, b"x", size)))
        return os.path.basename(os.path.dirname(stored.url))

    def test_choice(self):
        store = self.several()
        self.free(a=1000, b=2000, c=3000)
        self.assertEqual(self.stored_in(store, "1", 1000), "a")
        self.assertEqual(self.stored_in(store, "2", None), "a")
        self.assertEqual(self.stored_in(store, "3", 1001), "c")
        self.failureResultOf(store.open_writer("4", 3001), StoreFull)

    def test_a_name_in_any_directory_is_taken(self):
        store = self.several()
        with open(os.path.join(self.root, "c", IMAGE), "w"):
            pass
        self.failureResultOf(store.open_writer(IMAGE, None), DuplicateData)

    def test_urls_and_sweep_cover_all(self):
        store = self.several()
        self.assertEqual(store.url_for("x"), [f"file://{self.root}/{d}/x" for d in "abc"])
        for d in "bc":
            name = f".x.{partfile.host_mark()}-0123456789abcdef.part"
            with open(os.path.join(self.root, d, name), "w"):
                pass
        self.assertEqual(self.successResultOf(store.sweep()), 2)

    def test_a_directory_that_does_not_answer_is_passed_over(self):
        store = self.several()
        os.rmdir(os.path.join(self.root, "a"))
        self.assertIn(self.stored_in(store, IMAGE, None), "bc")

    def failing_in_a(self, error):
        thd_open = partfile.PartFile.thd_open

        def thd_fail(part):
            if part.directory.endswith("/a"):
                raise error
            return thd_open(part)

        self.patch(partfile.PartFile, "thd_open", thd_fail)

    def test_a_name_taken_meanwhile_is_not_tried_elsewhere(self):
        store = self.several()
        self.failing_in_a(DuplicateData("taken"))
        self.failureResultOf(store.open_writer(IMAGE, None), DuplicateData)

    def test_a_directory_that_fails_is_passed_over(self):
        store = self.several()
        self.free(a=1000, b=2000, c=1000)
        self.failing_in_a(WriteDenied("read-only"))
        self.assertEqual(self.stored_in(store, IMAGE, None), "b")
        self.free(a=1000, b=0, c=0)
        self.failureResultOf(store.open_writer(OTHER, 10), WriteDenied)

    def test_a_size_that_cannot_fit_is_refused_before_anything_is_written(self):
        store = self.started()
        self.failureResultOf(store.open_writer(IMAGE, 1 << 62), StoreFull)
        self.assertEqual(os.listdir(self.datadir), [])


class ProbeTests(FileCase):
    def fails(self, store):
        return self.failureResultOf(store.probe(), StoreError).value.message

    def test_directory_that_went_away(self):
        store = self.started()
        os.rename(self.datadir, self.datadir + ".away")
        self.assertIn("No such file", self.fails(store))
        os.rename(self.datadir + ".away", self.datadir)
        self.successResultOf(store.probe())

    def test_every_directory_counts(self):
        dirs = [f"{self.root}/a", f"{self.root}/b"]
        store = self.started(filesystem_store_datadir=None, filesystem_store_datadirs=dirs)
        self.successResultOf(store.probe())
        os.rmdir(dirs[1])
        self.assertIn(dirs[1], self.fails(store))

    def test_directory_that_cannot_be_written(self):
        store = self.started()
        self.patch(os, "access", lambda *_, **__: False)
        self.assertIn("cannot be written", self.fails(store))

    def test_file_system_that_became_read_only(self):
        store = self.started()
        flags = SimpleNamespace(f_flag=os.ST_RDONLY)
        self.patch(os, "statvfs", lambda _: flags)
        self.assertIn("cannot be written", self.fails(store))

    def test_faulty_configuration(self):
        store = file_store(filesystem_store_datadir="relative")
        self.failureResultOf(store.start(), BadStoreConfiguration)
        self.addCleanup(store.stop)
        self.assertIn("filesystem_store_datadir", self.fails(store))


class DeletionTests(FileCase):
    def test_refusals(self):
        store = self.started()
        stored = self.successResultOf(Deferred.fromCoroutine(put(store, IMAGE, b"x")))
        for code in (errno.EACCES, errno.EPERM, errno.EROFS):
            self.patched(os, "unlink", code)
            self.failureResultOf(store.delete(stored.url), DeleteForbidden)
        self.patched(os, "unlink", errno.EIO)
        self.failureResultOf(store.delete(stored.url), StoreError)


class UnmadeDirectoryTests(FileCase):
    """Whoever only deletes makes no directory: it would seem that all had been deleted already."""

    def setUp(self):
        super().setUp()
        self.store = file_store(filesystem_store_datadir=self.datadir)
        self.store.makes_directories = False

    def test_nothing_is_made_and_nothing_is_said_to_be_gone(self):
        why = self.failureResultOf(self.store.start(), BadStoreConfiguration)
        self.assertIn(f"{self.datadir} is not there. Is it mounted?", str(why.value))
        url = datadirs.url_of(self.datadir, IMAGE)
        for asked in (self.store.delete(url), self.store.size_of(url)):
            self.assertIs(self.failureResultOf(asked, StoreError).type, StoreError)
        self.assertFalse(os.path.exists(self.datadir))

    def test_one_that_comes_back_is_used(self):
        self.failureResultOf(self.store.start(), BadStoreConfiguration)
        os.mkdir(self.datadir)
        path = os.path.join(self.datadir, IMAGE)
        open(path, "w").close()
        self.successResultOf(self.store.delete(datadirs.url_of(self.datadir, IMAGE)))
        self.assertFalse(os.path.exists(path))


class ReaderTests(FileCase):
    def reader(self, length=MIB + 5):
        self.pool, self.clock = HeldPool(), Clock()
        store = file_store(self.pool, self.clock, filesystem_store_datadir=self.datadir)
        starting = store.start()
        self.pool.release_all()
        self.successResultOf(starting)
        self.data = os.urandom(length)
        with open(os.path.join(self.datadir, IMAGE), "wb") as file:
            file.write(self.data)
        opening = store.open_reader(f"file://{self.datadir}/{IMAGE}")
        self.pool.release_all()
        return self.successResultOf(opening)

    def is_open(self, fd):
        try:
            os.fstat(fd)
        except OSError:
            return False
        return True

    def test_interface(self):
        reader = self.reader()
        verifyObject(IFileReader, reader)
        self.assertEqual(os.pread(reader.fileno(), 4, 0), self.data[:4])
        self.assertTrue(os.get_blocking(reader.fileno()))

    def test_close_waits_for_reads_in_flight(self):
        reader = self.reader()
        fd = reader.fileno()
        reading, prefetching = reader.read(1, 4), reader.read(0, 1)
        reader.close()
        self.assertRaises(ValueError, reader.fileno)
        self.pool.release()
        self.assertEqual(self.successResultOf(reading), self.data[1:5])
        self.assertTrue(self.is_open(fd))
        self.pool.release_all()
        self.successResultOf(prefetching)
        self.assertFalse(self.is_open(fd))

    def test_prefetch_of_what_is_cached_needs_no_thread(self):
        reader = self.reader()
        self.assertEqual(self.successResultOf(reader.prefetch(0, reader.size)), reader.size)
        self.assertEqual(self.successResultOf(reader.prefetch(reader.size, 100)), 100)
        self.assertEqual(self.successResultOf(reader.prefetch(5, 0)), 0)
        self.assertEqual(self.pool.waiting, [])

    def test_prefetch_of_what_is_not(self):
        reader = self.reader()
        self.patched(os, "preadv", errno.EAGAIN)
        advised, read = [], []
        advise, pread = os.posix_fadvise, os.pread
        self.patch(os, "posix_fadvise", lambda *a: (advised.append(a[1:3]), advise(*a)))
        self.patch(os, "pread", lambda fd, n, at: (read.append(at), pread(fd, n, at))[1])
        fetching = reader.prefetch(10, 2 * MIB)
        self.assertNoResult(fetching)
        self.pool.release_all()
        self.assertEqual(self.successResultOf(fetching), 2 * MIB)
        self.assertEqual(advised, [(10, MIB - 5)])
        self.assertEqual((read[0], read[-1]), (10, MIB + 4))

    def test_short_reads_are_continued(self):
        reader = self.reader()
        pread = os.pread
        self.patch(os, "pread", lambda fd, n, at: pread(fd, min(n, 1000), at))
        reading = reader.read(7, MIB)
        self.pool.release_all()
        self.assertEqual(self.successResultOf(reading), self.data[7 : MIB + 7])

    def test_disk_errors(self):
        reader = self.reader()
        self.patched(os, "pread", errno.EIO)
        reading = reader.read(0, 1)
        self.pool.release_all()
        self.failureResultOf(reading, StoreError)

    def test_truncated_underneath(self):
        reader = self.reader()
        os.truncate(os.path.join(self.datadir, IMAGE), 100)
        reading = reader.read(50, 1000)
        self.pool.release_all()
        self.assertEqual(self.successResultOf(reading), self.data[50:100])


class HangingStoreTests(FileCase):
    """What a file server that stopped answering does, and does not, hold up."""

    def setUp(self):
        super().setUp()
        self.pool, self.clock = HeldPool(), Clock()
        self.store = file_store(
            self.pool, self.clock, filesystem_store_datadir=self.datadir, filesystem_store_timeout=9
        )
        self.now(self.store.start())

    def now(self, deferred):
        self.pool.release_all()
        return self.successResultOf(deferred)

    def times_out(self, deferred):
        self.clock.advance(9)
        self.failureResultOf(deferred, StoreTimeout)

    def running(self, deferred):
        """Have the call picked up by a thread that hangs, then comes back after the deadline."""
        work, deliver = self.pool.waiting.pop()
        result = work()
        self.times_out(deferred)
        deliver(True, result)

    def files(self):
        return sorted(os.listdir(self.datadir))

    def test_every_operation_has_the_deadline(self):
        url = self.store.url_for(IMAGE)[0]
        for operation in (
            lambda: self.store.open_writer(IMAGE, None),
            lambda: self.store.open_reader(url),
            lambda: self.store.size_of(url),
            lambda: self.store.delete(url),
        ):
            self.times_out(operation())
        self.pool.release_all()
        self.assertEqual(self.files(), [])

    def test_probes_of_a_store_that_hangs_hold_one_thread(self):
        first = self.store.probe()
        self.failureResultOf(self.store.probe(), StoreTimeout)
        self.times_out(first)
        self.failureResultOf(self.store.probe(), StoreTimeout)
        self.assertEqual(len(self.pool.waiting), 1)
        self.pool.release_all()
        self.now(self.store.probe())

    def test_a_writer_opened_too_late_is_discarded(self):
        self.running(self.store.open_writer(IMAGE, None))
        self.assertEqual(len(self.files()), 1)
        self.pool.release_all()
        self.assertEqual(self.files(), [])

    def test_a_writer_whose_opening_is_cancelled_is_discarded(self):
        opening = self.store.open_writer(IMAGE, None)
        work, deliver = self.pool.waiting.pop()
        result = work()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        deliver(True, result)
        self.pool.release_all()
        self.assertEqual(self.files(), [])

    def test_a_reader_opened_too_late_is_closed(self):
        with open(os.path.join(self.datadir, IMAGE), "w"):
            pass
        before = os.listdir("/proc/self/fd")
        self.running(self.store.open_reader(self.store.url_for(IMAGE)[0]))
        self.pool.release_all()
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_after_a_failed_write_nothing_can_be_committed(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        self.times_out(writer.write(0, memoryview(b"x")))
        self.pool.release_all()
        self.failureResultOf(writer.commit(), StoreError)
        self.now(writer.abort())
        self.assertEqual(self.files(), [])

    def test_commit_with_a_write_in_flight_is_refused(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        writing = writer.write(0, memoryview(b"x"))
        self.failureResultOf(writer.commit(), StoreError)
        self.now(writing)
        self.assertEqual(self.now(writer.commit()).size, 1)

    def test_a_commit_that_comes_too_late_is_taken_back(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        self.running(writer.commit())
        self.assertEqual(self.files(), [IMAGE])
        self.pool.release_all()
        self.assertEqual(self.files(), [])
        self.now(writer.abort())

    def test_abort_during_commit_wins(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        committing = writer.commit()
        aborting = writer.abort()
        self.assertNoResult(aborting)
        self.pool.release_all()
        self.failureResultOf(committing, StoreError)
        self.successResultOf(aborting)
        self.assertEqual(self.files(), [])

    def test_abort_waits_for_writes_in_flight(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        writing = writer.write(0, memoryview(b"x"))
        aborting = writer.abort()
        self.assertEqual(len(self.pool.waiting), 1)
        self.assertNoResult(aborting)
        self.pool.release()
        self.successResultOf(writing)
        self.assertNoResult(aborting)
        self.pool.release_all()
        self.successResultOf(aborting)
        self.assertEqual(self.files(), [])

    def test_abort_does_not_wait_for_ever(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        writing = writer.write(0, memoryview(b"x"))
        aborting = writer.abort()
        self.times_out(writing)
        self.successResultOf(aborting)
        self.assertEqual(len(self.files()), 1)
        self.pool.release_all()
        self.assertEqual(self.files(), [])

    def test_an_abort_that_stood_in_the_queue_for_too_long_is_done_all_the_same(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        aborting = writer.abort()
        self.clock.advance(9)
        self.successResultOf(aborting)
        self.assertEqual(len(self.flushLoggedErrors(StoreTimeout)), 1)
        self.assertEqual(len(self.files()), 1)
        self.pool.release_all()
        self.assertEqual(self.files(), [])

    def test_abort_never_fails(self):
        writer = self.now(self.store.open_writer(IMAGE, None))
        self.patched(os, "unlink", errno.EIO)
        self.assertIsNone(self.now(writer.abort()))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_sweep_has_no_deadline(self):
        sweeping = self.store.sweep()
        self.clock.advance(10_000)
        self.assertEqual(self.now(sweeping), 0)


@pytest.mark.parametrize(
    ("value", "mode"),
    [(0, 0), (-1, 0), (640, 0o640), (600, 0o600), (400, 0o400), (755, 0o755)],
)
def test_file_perm(value, mode):
    assert parse_perm("fast", value) == mode


@pytest.mark.parametrize("value", [648, 40, 244, 7, 88888, 12345])
def test_bad_file_perm(value):
    with pytest.raises(BadStoreConfiguration) as caught:
        parse_perm("fast", value)
    assert "[fast] filesystem_store_file_perm" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "3",
        '"text"',
        "{}",
        '{"id": "a"}',
        '{"mountpoint": "/a"}',
        '{"id": 1, "mountpoint": "/a"}',
        '{"id": "a", "mountpoint": ["/a"]}',
        '{"id": "a", "mountpoint": ""}',
        '[{"id": "a", "mountpoint": "/a"}, 5]',
    ],
)
def test_bad_metadata(text):
    with pytest.raises(BadStoreConfiguration) as caught:
        parse_metadata("fast", text)
    assert "[fast] filesystem_store_metadata_file" in caught.value.message


def test_metadata_of_the_nearest_mount_point():
    entries = parse_metadata(
        "fast",
        '[{"id": "root", "mountpoint": "/"}, {"id": "a", "mountpoint": "/srv/a"},'
        ' {"id": "ab", "mountpoint": "/srv/a/b/"}]',
    )
    assert metadata_for("/srv/a/image", entries)["id"] == "a"
    assert metadata_for("/srv/a/b/image", entries)["id"] == "ab"
    assert metadata_for("/srv/abc/image", entries)["id"] == "root"
    assert metadata_for("/srv/image", entries[1:]) == {}
    assert parse_metadata("fast", '{"id": "a", "mountpoint": "/a"}')[0]["id"] == "a"
