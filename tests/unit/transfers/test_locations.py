"""Locations come and go, and no data is deleted that an image still says it has."""

from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred

from glance.db import images, leases, locations
from glance.domain.errors import Conflict, Forbidden, Invalid, InvalidStatus, NotFound
from glance.domain.image import Image, Location
from glance.domain.viewer import Viewer
from glance.stores.errors import DeleteNotSupported, InUse, RemoteUnavailable, StoreError
from glance.transfers.detached import detached
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.locations import LocationKeeper
from glance.transfers.removal import Remover
from tests.unit.transfers.doubles import (
    EVERYTHING,
    IMAGE,
    US,
    CatalogueCase,
    FakeStores,
    MemoryStore,
)

OTHER = "2f0b1f8a-0c43-4bd5-9b0f-3f6f5f5e8c22"
HERE, COPY = "memory:here", "memory:copy"


class KeeperCase(CatalogueCase):
    def setUp(self):
        super().setUp()
        self.store = MemoryStore()
        self.stores = FakeStores(self.store)
        self.heartbeat = Heartbeat(self.database, self.reactor, 10)
        self.keeper = LocationKeeper(self.database, self.stores, self.heartbeat, US)
        self.store.objects = {"here": b"data", "copy": b"data"}

    def active(self, *urls, copy_in="memory"):
        self.add_image(status="active", size=4)
        for url in urls:
            metadata = {"store": copy_in if url == COPY else "memory"}
            self.run_in_database(images.thd_add_location, IMAGE, Location(url, metadata))

    def urls(self):
        return [place.url for place in self.image().locations]

    def change(self, change):
        """Save a change of the image, as PATCH does; return what is to be let go."""

        def thd_change(connection):
            before = images.thd_get(connection, IMAGE, EVERYTHING, lock=True)
            return self.keeper.thd_save(connection, before, change(before))

        return self.run_in_database(thd_change)

    def drop(self, *gone):
        def without(image):
            kept = [place for place in image.locations if place.url not in gone]
            return replace(image, locations=kept)

        return self.change(without)

    def leaving(self):
        return [p.url for p in self.run_in_database(locations.thd_leaving, IMAGE)]


class TestLooking(KeeperCase):
    def test_size(self):
        self.assertEqual(self.result(self.keeper.look(HERE)), 4)

    def test_what_cannot_be_used_is_told_without_the_place(self):
        self.store.objects["empty"] = b""
        for url in ("memory:nowhere", "memory:empty", "other:here"):
            error = self.failure(self.keeper.look(url), Invalid)
            self.assertNotIn(url, error.message)

    def test_store_that_does_not_answer(self):
        self.store.faults = {"size_of": RemoteUnavailable(f"cannot reach {HERE}")}
        self.assertNotIn(HERE, self.failure(self.keeper.look(HERE), Invalid).message)


class TestSaving(KeeperCase):
    def test_first_location(self):
        self.add_image()
        added = [Location(HERE, {"store": "memory"})]
        left = self.change(lambda image: replace(image, status="active", locations=added))
        self.assertIsNone(left)
        self.assertEqual((self.image().status, self.urls()), ("active", [HERE]))

    def test_metadata(self):
        self.active(HERE)
        self.change(
            lambda image: replace(
                image, locations=[replace(p, metadata={"note": "new"}) for p in image.locations]
            )
        )
        self.assertEqual(self.image().locations[0].metadata, {"note": "new"})

    def test_image_that_moved_on(self):
        self.add_image()

        def thd_change(connection):
            before = images.thd_get(connection, IMAGE, EVERYTHING)
            images.thd_set_status(connection, IMAGE, "queued", "saving")
            self.keeper.thd_save(connection, before, replace(before, status="active"))

        self.failureResultOf(self.database.runInteraction(thd_change), Conflict)
        self.assertEqual(self.image().status, "queued")


class TestLettingGo(KeeperCase):
    def test_data_goes_with_the_location(self):
        self.active(HERE, COPY)
        left = self.drop(COPY)
        self.assertEqual((self.urls(), self.leaving()), ([HERE], [COPY]))
        self.assertIn("copy", self.store.objects)
        self.result(self.keeper.let_go(left))
        self.assertEqual(self.store.objects, {"here": b"data"})
        self.assertEqual((self.leaving(), self.all_leases()), ([], []))

    def test_store_that_refuses_gets_the_location_back(self):
        self.active(HERE, COPY)
        left = self.drop(COPY)
        self.store.faults = {"delete": InUse("cloned")}
        self.failure(self.keeper.let_go(left), InUse)
        self.assertEqual(sorted(self.urls()), [COPY, HERE])
        self.assertEqual((self.leaving(), self.all_leases()), ([], []))

    def test_foreign_data_stays(self):
        self.active(HERE, COPY)
        left = self.drop(COPY)
        self.store.faults = {"delete": DeleteNotSupported("not ours")}
        self.result(self.keeper.let_go(left))
        self.assertEqual((self.urls(), self.leaving()), ([HERE], []))

    def test_data_that_the_image_has_under_the_same_url_stays(self):
        self.active(HERE, HERE)
        left = self.change(lambda image: replace(image, locations=image.locations[:1]))
        self.result(self.keeper.let_go(left))
        self.assertIn("here", self.store.objects)
        self.assertEqual(self.urls(), [HERE])

    def test_data_of_another_image_stays(self):
        """Whoever may name places can name those of others (OSSN-0065)."""
        anothers = f"memory:{OTHER}"
        self.run_in_database(images.thd_insert, Image(id=OTHER, status="active", size=4))
        self.run_in_database(
            images.thd_add_location, OTHER, Location(anothers, {"store": "memory"})
        )
        self.store.objects[OTHER] = b"data"
        self.active(HERE, anothers)
        self.result(self.keeper.let_go(self.drop(anothers)))
        self.assertEqual((self.urls(), self.leaving()), ([HERE], []))
        self.run_in_database(
            images.thd_add_location, IMAGE, Location(anothers, {"store": "memory"})
        )
        lease = self.drop(anothers).lease
        self.result(self.keeper.finish_interrupted(IMAGE, lease))
        self.assertEqual((self.urls(), self.leaving()), ([HERE], []))
        self.assertIn(OTHER, self.store.objects)

    def test_one_at_a_time(self):
        self.active(HERE, COPY)
        self.drop(COPY)
        with self.assertRaises(self.failureException) as caught:
            self.drop(HERE)
        self.assertIn("Conflict", str(caught.exception))
        self.assertEqual(self.urls(), [HERE])

    def test_image_is_not_deleted_meanwhile(self):
        self.active(HERE, COPY)
        left = self.drop(COPY)
        remover = Remover(self.database, self.stores, self.heartbeat, US, delayed=False)
        removing = remover.remove(IMAGE, EVERYTHING, lambda image: None)
        self.failure(removing, Conflict)
        self.result(self.keeper.let_go(left))
        self.result(remover.remove(IMAGE, EVERYTHING, lambda image: None))
        self.assertEqual(self.store.objects, {})

    def test_what_a_dead_process_began_is_finished(self):
        self.active(HERE, COPY)
        lease = self.drop(COPY).lease
        self.result(self.keeper.finish_interrupted(IMAGE, lease))
        self.assertEqual(self.store.objects, {"here": b"data"})
        self.assertEqual((self.urls(), self.leaving(), self.all_leases()), ([HERE], [], []))

    def test_data_that_is_being_hashed_stays(self):
        self.active(HERE, COPY)
        self.take_lease(kind=leases.HASHING)
        with self.assertRaises(self.failureException) as caught:
            self.drop(COPY)
        self.assertIn("Conflict", str(caught.exception))
        self.assertEqual([lease.kind for lease in self.all_leases()], [leases.HASHING])

    def test_whole_image_left_to_the_scrubber_meanwhile(self):
        self.active(HERE, COPY)
        left = self.drop(COPY)
        remover = Remover(self.database, self.stores, self.heartbeat, US, delayed=True)
        self.result(remover.remove(IMAGE, EVERYTHING, lambda image: None))
        self.store.faults = {"delete": InUse("cloned")}
        self.failure(self.keeper.let_go(left), InUse)
        self.assertEqual(self.leaving(), [HERE, COPY])

    def test_recovery_leaves_a_deleted_image_to_the_scrubber(self):
        """A verification may have held it, and died; it can still be restored."""
        self.active(HERE, COPY)
        self.run_in_database(images.thd_mark_deleted, self.image(), delayed=True)
        lease = self.take_lease(kind=leases.LOCATION, store_id=None)
        self.result(self.keeper.finish_interrupted(IMAGE, lease))
        self.assertEqual(self.store.objects, {"here": b"data", "copy": b"data"})
        self.assertEqual((self.leaving(), self.all_leases()), ([HERE, COPY], []))

    def test_rest_follows_though_the_client_went_away(self):
        self.active(HERE, COPY)
        saving = Deferred()

        async def save():
            await saving
            return "image", self.drop(COPY)

        waiting = detached(self.keeper.change(save))
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        waiting.cancel()
        saving.callback(None)
        self.assertEqual((self.store.objects, self.all_leases()), ({"here": b"data"}, []))


class TestOneStore(KeeperCase):
    def remove(self, store_id="memory", viewer=EVERYTHING, check=lambda image: None):
        return self.keeper.remove_from_store(IMAGE, store_id, viewer, check)

    def test_copy_goes(self):
        self.active(HERE, COPY, copy_in="gone")
        before = self.image().updated_at
        self.result(self.remove())
        self.assertEqual((self.urls(), self.store.objects), ([COPY], {"copy": b"data"}))
        self.assertGreater(self.image().updated_at, before)

    def test_copy_that_was_gone_already(self):
        self.active(HERE, COPY, copy_in="gone")
        del self.store.objects["here"]
        self.failure(self.remove(), NotFound)
        self.assertEqual(self.urls(), [COPY])

    def test_refused(self):
        self.active(HERE, COPY)
        self.failure(self.remove(), Forbidden)
        self.failure(self.remove("other"), NotFound)
        self.failure(self.remove(viewer=Viewer("stranger")), NotFound)

        def check(image):
            raise Forbidden("no")

        self.failure(self.remove(check=check), Forbidden)
        self.run_in_database(images.thd_set_status, IMAGE, "active", "deactivated")
        self.failure(self.remove(), InvalidStatus)
        self.assertEqual(len(self.urls()), 2)

    def test_lease_beats_while_the_store_works(self):
        self.active(HERE, COPY, copy_in="gone")
        self.heartbeat.startService()
        self.addCleanup(self.heartbeat.stopService)
        self.store.faults = {"delete": (hanging := Deferred())}
        removing = Deferred.fromCoroutine(self.remove())
        (before,) = self.all_leases()
        self.reactor.advance(10)
        (after,) = self.all_leases()
        self.assertEqual(before.kind, leases.LOCATION)
        self.assertGreater(after.heartbeat_at, before.heartbeat_at)
        hanging.errback(StoreError("no"))
        self.failureResultOf(removing, StoreError)
        self.assertEqual((len(self.urls()), self.all_leases()), (2, []))
