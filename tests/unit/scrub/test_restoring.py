"""Taking a deletion back: what comes back, what does not, and who is in the way."""

from datetime import timedelta

from sqlalchemy import insert, update
from twisted.internet.defer import Deferred, maybeDeferred

from glance.db import images, leases
from glance.db.columns import utcnow
from glance.db.tables import image_locations, image_members, image_properties, image_tags
from glance.domain.errors import Conflict, InvalidStatus, NotFound
from glance.domain.image import Location
from glance.scrub import restoring
from glance.scrub.restoring import Restorer
from glance.stores.errors import StoreError
from tests.unit.scrub.doubles import ELSEWHERE, SIBLING, ScrubCase
from tests.unit.transfers.doubles import EVERYTHING, IMAGE, US


class TestRestoring(ScrubCase):
    def setUp(self):
        super().setUp()
        self.patch(restoring, "deferToThread", maybeDeferred)
        self.patch(restoring, "thd_is_alive", lambda worker: worker in self.alive)
        self.restorer = Restorer(self.database, self.stores, self.heartbeat, US, self.reactor)
        self.add_image(
            status="active", size=4, tags=["one", "two"], properties={"os": "linux", "gone": "x"}
        )
        self.put("fast")

    def put(self, store_id, name=IMAGE):
        self.run_in_database(
            images.thd_add_location, IMAGE, Location(f"memory:{name}", {"store": store_id})
        )
        self.stores.by_id[store_id].objects[name] = b"data"

    def share(self, member):
        self.write(insert(image_members).values(image_id=IMAGE, member=member, status="accepted"))

    def members(self):
        query = image_members.select().where(image_members.c.deleted.is_(False))
        rows = self.successResultOf(self.database.runQuery(query))
        return sorted(row[2] for row in rows)

    def delete(self):
        self.run_in_database(
            images.thd_mark_deleted,
            self.run_in_database(images.thd_get, IMAGE, EVERYTHING),
            delayed=True,
        )

    def restore(self):
        return self.result(self.restorer.restore(IMAGE))

    def refused(self, kind=Conflict):
        error = self.failure(self.restorer.restore(IMAGE), kind)
        return error.message

    def hold(self, identity, kind=leases.SCRUB):
        self.take_lease(identity, kind, None)

    def test_everything_that_was_deleted_with_it_comes_back(self):
        self.share("project-1")
        before = self.image()
        self.delete()
        self.assertEqual(self.members(), [])
        self.restore()
        after = self.image()
        self.assertEqual((after.status, after.size), ("active", 4))
        self.assertEqual(after.properties, before.properties)
        self.assertEqual(sorted(after.tags), ["one", "two"])
        self.assertEqual(after.locations, before.locations)
        self.assertEqual(self.members(), ["project-1"])
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(self.fast.objects, {IMAGE: b"data"})
        self.assertTrue(self.run_pass().idle)

    def test_what_was_removed_before_does_not(self):
        self.share("project-1")
        before = self.image()
        after = self.image()
        del after.properties["gone"]
        after.tags.remove("one")
        self.run_in_database(images.thd_update, before, after)
        then = utcnow() - timedelta(hours=1)
        self.write(update(image_members).values(deleted=True, deleted_at=then))
        for table in (image_properties, image_tags):
            self.write(update(table).where(table.c.deleted.is_(True)).values(deleted_at=then))
        self.put("slow", "older")
        self.write(
            update(image_locations)
            .where(image_locations.c.value == "memory:older")
            .values(deleted=True, deleted_at=then, status="pending_delete")
        )
        self.delete()
        self.restore()
        image = self.image()
        self.assertEqual((image.properties, image.tags), ({"os": "linux"}, ["two"]))
        self.assertEqual([place.url for place in image.locations], [f"memory:{IMAGE}"])
        self.assertEqual(self.members(), [])

    def test_work_that_was_under_way_does_not(self):
        before, after = self.image(), self.image()
        after.properties["os_glance_importing_to_stores"] = "slow"
        self.run_in_database(images.thd_update, before, after)
        self.delete()
        self.restore()
        self.assertEqual(self.image().properties, {"os": "linux", "gone": "x"})

    def test_marks_of_the_openstack_service(self):
        """It marks the locations a moment before the image."""
        self.delete()
        moment = utcnow() - timedelta(seconds=1)
        self.write(update(image_locations).values(deleted_at=moment))
        self.restore()
        self.assertEqual(len(self.image().locations), 1)

    def test_unknown(self):
        error = self.failure(self.restorer.restore("nosuch"), NotFound)
        self.assertEqual(error.message, "No image found with ID nosuch.")

    def test_wrong_status(self):
        self.assertIn("is active;", self.refused(InvalidStatus))
        self.delete()
        self.run_pass()
        self.assertIn("is deleted;", self.refused(InvalidStatus))
        self.assertEqual(self.all_leases(), [])

    def test_twice(self):
        self.delete()
        self.restore()
        self.assertIn("is active;", self.refused(InvalidStatus))

    def test_scrubber_that_lives(self):
        self.delete()
        self.hold(SIBLING)
        self.alive.add(SIBLING.worker)
        message = self.refused()
        self.assertIn("its data is being deleted by process 200 on node", message)
        self.assertEqual(len(self.all_leases()), 1)
        self.assertEqual(self.status(IMAGE), "pending_delete")

    def test_scrubber_on_another_node(self):
        self.delete()
        self.hold(ELSEWHERE)
        self.assertIn("on another node", self.refused())
        self.assertEqual(len(self.all_leases()), 1)

    def test_scrubber_that_died_here(self):
        self.delete()
        self.hold(SIBLING)
        self.restore()
        self.assertEqual((self.image().status, self.all_leases()), ("active", []))

    def test_other_work_is_waited_for(self):
        self.delete()
        self.hold(SIBLING, leases.REMOVAL)
        self.assertIn("being undone", self.refused())

    def test_scrubber_that_died_after_deleting_the_data(self):
        self.delete()
        self.fast.objects.clear()
        self.assertIn("its data has been deleted already", self.refused())
        self.assertEqual((self.status(IMAGE), self.all_leases()), ("pending_delete", []))

    def test_one_copy_is_left(self):
        self.put("slow")
        self.delete()
        self.fast.objects.clear()
        self.restore()
        self.assertEqual([place.store_id for place in self.image().locations], ["slow"])

    def test_copy_that_has_been_scrubbed(self):
        self.put("slow")
        self.delete()
        self.slow.faults["delete"] = StoreError("away")
        done = self.begin()
        self.advance(60)
        self.successResultOf(done)
        self.restore()
        self.assertEqual([place.store_id for place in self.image().locations], ["slow"])

    def test_store_that_cannot_tell(self):
        self.delete()
        self.fast.faults["size_of"] = StoreError("away")
        self.assertIn("cannot be told; store fast: away", self.refused())
        self.assertEqual(self.all_leases(), [])
        self.put("slow")
        self.write(
            update(image_locations).values(
                deleted=True, deleted_at=utcnow(), status="pending_delete"
            )
        )
        self.restore()
        self.assertEqual(len(self.image().locations), 2)

    def test_scrubber_is_kept_away_meanwhile(self):
        self.delete()
        self.fast.faults["size_of"] = looking = Deferred()
        done = Deferred.fromCoroutine(self.restorer.restore(IMAGE))
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.skipped), (0, 1))
        looking.callback(None)
        self.successResultOf(done)
        self.assertEqual(self.image().status, "active")

    def test_store_that_hangs(self):
        self.delete()
        self.fast.faults["size_of"] = Deferred()
        done = Deferred.fromCoroutine(self.restorer.restore(IMAGE))
        self.advance(restoring.LOOK_TIME)
        self.failureResultOf(done, Conflict)
        self.assertEqual(self.all_leases(), [])

    def test_lease_that_is_lost_meanwhile(self):
        self.delete()
        self.fast.faults["size_of"] = looking = Deferred()
        done = Deferred.fromCoroutine(self.restorer.restore(IMAGE))
        self.end_leases()
        looking.callback(None)
        self.failureResultOf(done, Conflict)
        self.assertEqual(self.status(IMAGE), "pending_delete")
        self.assertEqual(self.location_statuses(IMAGE), ["pending_delete"])
