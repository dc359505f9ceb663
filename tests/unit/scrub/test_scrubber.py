"""A pass: what is taken, in which order, what is recorded, and who is left alone."""

import random
from functools import partial
from types import SimpleNamespace
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import alsoProvides

from glance.db import images, leases, pending
from glance.db.sealed_locations import Sealer, seal_with
from glance.domain.errors import Unavailable
from glance.domain.image import Image, Location
from glance.scrub import deletions, lanes, mounts, recorder, scrubber
from glance.scrub.lanes import PAUSES, TRIES
from glance.scrub.reaper import LONG_DEAD
from glance.stores.errors import DataNotFound, DeleteForbidden, DeleteNotSupported, StoreError
from glance.stores.interfaces import IListable
from tests.unit.scrub.doubles import ELSEWHERE, INTERVAL, SIBLING, STALE, ScrubCase
from tests.unit.transfers.doubles import US


class TestPass(ScrubCase):
    def test_nothing(self):
        summary = self.run_pass()
        self.assertTrue(summary.idle)

    def test_data_goes_and_the_catalogue_says_so(self):
        for n in range(7):
            self.pending(f"image-{n}", "fast" if n % 2 else "slow", size=10)
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.size, summary.failed), (7, 70, 0))
        self.assertEqual(set(self.statuses().values()), {"deleted"})
        self.assertEqual(self.location_statuses("image-3"), ["deleted"])
        self.assertEqual((self.fast.objects, self.slow.objects), ({}, {}))
        self.assertEqual(self.all_leases(), [])
        self.assertTrue(self.run_pass().idle)

    def test_oldest_first(self):
        for n, age in enumerate((60, 3600, 600)):
            self.pending(f"image-{n}", "fast", age=age)
        order = []
        delete = self.fast.delete
        self.fast.delete = lambda url: order.append(url) or delete(url)
        self.run_pass()
        self.assertEqual(order, ["memory:image-1", "memory:image-2", "memory:image-0"])

    def test_scrub_time(self):
        self.pending("young", "fast", age=50)
        self.pending("old", "fast", age=70)
        self.scrubber = self.make_scrubber(scrub_time=60)
        self.assertEqual(self.run_pass().images, 1)
        self.assertEqual(self.statuses(), {"young": "pending_delete", "old": "deleted"})

    def test_every_copy(self):
        self.pending("one", "fast", "slow", size=5)
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.size), (1, 10))
        self.assertEqual(self.location_statuses("one"), ["deleted", "deleted"])

    def test_no_location(self):
        self.pending("bare")
        self.assertEqual(self.run_pass().images, 1)
        self.assertEqual(self.status("bare"), "deleted")

    def test_location_that_a_deletion_left_unmarked(self):
        self.pending("one")
        self.add_row("one", "memory:one", "fast", "active")
        self.fast.objects["one"] = b"data"
        self.assertEqual(self.run_pass().images, 1)
        self.assertEqual((self.fast.objects, self.location_statuses("one")), ({}, ["deleted"]))

    def test_deleted_by_other_software_without_a_time(self):
        self.pending("one", "fast")
        self.set_image("one", deleted_at=None)
        self.assertEqual(self.run_pass().images, 1)

    def test_live_images_are_none_of_its_business(self):
        self.add_image(status="active")
        self.add_row(self.image().id, "memory:x", "fast", "pending_delete")
        self.fast.objects["x"] = b"data"
        self.assertTrue(self.run_pass().idle)
        self.assertEqual(self.fast.objects, {"x": b"data"})

    def test_gone_already_and_foreign(self):
        self.pending("gone", "fast")
        self.fast.objects.clear()
        self.pending("foreign", "slow")
        self.slow.faults["delete"] = DeleteNotSupported("not ours")
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.missing, summary.foreign), (2, 1, 1))
        self.assertEqual((summary.size, summary.failed), (0, 0))
        self.assertEqual(set(self.statuses().values()), {"deleted"})

    def test_sealed(self):
        seal_with(self.database.engine, "0123456789abcdef")
        self.pending("one", "fast")
        lost = Sealer("another key 1234").seal("memory:two")
        self.pending("two")
        self.add_row("two", lost, "fast", "pending_delete")
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.failed), (1, 1))
        self.assertEqual(self.statuses(), {"one": "deleted", "two": "pending_delete"})
        ((_, reason),) = summary.failures
        self.assertNotIn(lost, reason)

    def live(self, image_id, url):
        """Make an image that is in use, and whose data is where a URL leads."""
        self.run_in_database(images.thd_insert, Image(id=image_id, status="active", size=4))
        location = Location(url, {"store": "fast"})
        self.run_in_database(images.thd_add_location, image_id, location)

    def assertStays(self, image_id, name):
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.shared, summary.size), (1, 1, 0))
        self.assertIn(name, self.fast.objects)
        self.assertEqual(self.status(image_id), "deleted")
        self.assertEqual(self.location_statuses(image_id), ["deleted"])

    def test_data_that_another_image_has_too(self):
        self.pending("gone", "fast")
        self.live("other", "memory:gone")
        self.assertStays("gone", "gone")

    def test_data_that_another_image_has_too_sealed(self):
        self.pending("gone", "fast")
        seal_with(self.database.engine, "0123456789abcdef")
        self.live("other", "memory:gone")
        self.assertStays("gone", "gone")

    def test_data_that_is_another_images(self):
        self.live("other", "memory:other")
        self.fast.objects["other"] = b"data"
        self.pending("gone")
        self.add_row("gone", "memory://other", "fast", "pending_delete")
        self.assertStays("gone", "other")

    def test_data_that_nobody_has_any_more(self):
        self.pending("one", "fast")
        self.pending("two")
        self.add_row("two", "memory:one", "fast", "pending_delete")
        self.pending("three", "fast")
        self.live("other", "memory:elsewhere")
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.shared), (3, 0))
        self.assertEqual(self.fast.objects, {})

    def test_many_pages_and_batches(self):
        self.patch(scrubber, "PAGE", 7)
        self.patch(scrubber, "BATCH", 3)
        self.patch(recorder, "BATCH", 2)
        for n in range(40):
            self.pending(f"image-{n:02}", "fast", age=60 + n % 3)
        self.assertEqual(self.run_pass().images, 40)
        self.assertEqual(set(self.statuses().values()), {"deleted"})

    def test_no_more_at_once_than_configured(self):
        for n in range(5):
            self.pending(f"image-{n}", "fast")
        self.fast.faults["delete"] = Deferred()
        done = self.begin()
        self.assertEqual(self.fast.calls.count("delete"), self.pool_size)
        hanging = self.fast.faults.pop("delete")
        hanging.callback(None)
        self.assertEqual(self.successResultOf(done).images, 5)


class TestLeases(ScrubCase):
    def hold(self, image_id, identity, kind=leases.SCRUB):
        return self.run_in_database(leases.thd_take, image_id, kind, identity.node, identity.worker)

    def test_others_are_left_alone(self):
        self.pending("mine", "fast")
        self.pending("theirs", "fast")
        self.hold("theirs", SIBLING)
        self.alive.add(SIBLING.worker)
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.skipped, summary.failed), (1, 1, 0))
        self.assertEqual(self.statuses(), {"mine": "deleted", "theirs": "pending_delete"})
        self.assertEqual(len(self.all_leases()), 1)

    def test_dead_on_this_node(self):
        self.pending("one", "fast")
        self.hold("one", SIBLING)
        self.assertEqual(self.run_pass().images, 1)

    def test_dead_work_of_other_kinds_is_for_the_api(self):
        self.pending("one", "fast")
        self.hold("one", SIBLING, leases.REMOVAL)
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.skipped), (0, 1))

    def test_other_node_whose_heartbeat_stands_still(self):
        self.pending("one", "fast")
        self.hold("one", ELSEWHERE)
        self.assertEqual(self.run_pass().skipped, 1)
        self.reaper.startService()
        self.advance(STALE - 1)
        self.assertEqual(self.run_pass().skipped, 1)
        self.advance(INTERVAL + 1)
        self.reaper.stopService()
        self.assertEqual(self.run_pass().images, 1)

    def test_other_node_that_has_been_silent_for_very_long(self):
        self.pending("one", "fast")
        self.hold("one", ELSEWHERE)
        then = leases.utcnow() - LONG_DEAD
        self.write(leases.update(leases.transfer_leases).values(heartbeat_at=then))
        self.assertEqual(self.run_pass().images, 1)

    def test_restored_between_list_and_claim(self):
        self.pending("one", "fast")
        real = pending.thd_claim

        def late(connection, *args):
            connection.execute(leases.update(pending.images).values(status="active", deleted=False))
            return real(connection, *args)

        with mock.patch("glance.scrub.scrubber.thd_claim", late):
            summary = self.run_pass()
        self.assertTrue(summary.idle)
        self.assertEqual(self.status("one"), "active")
        self.assertEqual(self.fast.objects, {"one": b"data"})
        self.assertEqual(self.all_leases(), [])

    def test_leases_are_renewed_while_a_store_is_slow(self):
        self.pending("one", "fast")
        self.fast.faults["delete"] = hanging = Deferred()
        done = self.begin()
        (before,) = self.all_leases()
        self.successResultOf(self.heartbeat.beat())
        (after,) = self.all_leases()
        self.assertGreater(after.heartbeat_at, before.heartbeat_at)
        del self.fast.faults["delete"]
        hanging.callback(None)
        self.successResultOf(done)
        self.assertIsNone(self.heartbeat.beat())

    def test_what_is_lost_before_it_is_begun_is_not_begun(self):
        for n in range(3):
            self.pending(f"image-{n}", "fast")
        self.fast.faults["delete"] = hanging = Deferred()
        done = self.begin()
        self.end_leases()
        self.successResultOf(self.heartbeat.beat())
        hanging.callback(None)
        summary = self.successResultOf(done)
        # The data of two was under way: that it is gone is recorded all the same.
        self.assertEqual((summary.images, summary.skipped), (2, 1))
        self.assertEqual(sorted(self.statuses().values()), ["deleted", "deleted", "pending_delete"])

    def test_what_may_be_anothers_by_now_is_not_begun(self):
        """Cut off from the database, we cannot know whether an image was restored meanwhile."""
        for n in range(3):
            self.pending(f"image-{n}", "fast")
        self.fast.faults["delete"] = hanging = Deferred()
        done = self.begin()
        with mock.patch("glance.db.leases.thd_beat", side_effect=Unavailable("away")):
            self.advance(STALE - 1)
        self.end_leases()
        self.set_image("image-2", status="active", deleted=False)
        del self.fast.faults["delete"]
        hanging.callback(None)
        summary = self.successResultOf(done)
        self.assertEqual((summary.images, summary.skipped), (2, 1))
        self.assertEqual(self.fast.objects, {"image-2": b"data"})
        self.assertEqual(self.status("image-2"), "active")

    def test_what_is_renewed_may_wait_for_long(self):
        self.pending("one", "slow")
        self.pending("two", "slow")
        self.pending("three", "slow")
        self.slow.faults["delete"] = hanging = Deferred()
        done = self.begin()
        self.advance(deletions.OVERDUE - 1)
        del self.slow.faults["delete"]
        hanging.callback(None)
        self.assertEqual(self.successResultOf(done).images, 3)


class TestFailures(ScrubCase):
    def test_refusal_is_final(self):
        self.pending("one", "fast", "slow")
        self.fast.faults["delete"] = DeleteForbidden("read-only")
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.failed, summary.size), (0, 1, 4))
        self.assertEqual(dict(summary.failures), {("fast", "read-only"): 1})
        self.assertEqual(self.fast.calls, ["delete"])
        self.assertEqual(self.location_statuses("one"), ["pending_delete", "deleted"])
        self.assertEqual((self.status("one"), self.all_leases()), ("pending_delete", []))
        self.fast.faults.clear()
        self.assertEqual(self.run_pass().images, 1)
        self.assertEqual(self.slow.calls, ["delete"])

    def test_unknown_store(self):
        self.pending("one", "gone")
        summary = self.run_pass()
        self.assertEqual(summary.failed, 1)
        self.assertEqual([store for store, _ in summary.failures], ["gone"])
        self.assertEqual(self.status("one"), "pending_delete")

    def test_tried_again_with_pauses(self):
        self.pending("one", "fast")
        self.fast.faults["delete"] = StoreError("away")
        done = self.begin()
        self.assertEqual(len(self.fast.calls), 1)
        self.advance(PAUSES[0])
        self.assertEqual(len(self.fast.calls), 2)
        del self.fast.faults["delete"]
        self.assertNoResult(done)
        self.advance(PAUSES[1])
        self.assertEqual(self.successResultOf(done).images, 1)

    def test_given_up_for_this_pass(self):
        self.pending("one", "fast")
        self.fast.faults["delete"] = StoreError("away")
        done = self.begin()
        self.advance(sum(PAUSES))
        summary = self.successResultOf(done)
        self.assertEqual((summary.failed, len(self.fast.calls)), (1, TRIES))
        self.assertEqual(dict(summary.failures), {("fast", "away"): 1})

    def test_store_that_is_down_is_not_asked_for_every_image(self):
        for n in range(60):
            self.pending(f"bad-{n}", "fast", age=100)
            self.pending(f"good-{n}", "slow", age=60)
        self.fast.faults["delete"] = StoreError("away")
        done = self.begin()
        self.advance(60)
        summary = self.successResultOf(done)
        self.assertEqual((summary.images, summary.failed), (60, 60))
        self.assertEqual(dict(summary.failures), {("fast", "away"): 60})
        self.assertLess(len(self.fast.calls), 30)
        self.assertEqual(self.all_leases(), [])

    def test_bad_images_do_not_keep_the_others_in_a_healthy_store(self):
        for n in range(20):
            self.pending(f"bad-{n:02}", "fast", age=1000)
        for n in range(50):
            self.pending(f"good-{n:02}", "fast", age=60)
        delete = self.fast.delete
        self.fast.delete = lambda url: fail(StoreError("I/O")) if "bad" in url else delete(url)
        self.patch(lanes, "random", random.Random(1))
        left = set(self.statuses())
        for _ in range(12):
            done = self.begin()
            self.advance(120)
            self.successResultOf(done)
            left = {name for name, status in self.statuses().items() if status != "deleted"}
        self.assertEqual(left, {f"bad-{n:02}" for n in range(20)})

    def test_surprise(self):
        self.pending("one", "fast")
        self.fast.delete = lambda url: 1 / 0
        done = self.begin()
        self.advance(sum(PAUSES))
        summary = self.successResultOf(done)
        self.assertEqual(summary.failed, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), TRIES)

    def test_store_that_hangs(self):
        for n in range(5):
            self.pending(f"stuck-{n}", "fast", age=100)
            self.pending(f"free-{n}", "slow", age=60)
        self.fast.faults["delete"] = hanging = Deferred()
        done = self.begin()
        self.assertNoResult(done)
        self.advance(deletions.OVERDUE)
        summary = self.successResultOf(done)
        self.assertEqual((summary.images, summary.failed), (5, 5))
        # What hangs is still ours; all else was given back.
        self.assertEqual(len(self.all_leases()), self.pool_size)
        again = self.run_pass()
        self.assertEqual((again.images, again.skipped), (0, self.pool_size))
        del self.fast.faults["delete"]
        hanging.callback(None)
        self.assertEqual(list(self.statuses().values()).count("deleted"), 7)
        self.assertEqual(self.run_pass().images, 3)
        self.assertEqual(self.all_leases(), [])

    def test_single_pass_waits_for_a_store_that_hangs(self):
        self.pending("one", "fast")
        self.pending("two", "fast")
        self.fast.faults["delete"] = hanging = Deferred()
        done = self.begin(patience=100)
        self.advance(deletions.OVERDUE + 50)
        self.assertNoResult(done)
        hanging.callback(None)
        self.assertEqual(self.successResultOf(done).images, 2)

    def test_but_not_for_ever(self):
        self.pending("one", "fast")
        self.pending("two", "fast")
        self.fast.faults["delete"] = Deferred()
        done = self.begin(patience=100)
        self.advance(deletions.OVERDUE + 101)
        summary = self.successResultOf(done)
        self.assertEqual(summary.failed, 2)
        self.assertEqual(sum(summary.failures.values()), 2)

    def test_database_that_goes_away_while_claiming(self):
        self.pending("one", "fast")
        with mock.patch("glance.scrub.scrubber.thd_claim", side_effect=Unavailable("away")):
            self.failureResultOf(self.begin(), Unavailable)
        self.assertEqual(self.run_pass().images, 1)

    def test_database_that_goes_away_while_recording(self):
        for n in range(6):
            self.pending(f"image-{n}", "fast")
        with mock.patch("glance.scrub.recorder.thd_settle", side_effect=Unavailable("away")):
            self.failureResultOf(self.begin(), Unavailable)
        self.assertIsNone(self.heartbeat.beat())
        # Nobody renews these leases: they end as those of a process that died.
        self.reaper.startService()
        self.advance(STALE + INTERVAL + 1)
        self.reaper.stopService()
        summary = self.run_pass()
        self.assertEqual(summary.images, 6)
        self.assertGreater(summary.missing, 0)


class TestMounts(ScrubCase):
    """A store that is quite empty, though images in use have their data there, is not believed."""

    def setUp(self):
        super().setUp()
        self.barren = succeed(True)
        self.asked = []
        alsoProvides(self.fast, IListable)
        self.fast.holdings = lambda: SimpleNamespace(is_barren=self.is_barren)
        self.pending("gone", "fast")
        self.pending("other", "slow")
        self.fast.objects.clear()

    def is_barren(self, url):
        self.asked.append(url)
        return self.barren

    def in_use(self, status="active"):
        self.run_in_database(images.thd_insert, Image(id="used", status=status, size=4))
        location = Location("memory:used", {"store": "fast"})
        self.run_in_database(images.thd_add_location, "used", location)

    def assertNotAsked(self, reason):
        summary = self.run_pass()
        self.assertEqual((summary.images, summary.missing, summary.failed), (1, 0, 1))
        self.assertEqual(dict(summary.failures), {("fast", reason): 1})
        self.assertEqual(self.statuses()["gone"], "pending_delete")
        self.assertEqual((self.fast.calls, self.all_leases()), ([], []))

    def test_nothing_at_all_is_there(self):
        self.in_use()
        self.assertNotAsked(mounts.NOTHING)
        self.barren = succeed(False)
        self.assertEqual(self.run_pass().images, 1)
        self.assertEqual(self.asked, ["memory:used"] * 2)

    def test_that_cannot_be_told(self):
        self.in_use("deactivated")
        self.barren = fail(StoreError("away"))
        self.assertNotAsked("away")

    def test_no_answer(self):
        self.in_use()
        self.barren = Deferred()
        done = self.begin()
        self.assertNoResult(done)
        self.advance(mounts.LOOK_TIME)
        summary = self.successResultOf(done)
        self.assertEqual((summary.images, summary.failed), (1, 1))
        self.assertEqual(self.statuses()["gone"], "pending_delete")

    def test_no_image_in_use(self):
        """Then nothing has to be there."""
        self.in_use("queued")
        self.assertEqual((self.run_pass().images, self.asked), (2, []))


class TestStopping(ScrubCase):
    def test_finishes_what_is_in_hand_and_gives_back_the_rest(self):
        for n in range(5):
            self.pending(f"image-{n}", "fast")
        self.fast.faults["delete"] = hanging = Deferred()
        done = self.begin()
        self.scrubber.stop()
        self.assertNoResult(done)
        self.assertEqual(len(self.all_leases()), self.pool_size)
        hanging.callback(None)
        summary = self.successResultOf(done)
        self.assertEqual((summary.images, summary.failed), (self.pool_size, 0))
        self.assertEqual(len(self.fast.objects), 5 - self.pool_size)
        self.assertEqual(self.all_leases(), [])

    def test_does_not_wait_for_another_try(self):
        self.pending("one", "fast")
        self.fast.faults["delete"] = StoreError("away")
        done = self.begin()
        self.scrubber.stop()
        self.successResultOf(done)
        self.assertEqual((self.status("one"), self.all_leases()), ("pending_delete", []))

    def test_identity(self):
        self.pending("one", "fast")
        self.fast.faults["delete"] = Deferred()
        self.begin()
        (lease,) = self.all_leases()
        self.assertEqual(
            (lease.kind, lease.node, lease.worker, lease.store_id),
            ("scrub", US.node, US.worker, None),
        )


class TestAnything(ScrubCase):
    """Whatever the stores do: nothing is lost, nothing is claimed for ever, no pass is endless."""

    pool_size = 3
    FAULTS = (None, None, DeleteForbidden("no"), StoreError("away"), DataNotFound("gone"), "hang")

    def _try(self, seed):
        chance = random.Random(seed)
        hanging = []

        def delete(store, real, url):
            fault = chance.choice(self.FAULTS)
            if fault is None:
                return real(url)
            if isinstance(fault, DataNotFound):
                store.objects.pop(url.removeprefix("memory:"), None)
            if isinstance(fault, Exception):
                return fail(fault)
            answer = Deferred()
            hanging.append(answer)
            return answer.addCallback(lambda _: real(url))

        for store in (self.fast, self.slow):
            store.delete = partial(delete, store, type(store).delete.__get__(store))
        names = [f"{seed}-{n:02}" for n in range(chance.randint(1, 40))]
        for name in names:
            self.pending(name, *chance.sample(["fast", "slow", "gone"], chance.randint(0, 2)))
        self.successResultOf(self.survive(hanging))
        for name in names:
            left = [s for s in self.location_statuses(name) if s != "deleted"]
            # Recorded as deleted if, and only if, nothing is left of it.
            self.assertEqual(self.status(name) == "deleted", not left)
            if not left:
                self.assertNotIn(name, self.fast.objects)
                self.assertNotIn(name, self.slow.objects)
        self.assertEqual(self.all_leases(), [])

    def survive(self, hanging):
        done = self.begin(patience=30)
        for _ in range(400):
            self.reactor.advance(1)
            if done.called:
                break
        # What hangs comes back in the end.
        while hanging:
            waiting = hanging[:]
            hanging.clear()
            for answer in waiting:
                answer.callback(None)
            self.advance(20)
        return done

    def test_any_order_of_faults(self):
        for seed in range(12):
            self._try(seed)
