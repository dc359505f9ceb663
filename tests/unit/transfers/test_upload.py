"""An upload from end to end, and every place where it can break off."""

import hashlib
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from glance.api.body import RequestBody
from glance.db import images, leases
from glance.domain.digests import ALGORITHMS, Digest
from glance.domain.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    InvalidStatus,
    LimitExceeded,
    NotFound,
    Unavailable,
)
from glance.stores.errors import StoreError, StoreFull
from glance.transfers.hashing import Hashes
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.upload import Order, Uploader
from glance.transfers.worker import WorkerIdentity
from tests.unit.api.doubles import SMALL, CountingPool, FakeFlow, small_buffers
from tests.unit.transfers.doubles import (
    EVERYTHING,
    IMAGE,
    US,
    CatalogueCase,
    InlineThreads,
    MemoryStore,
    Source,
)

CAP = 1000
BEAT = 10.0
PIECES = [b"some ", b"data ", b"here"]
DATA = b"".join(PIECES)


class UploadCase(CatalogueCase):
    def setUp(self):
        super().setUp()
        self.heartbeat = Heartbeat(self.database, self.reactor, BEAT)
        self.heartbeat.startService()
        self.addCleanup(self.heartbeat.stopService)
        self.store = MemoryStore()
        self.uploader = Uploader(
            self.database,
            self.heartbeat,
            US,
            lambda: Hashes(self.reactor, InlineThreads(), "sha512"),
            lambda image: None,
            CAP,
        )

    def upload(self, source, size=None, digests=()):
        order = Order(IMAGE, EVERYTHING, self.check, size, digests)
        return self.uploader.upload(order, source, self.store)

    def check(self, image):
        """Allow the caller everything."""

    def begin(self, source, size=None):
        """Start an upload that something will hold up."""
        going_on = Deferred.fromCoroutine(self.upload(source, size))
        self.assertNoResult(going_on)
        return going_on

    def assertQueuedAgain(self, source):
        image = self.image()
        self.assertEqual(
            (image.status, image.size, image.checksum, image.locations), ("queued", None, None, [])
        )
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(self.store.unfinished, [])
        self.assertEqual(source.pool.out, [])
        # The heartbeat has let go as well: this would fail on a lease that is gone.
        self.assertIsNone(self.heartbeat.beat())

    def assertStillPossible(self):
        """A second try, with nothing in its way, succeeds."""
        self.store.faults = {}
        self.result(self.upload(Source(PIECES), len(DATA)))
        self.assertEqual(self.image().status, "active")
        self.assertEqual(self.store.objects, {IMAGE: DATA})


class TestSuccess(UploadCase):
    def test_image_is_active_with_size_and_hashes(self):
        self.add_image()
        source = Source(PIECES)
        self.result(self.upload(source, len(DATA)))
        image = self.image()
        self.assertEqual(image.status, "active")
        self.assertEqual(image.size, len(DATA))
        self.assertEqual(image.checksum, hashlib.md5(DATA).hexdigest())
        self.assertEqual(image.os_hash_algo, "sha512")
        self.assertEqual(image.os_hash_value, hashlib.sha512(DATA).hexdigest())
        (location,) = image.locations
        self.assertEqual(location.url, f"memory:{IMAGE}")
        self.assertEqual(location.metadata, {"kept": "in memory", "store": "memory"})
        self.assertEqual(self.store.objects, {IMAGE: DATA})
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(source.pool.out, [])
        self.assertNotIn("abort", self.store.calls)

    def test_image_may_be_empty(self):
        for size in (None, 0):
            with self.subTest(size=size):
                self.setUp()
                self.add_image()
                self.result(self.upload(Source([]), size))
                self.assertEqual((self.image().status, self.image().size), ("active", 0))

    def test_saving_under_a_lease_while_it_lasts(self):
        self.add_image()
        wait = Deferred()
        going_on = self.begin(Source([b"some ", wait, b"more"]))
        self.assertEqual(self.image().status, "saving")
        (lease,) = self.all_leases()
        self.assertEqual(
            (lease.image_id, lease.kind, lease.node, lease.worker, lease.store_id),
            (IMAGE, leases.UPLOAD, US.node, US.worker, "memory"),
        )
        wait.callback(None)
        self.successResultOf(going_on)

    def test_heartbeat_keeps_the_lease(self):
        self.add_image()
        wait = Deferred()
        going_on = self.begin(Source([b"some ", wait, b"more"]))
        (before,) = self.all_leases()
        self.reactor.advance(BEAT)
        (after,) = self.all_leases()
        self.assertEqual(after.id, before.id)
        self.assertGreater(after.heartbeat_at, before.heartbeat_at)
        wait.callback(None)
        self.successResultOf(going_on)

    def test_memory_is_held_until_the_store_is_done_with_it(self):
        self.add_image()
        self.store.faults["write"] = Deferred()
        source = Source(PIECES)
        going_on = self.begin(source)
        self.assertEqual(len(source.pool.out), len(PIECES))
        self.store.faults["write"].callback(None)
        self.successResultOf(going_on)
        self.assertEqual(source.pool.out, [])

    def test_data_that_a_dead_process_left_is_replaced(self):
        self.add_image()
        self.store.objects[IMAGE] = b"orphaned"
        self.result(self.upload(Source(PIECES)))
        self.assertEqual(self.store.objects, {IMAGE: DATA})

    @settings(max_examples=30)
    @given(st.lists(st.binary(min_size=1, max_size=200), max_size=10))
    def test_any_pieces(self, pieces):
        self.setUp()
        self.addCleanup(self.doCleanups)
        self.add_image()
        data = b"".join(pieces)
        source = Source(pieces)
        if len(data) > CAP:
            self.failure(self.upload(source), LimitExceeded)
            self.assertQueuedAgain(source)
        else:
            self.result(self.upload(source))
            image = self.image()
            self.assertEqual((image.size, self.store.objects[IMAGE]), (len(data), data))
            self.assertEqual(image.checksum, hashlib.md5(data).hexdigest())


class TestDigests(UploadCase):
    """The client says what the data is to be."""

    def digests(self, data, *names):
        return [
            Digest("Content-Digest", name, hashlib.new(ALGORITHMS[name][0], data).digest())
            for name in names
        ]

    def test_data_that_fits(self):
        for name in ALGORITHMS:
            for size in (None, len(DATA)):
                with self.subTest(name=name, size=size):
                    self.setUp()
                    self.add_image()
                    self.result(self.upload(Source(PIECES), size, self.digests(DATA, name)))
                    image = self.image()
                    self.assertEqual((image.status, image.os_hash_algo), ("active", "sha512"))
                    self.assertEqual(self.store.objects, {IMAGE: DATA})

    def test_data_that_does_not(self):
        for name in ALGORITHMS:
            for size in (None, len(DATA)):
                with self.subTest(name=name, size=size):
                    self.setUp()
                    self.add_image()
                    source = Source(PIECES)
                    digests = self.digests(b"other", name)
                    error = self.failure(self.upload(source, size, digests), Invalid)
                    self.assertIn(f"the {name} of the header Content-Digest", error.message)
                    self.assertQueuedAgain(source)
                    self.assertNotIn("commit", self.store.calls)
                    self.assertEqual(self.store.objects, {})
                    self.assertStillPossible()

    def test_one_of_several_does_not(self):
        self.add_image()
        digests = [*self.digests(DATA, *ALGORITHMS), *self.digests(b"other", "sha-256")]
        source = Source(PIECES)
        self.failure(self.upload(source, None, digests), Invalid)
        self.assertQueuedAgain(source)

    def test_no_hash_is_computed_twice_or_in_vain(self):
        hashes = Hashes(self.reactor, InlineThreads(), "sha512")
        self.assertEqual(len(hashes.update(memoryview(b"x"))), 2)
        hashes.add(["md5", "sha512"])
        self.assertEqual(len(hashes.update(memoryview(b"y"))), 2)
        self.assertEqual(hashes.digest("sha512"), hashlib.sha512(b"xy").digest())
        hashes = Hashes(self.reactor, InlineThreads(), "md5")
        hashes.add(["sha256", "sha256"])
        self.assertEqual(len(hashes.update(memoryview(b"x"))), 2)


class TestBackPressure(UploadCase):
    """A store that is slow holds back the client, and costs no memory."""

    def test_client_is_paused_until_the_store_goes_on(self):
        patch = small_buffers()
        patch.start()
        self.addCleanup(patch.stop)
        self.add_image()
        depth, data = 3, bytes(range(SMALL)) * 20
        flow, pool = FakeFlow(), CountingPool()
        body = RequestBody(flow, pool, None, depth)
        going_on = self.begin(body)
        arrived = 0
        while arrived < len(data):
            self.store.faults["write"] = Deferred()
            while not flow.paused and arrived < len(data):
                body.received(data[arrived : arrived + 5])
                arrived = min(len(data), arrived + 5)
            self.assertLessEqual(arrived, self.bytes_written() + depth * SMALL + 5)
            self.assertTrue(flow.paused or arrived == len(data))
            self.store.faults.pop("write").callback(None)
        body.finished()
        self.successResultOf(going_on)
        self.assertEqual(self.store.objects[IMAGE], data)
        self.assertEqual((pool.most, pool.out, flow.wanted), (depth, [], 1))

    def bytes_written(self):
        return sum(writer.length for writer in self.store.unfinished)


class TestRefusal(UploadCase):
    """What is wrong from the start is told before a byte is asked for."""

    def refused(self, *errors, size=None):
        source = Source(PIECES)
        self.failure(self.upload(source, size), *errors)
        self.assertEqual((source.asked, self.store.calls), (0, []))

    def test_image_that_is_not_queued(self):
        for status in ("saving", "active", "deactivated", "uploading", "importing"):
            with self.subTest(status=status):
                self.setUp()
                self.add_image(status=status)
                self.refused(InvalidStatus)
                self.assertEqual(self.image().status, status)

    def test_formats_that_are_not_set(self):
        self.add_image(disk_format=None)
        self.refused(Invalid)
        self.assertEqual(self.image().status, "queued")

    def test_declared_size_over_the_cap(self):
        self.add_image()
        self.refused(LimitExceeded, size=CAP + 1)
        self.assertEqual(self.image().status, "queued")

    def test_image_that_another_is_uploading(self):
        self.add_image()
        going_on = self.begin(Source([wait := Deferred(), *PIECES]))
        self.failure(self.upload(Source([b"x"])), InvalidStatus)
        wait.callback(None)
        self.successResultOf(going_on)
        self.assertEqual(self.store.objects, {IMAGE: DATA})

    def test_image_that_was_deleted_since(self):
        image = self.add_image()
        self.run_in_database(images.thd_mark_deleted, image, delayed=False)
        self.failure(self.upload(Source(PIECES)), NotFound)
        self.assertEqual(self.all_leases(), [])

    def test_image_under_another_s_lease(self):
        self.add_image()
        self.take_lease()
        self.failure(self.upload(Source(PIECES)), Conflict)
        self.assertEqual(self.image().status, "queued")

    def test_what_is_decided_on_is_the_image_as_it_is_now(self):
        """Formats that another request removes just before cannot slip past."""
        image = self.add_image()
        self.run_in_database(images.thd_update, image, replace(image, disk_format=None))
        self.refused(Invalid)
        self.assertEqual((self.image().status, self.all_leases()), ("queued", []))

    def test_caller_who_may_not(self):
        self.add_image()
        self.check = lambda image: (_ for _ in ()).throw(Forbidden(f"not {image.id}"))
        self.refused(Forbidden)
        self.assertEqual((self.image().status, self.all_leases()), ("queued", []))


class TestBreakingOff(UploadCase):
    def setUp(self):
        super().setUp()
        self.add_image()

    def breaks(self, source, *errors, size=None):
        self.failure(self.upload(source, size), *errors)
        self.assertQueuedAgain(source)
        self.assertStillPossible()

    def test_store_fails(self):
        for step in ("open_writer", "write", "commit"):
            with self.subTest(step=step):
                self.setUp()
                self.store.faults[step] = StoreFull("no room")
                self.breaks(Source(PIECES), StoreFull)

    def test_store_fails_while_the_source_waits(self):
        self.store.faults["write"] = held = Deferred()
        source = Source([b"some ", Deferred()])
        going_on = self.begin(source)
        held.errback(StoreFull("no room"))
        self.failureResultOf(going_on, StoreFull)
        self.assertQueuedAgain(source)

    def test_store_fails_after_the_source_has_ended(self):
        self.store.faults["write"] = held = Deferred()
        source = Source([b"data"])
        going_on = self.begin(source)
        held.errback(StoreFull("no room"))
        self.failureResultOf(going_on, StoreFull)
        self.assertNotIn("commit", self.store.calls)
        self.assertQueuedAgain(source)

    def test_source_fails_at_once(self):
        self.breaks(Source([Invalid("gone")]), Invalid)

    def test_source_fails_in_the_middle(self):
        self.breaks(Source([b"some ", Invalid("gone")]), Invalid, size=len(DATA))

    def test_source_fails_while_the_store_works(self):
        self.store.faults["write"] = held = Deferred()
        source = Source([b"some ", b"data", Invalid("gone")])
        going_on = self.begin(source)
        self.assertEqual(self.store.calls, ["open_writer", "write", "write"])
        self.assertEqual(len(source.pool.out), 2)
        held.callback(None)
        self.failureResultOf(going_on, Invalid)
        self.assertQueuedAgain(source)

    def test_more_than_declared(self):
        source = Source(PIECES)
        self.failure(self.upload(source, len(DATA) - 1), Invalid)
        self.assertEqual(source.asked, len(PIECES))
        self.assertQueuedAgain(source)

    def test_less_than_declared(self):
        self.breaks(Source(PIECES), Invalid, size=len(DATA) + 1)

    def test_more_than_an_image_may_have(self):
        source = Source([bytes(CAP), b"x", b"never asked for"])
        self.failure(self.upload(source), LimitExceeded)
        self.assertEqual(source.asked, 2)
        self.assertQueuedAgain(source)

    def test_as_much_as_an_image_may_have(self):
        self.result(self.upload(Source([bytes(CAP)]), CAP))
        self.assertEqual(self.image().size, CAP)

    def test_store_that_cannot_even_clean_up(self):
        self.store.faults = {"write": StoreFull("no room"), "abort": StoreError("nor this")}
        self.failure(self.upload(Source(PIECES)), StoreFull)
        self.assertEqual((self.image().status, self.all_leases()), ("queued", []))


class TestStopping(UploadCase):
    def setUp(self):
        super().setUp()
        self.add_image()

    def test_uploads_under_way_are_broken_off_first(self):
        source = Source([b"some ", Deferred()])
        going_on = self.begin(source)
        self.successResultOf(self.uploader.stop())
        self.failureResultOf(going_on, Unavailable)
        self.assertQueuedAgain(source)

    def test_data_that_is_complete_is_kept(self):
        self.store.faults["commit"] = Deferred()
        going_on = self.begin(Source(PIECES))
        stopping = self.uploader.stop()
        self.assertNoResult(stopping)
        self.store.faults["commit"].callback(None)
        self.successResultOf(stopping)
        self.successResultOf(going_on)
        self.assertEqual(self.image().status, "active")

    def test_no_new_ones_are_begun(self):
        self.successResultOf(self.uploader.stop())
        self.failure(self.upload(Source(PIECES)), Unavailable)
        self.assertEqual(self.image().status, "queued")


class TestDeletion(UploadCase):
    """The image is deleted while its data comes in."""

    def setUp(self):
        super().setUp()
        self.add_image()

    def delete(self):
        self.end_leases()
        image = self.image()
        self.assertTrue(self.run_in_database(images.thd_mark_deleted, image, delayed=False))

    def assertNothingLeft(self, source):
        self.assertEqual((self.store.objects, self.store.unfinished), ({}, []))
        self.assertEqual((source.pool.out, self.all_leases()), ([], []))

    def test_next_heartbeat_tells_a_source_that_waits(self):
        source = Source([b"some ", Deferred()])
        going_on = self.begin(source)
        self.delete()
        self.assertNoResult(going_on)
        self.reactor.advance(BEAT)
        self.failureResultOf(going_on, Gone)
        self.assertNothingLeft(source)

    def test_finding_out_at_the_end(self):
        wait = Deferred()
        source = Source([b"some ", wait, b"more"])
        going_on = self.begin(source)
        self.delete()
        wait.callback(None)
        self.failureResultOf(going_on, Gone)
        self.assertNothingLeft(source)

    def test_taken_over_by_another_worker(self):
        wait = Deferred()
        source = Source([b"some ", wait, b"more"])
        going_on = self.begin(source)
        self.end_leases()
        self.take_lease(WorkerIdentity("another node", "1.1"))
        wait.callback(None)
        self.failureResultOf(going_on, Gone)
        self.assertEqual((self.store.objects, source.pool.out), ({}, []))
        (lease,) = self.all_leases()
        self.assertEqual((self.image().status, lease.node), ("saving", "another node"))

    def test_database_away_at_the_end_leaves_the_data_for_recovery(self):
        wait = Deferred()
        going_on = self.begin(Source([b"some ", wait, b"more"]))
        self.patch(images, "thd_add_location", lambda *args: 1 / 0)
        wait.callback(None)
        self.failureResultOf(going_on, ZeroDivisionError)
        self.assertEqual(self.store.objects, {IMAGE: b"some more"})
        self.assertEqual(self.image().status, "saving")
        self.assertEqual(len(self.all_leases()), 1)
        self.assertIsNone(self.heartbeat.beat())
