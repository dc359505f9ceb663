"""What dead workers left is put right, and what live ones hold is left alone."""

from twisted.internet.defer import Deferred, maybeDeferred

from glance.db import images, leases
from glance.domain.errors import NotFound
from glance.domain.image import Location
from glance.stores.errors import InUse, StoreError
from glance.transfers import recovery, watch
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.recovery import Recovery
from glance.transfers.removal import Remover
from glance.transfers.worker import WorkerIdentity
from tests.unit.transfers.doubles import (
    EVERYTHING,
    IMAGE,
    US,
    CatalogueCase,
    FakeStores,
    MemoryStore,
)

OTHER = "2f0b1f8a-0c43-4bd5-9b0f-3f6f5f5e8c22"
STALE = 60.0
INTERVAL = 10.0
SIBLING = WorkerIdentity(US.node, "200.1")
ELSEWHERE = WorkerIdentity("another node", US.worker)


class RecoveryCase(CatalogueCase):
    def setUp(self):
        super().setUp()
        self.alive = set()
        self.patch(watch, "deferToThread", maybeDeferred)
        self.patch(watch, "thd_is_alive", lambda worker: worker in self.alive)
        self.store = MemoryStore()
        stores = FakeStores(self.store)
        self.recovery = Recovery(
            self.database,
            stores,
            Remover(
                self.database,
                stores,
                Heartbeat(self.database, self.reactor, INTERVAL),
                US,
                delayed=False,
            ),
            US,
            self.reactor,
            stale_time=STALE,
            interval=INTERVAL,
        )

    def time_passes(self, seconds):
        """Let the clock go on after the leases have been seen once."""
        self.look()
        while seconds > 0:
            step = min(seconds, INTERVAL)
            self.reactor.advance(step)
            seconds -= step
            self.look()

    def look(self):
        self.recovery.look()

    def interrupted_upload(self, identity, image_id=IMAGE, store_id="memory"):
        self.add_image(id=image_id, status="saving")
        self.run_in_database(
            leases.thd_take, image_id, leases.UPLOAD, identity.node, identity.worker, store_id
        )

    def interrupted_removal(self, identity):
        self.add_image(status="active", size=4)
        self.run_in_database(
            images.thd_add_location, IMAGE, Location(f"memory:{IMAGE}", {"store": "memory"})
        )
        self.store.objects[IMAGE] = b"data"
        self.take_lease(identity, leases.REMOVAL, None)

    def assertRecovered(self):
        self.assertEqual((self.image().status, self.all_leases()), ("queued", []))

    def assertLeftAlone(self):
        self.assertEqual((self.image().status, len(self.all_leases())), ("saving", 1))


class TestUploads(RecoveryCase):
    def test_dead_worker_of_this_node(self):
        self.interrupted_upload(SIBLING)
        self.look()
        self.assertRecovered()

    def test_data_stored_but_not_recorded_is_removed(self):
        self.interrupted_upload(SIBLING)
        self.store.objects = {IMAGE: b"orphaned", OTHER: b"another's"}
        self.look()
        self.assertEqual(self.store.objects, {OTHER: b"another's"})
        self.assertRecovered()

    def test_live_worker_of_this_node(self):
        self.interrupted_upload(SIBLING)
        self.alive.add(SIBLING.worker)
        self.look()
        self.assertLeftAlone()

    def test_our_own(self):
        self.interrupted_upload(US)
        self.look()
        self.assertLeftAlone()

    def test_other_node_while_it_beats(self):
        self.interrupted_upload(ELSEWHERE)
        self.time_passes(STALE - 1)
        self.look()
        self.assertLeftAlone()

    def test_other_node_that_stopped_beating(self):
        self.interrupted_upload(ELSEWHERE)
        self.time_passes(STALE + 1)
        self.look()
        self.assertRecovered()

    def test_live_worker_that_is_slow(self):
        self.interrupted_upload(SIBLING)
        self.alive.add(SIBLING.worker)
        self.time_passes(STALE + 1)
        self.assertLeftAlone()

    def test_our_own_that_nobody_renews(self):
        self.interrupted_upload(US)
        self.time_passes(STALE + 1)
        self.assertRecovered()

    def test_time_in_which_the_database_was_away_does_not_count(self):
        self.interrupted_upload(ELSEWHERE)
        self.look()
        self.reactor.advance(2 * STALE)
        self.look()
        self.assertLeftAlone()
        self.time_passes(STALE - 1)
        self.assertLeftAlone()
        self.time_passes(1)
        self.assertRecovered()

    def test_store_that_hangs_holds_up_its_own_only(self):
        self.interrupted_upload(SIBLING)
        self.interrupted_upload(SIBLING, OTHER)
        hanging = Deferred()
        delete = self.store.delete
        self.store.delete = lambda url: hanging if url.endswith(IMAGE) else delete(url)
        self.look()
        other = self.run_in_database(images.thd_get, OTHER, EVERYTHING)
        self.assertEqual(other.status, "queued")
        self.assertEqual(self.image().status, "saving")
        hanging.callback(None)
        self.assertRecovered()

    def test_heartbeat_that_comes_just_in_time_keeps_the_lease(self):
        self.interrupted_upload(SIBLING)
        (lease,) = self.all_leases()

        def beats_and_looks_dead(worker):
            self.run_in_database(leases.thd_beat, {lease.id: (leases.UPLOAD, 1)})
            return False

        self.patch(watch, "thd_is_alive", beats_and_looks_dead)
        self.look()
        self.assertLeftAlone()
        self.assertEqual(self.all_leases()[0].id, lease.id)

    def test_upload_that_ended_just_in_time_is_not_undone(self):
        self.interrupted_upload(SIBLING)

        def ends_and_looks_dead(worker):
            self.end_leases()
            self.run_in_database(images.thd_set_status, IMAGE, "saving", "active")
            self.store.objects[IMAGE] = b"data"
            return False

        self.patch(watch, "thd_is_alive", ends_and_looks_dead)
        self.look()
        self.assertEqual(self.image().status, "active")
        self.assertEqual(self.store.objects, {IMAGE: b"data"})

    def test_store_that_is_not_configured_any_more(self):
        self.interrupted_upload(SIBLING, store_id="retired")
        self.look()
        self.assertRecovered()

    def test_one_failure_does_not_keep_the_others_from_recovering(self):
        self.interrupted_upload(SIBLING)
        self.interrupted_upload(SIBLING, OTHER)
        self.store.objects = {IMAGE: b"orphaned"}
        delete = self.store.delete
        broken = f"memory:{IMAGE}"

        def sometimes(url):
            self.store.faults = {"delete": StoreError("away")} if url == broken else {}
            return delete(url)

        self.store.delete = sometimes
        self.look()
        other = self.run_in_database(images.thd_get, OTHER, EVERYTHING)
        self.assertEqual(other.status, "queued")
        self.assertLeftAlone()
        # What failed has a lease that does not beat, and so comes up again.
        del self.store.delete
        self.store.faults = {}
        self.time_passes(STALE + 1)
        self.look()
        self.assertRecovered()
        self.assertEqual(self.store.objects, {})


class TestRemovals(RecoveryCase):
    def assertRemoved(self):
        with self.assertRaises(NotFound):
            self.image_or_error()
        self.assertEqual((self.store.objects, self.all_leases()), ({}, []))

    def image_or_error(self):
        with self.database.engine.connect() as connection:
            return images.thd_get(connection, IMAGE, EVERYTHING)

    def test_interrupted_before_the_data_went(self):
        self.interrupted_removal(SIBLING)
        self.look()
        self.assertRemoved()

    def test_interrupted_after_the_data_went(self):
        self.interrupted_removal(SIBLING)
        self.store.objects.clear()
        self.look()
        self.assertRemoved()

    def test_image_that_is_gone_already(self):
        self.take_lease(SIBLING, leases.REMOVAL, None)
        self.look()
        self.assertEqual(self.all_leases(), [])

    def test_upload_deleted_and_killed_leaves_no_data(self):
        """The image went while its data came, and then the worker, before it could clean up."""
        image = self.add_image(status="saving")
        self.take_lease(SIBLING, leases.UPLOAD, "memory")
        self.run_in_database(images.thd_mark_deleted, image, delayed=False)
        self.run_in_database(leases.thd_turn_to_removal, IMAGE)
        self.store.objects = {IMAGE: b"stored"}
        self.look()
        self.assertRemoved()

    def test_store_that_refuses_keeps_the_image(self):
        self.interrupted_removal(SIBLING)
        self.store.faults = {"delete": InUse("cloned")}
        self.look()
        self.assertEqual((self.image().status, self.all_leases()), ("active", []))

    def test_live_worker_goes_on(self):
        self.interrupted_removal(SIBLING)
        self.alive.add(SIBLING.worker)
        self.look()
        self.assertEqual(self.image().status, "active")
        self.assertEqual(self.store.objects, {IMAGE: b"data"})


class TestLooking(RecoveryCase):
    def test_at_the_start_and_at_the_interval(self):
        self.recovery.startService()
        self.addCleanup(self.recovery.stopService)
        self.assertEqual(self.store.calls, ["sweep"])
        self.interrupted_upload(SIBLING)
        self.reactor.advance(INTERVAL - 1)
        self.assertLeftAlone()
        self.reactor.advance(1)
        self.assertRecovered()
        self.assertEqual(self.store.calls.count("sweep"), 2)

    def test_no_more_once_stopped(self):
        self.recovery.startService()
        self.recovery.stopService()
        self.reactor.advance(10 * INTERVAL)
        self.assertEqual(self.store.calls, ["sweep"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopping_waits_for_a_look_under_way(self):
        self.store.faults = {"sweep": Deferred()}
        self.recovery.startService()
        stopping = self.recovery.stopService()
        self.assertNoResult(stopping)
        self.store.faults["sweep"].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopping_does_not_wait_for_ever(self):
        self.store.faults = {"sweep": Deferred()}
        self.recovery.startService()
        stopping = self.recovery.stopService()
        self.reactor.advance(recovery.STOP_TIME)
        self.successResultOf(stopping)
        self.store.faults["sweep"].callback(None)

    def test_failure_does_not_keep_the_next_look_from_coming(self):
        self.store.faults = {"sweep": StoreError("away")}
        self.recovery.startService()
        self.addCleanup(self.recovery.stopService)
        self.reactor.advance(INTERVAL)
        self.assertEqual(self.store.calls, ["sweep", "sweep"])
