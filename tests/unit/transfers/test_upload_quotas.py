"""An upload against its owner's quota: what is reserved, for how long, and who is refused when."""

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from glance.db import images, leases, quotas
from glance.domain.errors import Conflict, Gone, Invalid, LimitExceeded, Unavailable
from glance.domain.image import Location
from glance.domain.quotas import OwnerLimits
from glance.domain.viewer import Viewer
from glance.identity.limits import IOwnerLimits, SameForAll
from glance.stores.errors import StoreError, StoreFull
from glance.transfers.hashing import Hashes
from glance.transfers.recovery import Recovery
from glance.transfers.removal import Remover
from glance.transfers.upload import Order, Uploader
from glance.transfers.worker import WorkerIdentity
from tests.unit.transfers.doubles import (
    EVERYTHING,
    IMAGE,
    US,
    FakeStores,
    InlineThreads,
    Source,
)
from tests.unit.transfers.test_upload import BEAT, CAP, UploadCase

QUOTA = 100
OTHER = "0a1b3f0e-6a51-4f3e-8d60-8f6f2f3c7a22"
PROJECT = Viewer("p")


class QuotaCase(UploadCase):
    def setUp(self):
        super().setUp()
        self.uploader = self.make_uploader(SameForAll(QUOTA))

    def make_uploader(self, limits):
        return Uploader(
            self.database,
            self.heartbeat,
            US,
            lambda: Hashes(self.reactor, InlineThreads(), "sha512"),
            lambda image: None,
            CAP,
            limits,
        )

    def add_other(self, size, owner=None):
        """Add an active image of some bytes."""
        image = self.add_image(id=OTHER, size=size, status="active", owner=owner)
        self.run_in_database(images.thd_add_location, OTHER, Location("memory:x"))
        return image

    def taken(self, owner=None):
        return self.run_in_database(quotas.thd_usage, owner).size_total

    def refused(self, source, size=None, match="100 bytes"):
        error = self.failure(self.upload(source, size), LimitExceeded)
        self.assertIn(match, error.message)
        self.assertQueuedAgain(source)
        self.assertEqual(self.store.objects, {})


class TestKnownSize(QuotaCase):
    def test_as_much_as_is_left(self):
        self.add_image()
        self.add_other(60)
        self.result(self.upload(Source([bytes(40)]), 40))
        self.assertEqual((self.image().status, self.taken()), ("active", 100))

    def test_more_than_is_left_is_refused_before_a_byte_is_asked_for(self):
        self.add_image()
        self.add_other(60)
        source = Source([bytes(41)])
        self.refused(source, 41, "60 are taken, so 40 are left")
        self.assertEqual((source.asked, self.store.calls), (0, []))

    def test_nothing_fits_where_all_is_taken(self):
        self.add_image()
        self.add_other(100)
        self.result(self.upload(Source([]), 0))
        self.assertEqual(self.image().status, "active")

    def test_an_owner_over_its_quota_may_not_add_even_nothing(self):
        self.add_image()
        self.add_other(101)
        self.refused(Source([]), 0, "101 are taken, so 0 are left")

    def test_reserved_while_it_lasts(self):
        self.add_image()
        wait = Deferred()
        going_on = self.begin(Source([bytes(10), wait, bytes(20)]), 30)
        self.assertEqual(self.taken(), 30)
        self.reactor.advance(BEAT)
        self.assertEqual(self.taken(), 30)
        wait.callback(None)
        self.successResultOf(going_on)
        self.assertEqual(self.taken(), 30)
        self.assertEqual(self.all_leases(), [])

    def test_another_counts_what_is_reserved(self):
        self.add_image()
        self.begin(Source([wait := Deferred(), bytes(60)]), 60)
        self.add_image(id=OTHER)
        order = Order(OTHER, EVERYTHING, self.check, 41)
        self.failure(self.uploader.upload(order, Source([bytes(41)]), self.store), LimitExceeded)
        order = Order(OTHER, EVERYTHING, self.check, 40)
        self.result(self.uploader.upload(order, Source([bytes(40)]), self.store))
        wait.callback(None)
        self.assertEqual((self.image().status, self.taken()), ("active", 100))

    def test_what_was_reserved_is_kept_whatever_happens_to_the_quota(self):
        self.add_image()
        going_on = self.begin(Source([wait := Deferred(), bytes(60)]), 60)
        self.add_other(90)
        wait.callback(None)
        self.successResultOf(going_on)
        self.assertEqual((self.image().status, self.taken()), ("active", 150))

    def test_reserved_without_a_limit_too(self):
        """Another process may have been told of one already."""
        self.uploader = self.make_uploader(None)
        self.add_image()
        self.begin(Source([Deferred()]), 600)
        self.assertEqual(self.taken(), 600)


class TestUnknownSize(QuotaCase):
    def test_as_much_as_is_left(self):
        self.add_image()
        self.add_other(60)
        self.result(self.upload(Source([bytes(30), bytes(10)])))
        self.assertEqual((self.image().status, self.taken()), ("active", 100))

    def test_first_byte_too_many_ends_it(self):
        self.add_image()
        self.add_other(60)
        source = Source([bytes(30), bytes(11), b"never asked for"])
        self.refused(source, match="60 are taken, so 40 are left")
        self.assertEqual(source.asked, 2)
        self.assertNotIn("commit", self.store.calls)

    def test_nothing_left_is_told_before_a_byte_is_asked_for(self):
        self.add_image()
        self.add_other(100)
        source = Source([b"x"])
        self.refused(source, match="100 are taken")
        self.assertEqual(source.asked, 0)

    def test_nothing_is_reserved(self):
        self.add_image()
        self.begin(Source([bytes(50), Deferred()]))
        self.assertEqual(self.taken(), 0)

    def test_filled_by_others_meanwhile(self):
        """It is found out at the end: the data goes, the image can be used again."""
        self.add_image()
        source = Source([bytes(10), wait := Deferred(), bytes(31)])
        going_on = self.begin(source)
        self.add_other(60)
        wait.callback(None)
        error = self.failureResultOf(going_on, LimitExceeded).value
        self.assertIn("60 are taken, so 40 are left", error.message)
        self.assertEqual(self.store.calls[-2:], ["commit", "take back"])
        self.assertQueuedAgain(source)
        self.assertEqual((self.store.objects, self.taken()), ({}, 60))
        self.result(self.upload(Source([bytes(40)])))
        self.assertEqual(self.taken(), 100)

    def test_reservations_of_others_count_at_the_end(self):
        self.add_image()
        going_on = self.begin(Source([wait := Deferred(), bytes(41)]))
        self.add_image(id=OTHER, status="saving")
        reserve = (leases.thd_take, OTHER, leases.UPLOAD, "n", "w")
        self.run_in_database(*reserve, bytes_reserved=60)
        wait.callback(None)
        self.failureResultOf(going_on, LimitExceeded)

    def test_data_that_cannot_be_removed_does_not_keep_the_image(self):
        self.add_image()
        self.store.faults["take back"] = StoreError("hangs")
        source = Source([wait := Deferred(), bytes(41)])
        going_on = self.begin(source)
        self.add_other(60)
        wait.callback(None)
        self.failureResultOf(going_on, LimitExceeded)
        self.assertQueuedAgain(source)
        # What was left is replaced by the next upload.
        self.result(self.upload(Source([bytes(40)])))

    def test_deleted_meanwhile(self):
        """That it is gone matters more than that there was no room."""
        self.add_image()
        going_on = self.begin(Source([wait := Deferred(), bytes(41)]))
        self.add_other(60)
        self.run_in_database(images.thd_mark_deleted, self.image(), delayed=False)
        self.run_in_database(leases.thd_turn_to_removal, IMAGE)
        wait.callback(None)
        self.failureResultOf(going_on, Gone)
        self.assertEqual((self.store.objects, self.all_leases()), ({}, []))

    def test_taken_over_meanwhile(self):
        """Nothing of the change stays, though the image is saving again."""
        self.add_image()
        going_on = self.begin(Source([wait := Deferred(), bytes(10)]))
        self.end_leases()
        self.take_lease(WorkerIdentity("another node", "1.1"))
        wait.callback(None)
        self.failureResultOf(going_on, Gone)
        image = self.image()
        self.assertEqual((image.status, image.size, image.locations), ("saving", None, []))


class TestEndOfReservations(QuotaCase):
    """Whatever ends an upload ends what it reserved."""

    def setUp(self):
        super().setUp()
        self.add_image()

    def test_source_or_store_fails(self):
        for fault, source in (
            ({}, Source([bytes(10), Invalid("gone")])),
            ({}, Source([bytes(10)])),
            ({}, Source([bytes(61)])),
            ({"open_writer": StoreFull("no room")}, Source([bytes(60)])),
            ({"commit": StoreError("broken")}, Source([bytes(60)])),
        ):
            with self.subTest(fault=fault, source=source):
                self.store.faults = fault
                self.failure(self.upload(source, 60), Invalid, StoreFull, StoreError)
                self.assertEqual(self.taken(), 0)
                self.store.faults = {}

    def test_service_stops(self):
        going_on = self.begin(Source([Deferred()]), 60)
        self.successResultOf(self.uploader.stop())
        self.failureResultOf(going_on, Unavailable)
        self.assertEqual(self.taken(), 0)

    def test_image_is_deleted(self):
        self.begin(Source([Deferred()]), 60)
        remover = Remover(self.database, FakeStores(self.store), self.heartbeat, US, delayed=False)
        self.result(remover.remove(IMAGE, EVERYTHING, self.check))
        # Though the upload has not noticed yet.
        self.assertEqual(len(self.all_leases()), 1)
        self.assertEqual(self.taken(), 0)

    def test_process_dies(self):
        self.begin(Source([Deferred()]), 60)
        self.assertEqual(self.taken(), 60)
        stores = FakeStores(self.store)
        successor = WorkerIdentity("another node", "1.1")
        remover = Remover(self.database, stores, self.heartbeat, successor, delayed=False)
        recovery = Recovery(
            self.database, stores, remover, successor, self.reactor, stale_time=60, interval=10
        )
        self.heartbeat.stopService()
        for _ in range(8):
            recovery.look()
            self.reactor.advance(10)
        self.assertEqual((self.image().status, self.taken()), ("queued", 0))
        self.heartbeat.startService()


@implementer(IOwnerLimits)
class LimitsOfProjects:
    """Limits as Keystone has them; who asked is noted."""

    def __init__(self, **limits):
        self.limits = limits
        self.asked = []

    def of(self, owner):
        self.asked.append(owner)
        if owner not in self.limits:
            return fail(Unavailable("Keystone is away"))
        answer = Deferred()
        answer.callback(OwnerLimits(owner, **self.limits[owner]))
        return answer


class TestLimitsOfProjects(QuotaCase):
    def upload_as(self, viewer, size=None, source=None):
        order = Order(IMAGE, viewer, self.check, size)
        return self.uploader.upload(order, source or Source([bytes(10)]), self.store)

    def limit(self, **limits):
        self.limits = LimitsOfProjects(**limits)
        self.uploader = self.make_uploader(self.limits)

    def test_of_the_caller_s_project(self):
        self.limit(p={"size_total": 10})
        self.add_image(owner="p")
        self.result(self.upload_as(PROJECT, 10))
        self.assertEqual(self.limits.asked, ["p"])

    def test_of_the_image_s_owner_when_that_is_another(self):
        self.limit(p={"size_total": 10}, q={"size_total": 9})
        self.add_image(owner="p", visibility="public")
        self.result(self.upload_as(Viewer("q", is_admin=True), 10))
        self.assertEqual(self.limits.asked, ["q", "p"])
        self.assertEqual((self.taken("p"), self.taken("q")), (10, 0))

    def test_numbers_of_another_project_are_not_told(self):
        self.limit(p={"size_total": 17}, q={"size_total": 99})
        self.add_image(owner="p", visibility="public")
        for size, sent in ((18, 18), (None, 18)):
            source = Source([bytes(sent)])
            error = self.failure(self.upload_as(Viewer("q"), size, source), LimitExceeded)
            self.assertNotIn("17", error.message)
        error = self.failure(self.upload_as(PROJECT, 18), LimitExceeded)
        self.assertIn("17", error.message)

    def test_owner_that_changes_all_the_time(self):
        self.limit(p={}, q={"size_total": 1})
        self.add_image(owner="q", visibility="public")
        changing = iter("pqpqpqpqpqpq")

        def thd_swap(connection, image, *args):
            image.owner = next(changing)
            return real(connection, image, *args)

        real = quotas.thd_check_upload
        self.patch(quotas, "thd_check_upload", lambda *args: thd_swap(*args))
        self.failure(self.upload_as(Viewer("q")), Conflict)
        self.assertEqual((self.image().status, self.all_leases()), ("queued", []))

    def test_keystone_is_away(self):
        self.limit()
        self.add_image(owner="p")
        self.failure(self.upload_as(PROJECT), Unavailable)
        self.assertEqual((self.image().status, self.store.calls), ("queued", []))

    def test_uploads_at_once(self):
        self.limit(p={"count_uploading": 1})
        self.add_image(owner="p")
        going_on = Deferred.fromCoroutine(
            self.upload_as(PROJECT, source=Source([wait := Deferred(), b"x"]))
        )
        self.add_image(id=OTHER, owner="p")
        order = Order(OTHER, PROJECT, self.check, 1)
        self.failure(self.uploader.upload(order, Source([b"x"]), self.store), LimitExceeded)
        wait.callback(None)
        self.successResultOf(going_on)
        self.result(self.uploader.upload(order, Source([b"x"]), self.store))
