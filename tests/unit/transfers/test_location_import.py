"""Places that callers name become images; what is said of their data is found out or believed."""

import hashlib
from dataclasses import replace
from datetime import timedelta

from twisted.internet.defer import Deferred

from glance.db import leases, tasks
from glance.domain.errors import (
    GlanceError,
    Invalid,
    InvalidStatus,
    LimitExceeded,
    Unavailable,
)
from glance.domain.locations import Digests, NewLocation
from glance.stores.errors import DeleteNotSupported, StoreError
from glance.transfers import location_import
from glance.transfers.hashing import Hashes
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.location_import import LocationImporter, LocationOrder
from glance.transfers.locations import LocationKeeper
from glance.transfers.removal import Remover
from tests.unit.transfers.doubles import (
    EVERYTHING,
    IMAGE,
    US,
    CatalogueCase,
    FakeStores,
    InlineThreads,
    MemoryReader,
    MemoryStore,
)

DATA = b"what is there"
URL = "memory:there"
SHA = hashlib.sha512(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


class ImportCase(CatalogueCase):
    secure = True

    def setUp(self):
        super().setUp()
        self.store = MemoryStore()
        self.store.objects = {"there": DATA}
        self.stores = FakeStores(self.store)
        self.heartbeat = Heartbeat(self.database, self.reactor, 10)
        self.heartbeat.startService()
        self.addCleanup(self.heartbeat.stopService)
        self.importer = self.another()

    def another(self):
        """Make an importer, as a process that starts does."""
        return LocationImporter(
            self.database,
            self.stores,
            LocationKeeper(self.database, self.stores, self.heartbeat, US),
            self.heartbeat,
            US,
            lambda algorithm: Hashes(self.reactor, InlineThreads(), algorithm),
            self.reactor,
            algorithm="sha512",
            secure=self.secure,
            attempts=2,
            keep=timedelta(hours=1),
        )

    def order(self, url=URL, algorithm=None, value=None, check=lambda *_: None):
        digests = None if algorithm is None else Digests(algorithm, value)
        location = NewLocation(url, "memory", {}, digests)
        return LocationOrder(IMAGE, EVERYTHING, check, location, "req-1", "u")

    def add(self, *args, **kwargs):
        self.result(self.importer.add(self.order(*args, **kwargs)))

    def refused(self, *args, error=GlanceError, **kwargs):
        return self.failure(self.importer.add(self.order(*args, **kwargs)), error)

    def only_task(self):
        (task,) = self.run_in_database(tasks.thd_of_image, IMAGE)
        return task

    def hold(self):
        """Let the data be read only when the returned Deferred fires."""
        self.store.faults = {"open_reader": (waiting := Deferred())}
        return waiting

    def assertActive(self, algorithm="sha512", value=SHA, checksum=MD5):
        image = self.image()
        self.assertEqual((image.status, image.size), ("active", len(DATA)))
        self.assertEqual(
            (image.os_hash_algo, image.os_hash_value, image.checksum), (algorithm, value, checksum)
        )
        self.assertEqual([p.url for p in image.locations], [URL])
        self.assertEqual(self.all_leases(), [])

    def assertQueued(self):
        image = self.image()
        self.assertEqual((image.status, image.size, image.locations), ("queued", None, []))
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(self.store.objects, {"there": DATA})


class TestComputed(ImportCase):
    def test_active_at_once_and_hashed_then(self):
        self.add_image(owner="p")
        waiting = self.hold()
        self.add()
        image = self.image()
        self.assertEqual((image.status, image.os_hash_value), ("active", None))
        self.assertEqual([lease.kind for lease in self.all_leases()], [leases.HASHING])
        self.assertEqual(self.only_task().status, tasks.PROCESSING)
        waiting.callback(None)
        self.assertActive()
        task = self.only_task()
        self.assertEqual((task.status, task.result), (tasks.SUCCESS, {"image_id": IMAGE}))
        self.assertEqual((task.owner, task.request_id, task.user_id), ("p", "req-1", "u"))
        self.assertNotIn(URL, repr(task))

    def test_importing_until_a_stated_hash_was_found_true(self):
        self.add_image()
        waiting = self.hold()
        self.add(URL, "sha512", SHA)
        self.assertEqual(self.image().status, "importing")
        waiting.callback(None)
        self.assertActive()

    def test_other_algorithm(self):
        self.add_image()
        value = hashlib.sha256(DATA).hexdigest()
        self.add(URL, "sha256", value)
        self.assertActive("sha256", value)

    def test_stated_hash_that_is_not_true(self):
        self.add_image()
        self.add(URL, "sha512", "0" * 128)
        self.assertQueued()
        self.assertEqual(self.only_task().status, tasks.FAILURE)

    def test_data_that_cannot_be_read_is_tried_again(self):
        self.add_image()
        self.store.faults = {"open_reader": StoreError("away")}
        self.add(URL, "sha512", SHA)
        self.assertEqual(self.store.calls.count("open_reader"), 2)
        self.assertQueued()

    def test_image_that_is_active_already_stays_without_hashes(self):
        self.add_image()
        self.store.faults = {"open_reader": StoreError("away")}
        self.add()
        self.assertActive(None, None, None)
        self.assertEqual(self.only_task().status, tasks.FAILURE)

    def test_data_that_changed_since_it_was_looked_at(self):
        self.add_image()
        waiting = self.hold()
        self.add(URL, "sha512", SHA)
        self.store.objects["there"] = DATA + b"!"
        waiting.callback(None)
        self.assertEqual(self.image().status, "queued")

    def test_deleted_meanwhile(self):
        self.add_image()
        first, second = Deferred(), Deferred()
        self.patch(location_import, "PIECE", 4)
        self.patch(MemoryReader, "read", lambda *_: second if first.called else first)
        self.add()
        remover = Remover(self.database, self.stores, self.heartbeat, US, delayed=False)
        # The data stays, as it does on a server that is not ours.
        self.store.faults = {"delete": DeleteNotSupported("not ours")}
        self.result(remover.remove(IMAGE, EVERYTHING, lambda image: None))
        self.reactor.advance(10)
        first.callback(b"what")
        self.assertFalse(second.called)
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(self.only_task().status, tasks.FAILURE)

    def test_data_that_comes_drop_by_drop(self):
        self.add_image()
        self.patch(MemoryReader, "read", lambda *_: Deferred())
        self.add(URL, "sha512", SHA)
        for _ in range(2):
            self.assertEqual(self.image().status, "importing")
            self.reactor.advance(location_import.PIECE_TIME)
        self.assertQueued()

    def test_few_at_a_time(self):
        waiting = self.hold()
        others = [f"{n:08d}-0000-4000-8000-000000000000" for n in range(location_import.MOST_JOBS)]
        for image_id in [*others, IMAGE]:
            self.add_image(id=image_id)
            self.result(self.importer.add(replace(self.order(), image_id=image_id)))
        self.assertEqual(self.store.calls.count("open_reader"), location_import.MOST_JOBS)
        self.assertEqual(len(self.all_leases()), location_import.MOST_JOBS + 1)
        waiting.callback(None)
        self.assertActive()

    def test_nothing_begins_while_stopping(self):
        self.add_image()
        self.successResultOf(self.importer.stopService())
        self.refused(error=Unavailable)
        self.assertQueued()

    def test_stopped_meanwhile(self):
        self.add_image()
        self.hold()
        self.add(URL, "sha512", SHA)
        self.successResultOf(self.importer.stopService())
        (lease,) = self.all_leases()
        self.result(self.another().recover(IMAGE, lease.id))
        self.assertQueued()
        self.assertEqual(self.only_task().status, tasks.FAILURE)

    def test_stopped_when_active_already(self):
        self.add_image()
        self.hold()
        self.add()
        self.successResultOf(self.importer.stopService())
        self.store.faults = {}
        (lease,) = self.all_leases()
        self.result(self.another().recover(IMAGE, lease.id))
        self.assertActive()


class TestBelieved(ImportCase):
    secure = False

    def test_nothing_is_read(self):
        self.add_image()
        self.add()
        self.assertActive(None, None, None)
        self.assertNotIn("open_reader", self.store.calls)
        self.assertEqual(self.only_task().status, tasks.SUCCESS)

    def test_stated_hashes_are_kept(self):
        self.add_image()
        self.add(URL, "sha512", "0" * 128)
        self.assertActive("sha512", "0" * 128, None)

    def test_md5_is_the_checksum_too(self):
        self.add_image()
        self.add(URL, "md5", MD5)
        self.assertActive("md5", MD5, MD5)


class TestRefused(ImportCase):
    def test_place_without_data(self):
        self.add_image()
        self.refused("memory:nowhere", error=Invalid)
        self.assertQueued()

    def test_formats_missing(self):
        self.add_image(disk_format=None)
        self.refused(error=Invalid)
        self.assertQueued()

    def test_image_that_has_data(self):
        self.add_image()
        self.add()
        self.refused(error=InvalidStatus)

    def test_caller_who_may_not(self):
        self.add_image()

        def check(connection, image, size, importing):
            self.assertEqual(size, len(DATA))
            raise LimitExceeded("no")

        self.refused(check=check, error=LimitExceeded)
        self.assertQueued()
        self.assertEqual(self.run_in_database(tasks.thd_of_image, IMAGE), [])
