"""Deleting takes the data and the record, and decides on the image as it is, not as it was."""

from dataclasses import replace

from twisted.internet.defer import Deferred, fail

from glance.db import images, leases
from glance.domain.errors import Conflict, Forbidden, NotFound
from glance.domain.image import Image, Location
from glance.stores.errors import DeleteNotSupported, InUse
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.removal import Remover
from tests.unit.transfers.doubles import (
    EVERYTHING,
    IMAGE,
    US,
    CatalogueCase,
    FakeStores,
    MemoryStore,
)

BEAT = 10.0
OTHER = "2f0b1f8a-0c43-4bd5-9b0f-3f6f5f5e8c22"


class RemovalCase(CatalogueCase):
    delayed = False

    def setUp(self):
        super().setUp()
        self.store = MemoryStore()
        self.heartbeat = Heartbeat(self.database, self.reactor, BEAT)
        self.heartbeat.startService()
        self.addCleanup(self.heartbeat.stopService)
        self.remover = Remover(
            self.database, FakeStores(self.store), self.heartbeat, US, delayed=self.delayed
        )

    def active(self, **fields):
        image = self.add_image(status="active", size=4, **fields)
        self.run_in_database(
            images.thd_add_location, IMAGE, Location(f"memory:{IMAGE}", {"store": "memory"})
        )
        self.store.objects[IMAGE] = b"data"
        return image

    def remove(self):
        return self.deferred(self.remover.remove(IMAGE, EVERYTHING, lambda image: None))

    def deferred(self, work):
        return Deferred.fromCoroutine(work)

    def assertGone(self):
        self.assertNotFound()
        self.assertEqual((self.store.objects, self.all_leases()), ({}, []))

    def assertNotFound(self):
        getting = self.database.runInteraction(images.thd_get, IMAGE, EVERYTHING)
        self.failureResultOf(getting, NotFound)

    def assertKept(self, status="active"):
        self.assertEqual((self.image().status, self.all_leases()), (status, []))
        self.assertEqual(self.store.objects, {IMAGE: b"data"})


class TestRemoval(RemovalCase):
    def test_image_without_data(self):
        self.add_image()
        self.successResultOf(self.remove())
        self.assertGone()

    def test_image_with_data(self):
        self.active()
        self.successResultOf(self.remove())
        self.assertGone()

    def test_data_of_another_image_stays(self):
        """Whoever may name places can name those of others (OSSN-0065)."""
        anothers = f"memory:{OTHER}"
        self.run_in_database(images.thd_insert, Image(id=OTHER, status="active", size=4))
        self.run_in_database(
            images.thd_add_location, OTHER, Location(anothers, {"store": "memory"})
        )
        self.store.objects[OTHER] = b"data"
        self.active()
        self.run_in_database(
            images.thd_add_location, IMAGE, Location(anothers, {"store": "memory"})
        )
        self.successResultOf(self.remove())
        self.assertNotFound()
        self.assertEqual((self.store.objects, self.all_leases()), ({OTHER: b"data"}, []))

    def test_data_that_is_gone_already(self):
        self.active()
        self.store.objects.clear()
        self.successResultOf(self.remove())
        self.assertGone()

    def test_protected_meanwhile(self):
        image = self.active()
        self.run_in_database(images.thd_update, image, replace(image, protected=True))
        self.failureResultOf(self.remove(), Forbidden)
        self.assertKept()

    def test_caller_who_may_not(self):
        self.active()

        def refuse(image):
            raise Forbidden("no")

        removing = self.deferred(self.remover.remove(IMAGE, EVERYTHING, refuse))
        self.failureResultOf(removing, Forbidden)
        self.assertKept()

    def test_store_that_refuses(self):
        self.active()
        self.store.faults = {"delete": InUse("cloned")}
        self.failureResultOf(self.remove(), InUse)
        self.assertKept()

    def test_data_that_is_not_the_store_s_to_delete_counts_as_deleted(self):
        self.active()
        self.store.faults = {"delete": DeleteNotSupported("elsewhere")}
        self.successResultOf(self.remove())
        self.assertNotFound()
        self.assertEqual(self.all_leases(), [])

    def test_store_that_refuses_a_second_copy(self):
        self.active()
        self.run_in_database(
            images.thd_add_location, IMAGE, Location("memory:copy", {"store": "memory"})
        )
        self.store.objects["copy"] = b"data"
        delete = self.store.delete
        self.store.delete = lambda url: fail(InUse("cloned")) if "copy" in url else delete(url)
        self.failureResultOf(self.remove(), InUse)
        self.assertEqual([place.url for place in self.image().locations], ["memory:copy"])
        self.assertEqual((self.image().status, self.all_leases()), ("active", []))

    def test_second_one_while_the_first_goes_on(self):
        self.active()
        self.store.faults = {"delete": (hanging := Deferred())}
        first = self.remove()
        self.failureResultOf(self.remove(), Conflict)
        hanging.callback(None)
        self.successResultOf(first)
        self.assertGone()

    def test_deactivated_meanwhile(self):
        self.active()
        self.store.faults = {"delete": (hanging := Deferred())}
        removing = self.remove()
        self.run_in_database(images.thd_set_status, IMAGE, "active", "deactivated")
        hanging.callback(None)
        self.successResultOf(removing)
        self.assertGone()

    def test_lease_beats_while_the_store_works(self):
        self.active()
        self.store.faults = {"delete": (hanging := Deferred())}
        removing = self.remove()
        (before,) = self.all_leases()
        self.reactor.advance(BEAT)
        (after,) = self.all_leases()
        self.assertGreater(after.heartbeat_at, before.heartbeat_at)
        hanging.callback(None)
        self.successResultOf(removing)

    def test_upload_under_way_turns_into_a_removal(self):
        self.add_image(status="saving")
        self.take_lease()
        self.successResultOf(self.remove())
        self.assertEqual([lease.kind for lease in self.all_leases()], [leases.REMOVAL])


class TestDelayed(RemovalCase):
    delayed = True

    def test_data_is_left_to_the_scrubber(self):
        self.active()
        self.successResultOf(self.remove())
        self.assertEqual(self.store.objects, {IMAGE: b"data"})
        self.assertNotFound()

    def test_deactivated_image_goes_at_once(self):
        self.active()
        self.run_in_database(images.thd_set_status, IMAGE, "active", "deactivated")
        self.successResultOf(self.remove())
        self.assertGone()
