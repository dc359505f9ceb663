"""Catalogue and stores, what does not go together, and what is done about it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from glance.db import images, leases, locations
from glance.db.sealed_locations import seal_with
from glance.db.tables import image_locations
from glance.domain.errors import Unavailable
from glance.stores.errors import StoreError, StoreTimeout
from glance.stores.holdings import ASIDE
from glance.stores.partfile import host_mark
from glance.transfers.worker import WorkerIdentity
from tests.unit.transfers.doubles import US
from tests.unit.verify.support import DATA, DAY, VerifyCase

A, B, C, D = (str(UUID(int=number, version=4)) for number in range(1, 5))
OTHER_DATA = b"Some data"


class FindingTests(VerifyCase):
    def test_all_is_well(self):
        self.whole(A, "one")
        self.whole(B, "one", "two", status="deactivated")
        self.add_image(id=C, status="queued")
        report = self.verify(hashes=True)
        self.assertEqual(report["findings"], [])
        summary = report["summary"]
        self.assertEqual(
            [summary[n] for n in ("images", "copies", "objects", "bytes_read", "open", "busy")],
            [2, 3, 3, 27, 0, 0],
        )
        self.assertEqual([store["objects"] for store in report["stores"]], [2, 1])
        self.assertIn("Found: nothing.", self.text)

    def test_missing_data(self):
        self.whole(A, "one")
        self.path("one", A).unlink()
        (finding,) = self.verify()["findings"]
        self.assertEqual(
            (finding["kind"], finding["severity"], finding["image"], finding["store"]),
            ("missing_data", "error", A, "one"),
        )
        self.assertEqual(finding["expected"], {"size": len(DATA)})
        self.assertEqual(finding["repair"]["outcome"], "not_asked")
        self.assertEqual(self.open, 1)

    def test_other_length(self):
        self.whole(A, "one")
        self.put("one", A, DATA[:-1])
        for hashes in (False, True):
            (finding,) = self.verify(hashes=hashes)["findings"]
            self.assertEqual(
                (finding["kind"], finding["expected"], finding["found"]),
                ("size_mismatch", {"size": len(DATA)}, {"size": len(DATA) - 1}),
            )

    def test_other_data(self):
        self.whole(A, "one")
        self.put("one", A, OTHER_DATA)
        self.assertEqual(self.found(), [])
        self.assertEqual(self.found(hashes=True), [("hash_mismatch", A, "deactivate")])

    def test_an_image_without_hash(self):
        self.whole(A, "one", os_hash_algo=None, os_hash_value=None)
        self.assertEqual(self.found(), [])
        self.assertEqual(self.found(hashes=True), [("no_hash", A, "fill_in_hashes")])

    def test_an_image_without_hash_and_with_another_checksum(self):
        self.whole(A, "one", os_hash_algo=None, os_hash_value=None)
        self.put("one", A, OTHER_DATA)
        self.assertEqual(self.found(hashes=True), [("hash_mismatch", A, "deactivate")])

    def test_an_algorithm_that_nobody_knows(self):
        self.whole(A, "one", os_hash_algo="rot13")
        report = self.verify(hashes=True)
        self.assertEqual(report["findings"], [])
        self.assertIn("'rot13'", report["errors"][0]["message"])

    def test_an_image_without_location(self):
        self.add_image(id=A, status="active", size=5)
        self.assertEqual(self.found(), [("no_location", A, "deactivate")])

    def test_a_store_that_is_not_configured(self):
        self.whole(A, "one")
        self.set_locations(A, meta_data={"store": "gone"})
        # The file is still referred to, by whatever name of a store.
        self.assertEqual(self.found(), [("unreachable", A, "none")])

    def test_a_location_outside_its_store(self):
        self.whole(A, "one")
        self.set_locations(A, value="file:///elsewhere/data")
        self.assertEqual(
            self.found(),
            [("unreachable", A, "none"), ("orphan", str(self.path("one", A)), "set_aside")],
        )

    def test_data_without_an_image(self):
        path = self.put("one", A)
        (finding,) = self.verify()["findings"]
        self.assertEqual(
            (finding["kind"], finding["severity"], finding["object"], finding["image"]),
            ("orphan", "warning", str(path), A),
        )
        self.assertEqual(finding["found"], {"size": len(DATA), "modified": self.now - 2 * DAY})

    def test_data_of_a_deleted_image(self):
        self.whole(A, "one")
        self.run_in_database(images.thd_mark_deleted, self.get(A), delayed=False)
        self.assertEqual(self.found(), [("orphan", str(self.path("one", A)), "set_aside")])

    def test_data_of_an_image_that_waits_for_the_scrubber(self):
        self.whole(A, "one")
        self.run_in_database(images.thd_mark_deleted, self.get(A), delayed=True)
        self.assertEqual(self.found(), [])
        path = self.put("two", A)
        self.assertEqual(self.found(), [("orphan", str(path), "none")])

    def test_data_of_a_location_that_is_leaving(self):
        self.whole(A, "one", "two")
        self.run_in_database(locations.thd_mark_leaving, self.get(A).locations[1:])
        self.assertEqual(self.found(), [])

    def test_data_named_otherwise_than_its_image(self):
        self.whole(A)
        self.put("one", B)
        self.put("one", "golden.img")
        self.refer(A, "one", B)
        self.refer(A, "one", "golden.img")
        self.assertEqual(self.found(), [])

    def test_what_the_service_did_not_write(self):
        self.put("one", "README")
        (self.root / "one" / "directory").mkdir()
        report = self.verify(repair=True, really=True)
        self.assertEqual([f["kind"] for f in report["findings"]], ["unknown"] * 2)
        self.assertEqual([f["severity"] for f in report["findings"]], ["note"] * 2)
        self.assertEqual(self.open, 0)
        self.assertTrue(self.path("one", "README").exists())

    def test_leftovers(self):
        path = self.put("one", f".{A}.{host_mark()}-0123456789abcdef.part")
        self.assertEqual(self.found(), [("leftover", str(path), "remove_leftover")])

    def test_a_store_that_does_not_answer(self):
        self.whole(A, "one")
        store = self.stores.get("one")
        self.patch(
            store, "size_of", lambda url: store._threads.run(fail_with(StoreTimeout("Slow.")))
        )
        report = self.verify()
        self.assertEqual(report["findings"], [])
        self.assertEqual(
            report["errors"],
            [{"store": "one", "image": A, "location": 1, "message": "Slow."}],
        )
        self.assertEqual(self.errors, 1)
        self.assertIn("Slow.", self.text)

    def test_a_store_that_fails_for_a_moment(self):
        self.whole(A, "one")
        store = self.stores.get("one")
        answers = [fail_with(StoreError("Now."))]
        size_of = store.size_of

        def once(url):
            return store._threads.run(answers.pop()) if answers else size_of(url)

        self.patch(store, "size_of", once)
        self.assertEqual(self.verify()["errors"], [])

    def test_a_store_that_cannot_be_listed(self):
        (self.root / "two").rmdir()
        report = self.verify()
        self.assertEqual([e["store"] for e in report["errors"]], ["two"])

    def test_a_database_that_breaks(self):
        self.whole(A, "one")
        verification, tools = self.begin(parallel=3)

        def fail(image):
            raise Unavailable("It is away.")

        self.before_looks.append(fail)
        self.failure(verification.run(), Unavailable)
        self.end(tools)

    def test_only_some_stores(self):
        self.whole(A, "one")
        self.whole(B, "two")
        self.whole(C, "one", "two")
        for store, name in (("one", A), ("two", B), ("two", C)):
            self.path(store, name).unlink()
        orphan = self.put("two", D)
        self.put("one", D)
        # What is to be done depends on all copies, of whatever store.
        self.assertEqual(
            self.found(stores=frozenset({"two"})),
            [
                ("missing_data", B, "deactivate"),
                ("missing_data", C, "strike_off"),
                ("orphan", str(orphan), "set_aside"),
            ],
        )

    def test_only_some_images(self):
        for name in (A, B, C):
            self.whole(name, "one")
        self.path("one", A).unlink()
        self.path("one", B).unlink()
        orphan = self.put("two", B)
        self.put("two", C)
        self.assertEqual(
            self.found(images=frozenset({B, D})),
            [("missing_data", B, "deactivate"), ("orphan", str(orphan), "set_aside")],
        )

    def test_many(self):
        for number in range(30):
            self.whole(str(UUID(int=number, version=4)), "one")
        self.path("one", A).unlink()
        report = self.verify(parallel=7)
        self.assertEqual(report["summary"]["images"], 30)
        self.assertEqual([f["image"] for f in report["findings"]], [A])

    def test_a_bar_of_lines(self):
        self.whole(A, "one")
        self.path("one", A).unlink()
        self.verify()
        self.assertIn("Looking at the data of images: 0 of 1", self.progress.getvalue())


def fail_with(error):
    def fail(*args):
        raise error

    return fail


class MeanwhileTests(VerifyCase):
    """What services do meanwhile is no finding."""

    def test_an_upload_under_way(self):
        self.add_image(id=A, status="saving")
        self.put("one", A)
        self.run_in_database(leases.thd_take, A, leases.UPLOAD, US.node, US.worker, "one")
        report = self.verify()
        self.assertEqual((report["findings"], report["summary"]["busy"]), ([], 1))

    def test_a_copy_under_way(self):
        self.whole(A, "one")
        self.put("two", A)
        self.run_in_database(leases.thd_take, A, "copy", US.node, US.worker, "two")
        self.assertEqual(self.found(), [])

    def test_an_upload_of_a_service_that_knows_no_leases(self):
        self.add_image(id=A, status="saving")
        self.put("one", A)
        self.assertEqual(self.found(), [])

    def test_an_upload_that_ends_during_the_walk(self):
        self.add_image(id=A, status="saving")
        self.put("one", A)
        verification, tools = self.begin()
        walked = verification._walk_catalogue

        async def then_the_upload_ends():
            await walked()
            self.refer(A, "one")
            self.run_in_database(images.thd_set_status, A, "saving", "active", {"size": len(DATA)})

        verification._walk_catalogue = then_the_upload_ends
        self.result(verification.run())
        self.assertEqual(self.successResultOf(tools.state.findings(0, 9)), [])
        self.end(tools)

    def test_a_deletion_under_way(self):
        self.whole(A, "one")
        self.run_in_database(leases.thd_take, A, leases.REMOVAL, US.node, US.worker)
        self.path("one", A).unlink()
        report = self.verify()
        self.assertEqual((report["findings"], report["summary"]["busy"]), ([], 1))

    def test_a_deletion_between_the_walk_and_the_second_look(self):
        self.whole(A, "one")
        self.whole(B, "one")

        def delete(image):
            if image.id == A and self.path("one", A).exists():
                self.path("one", A).unlink()
                self.run_in_database(images.thd_mark_deleted, image, delayed=False)

        self.before_looks.append(delete)
        self.assertEqual(self.found(), [])

    def test_a_deletion_during_the_second_look(self):
        self.whole(A, "one")
        self.path("one", A).unlink()
        looks = []

        def delete(image):
            looks.append(image.id)
            if len(looks) == 2:
                self.run_in_database(images.thd_mark_deleted, image, delayed=False)

        self.before_looks.append(delete)
        self.assertEqual(self.found(), [])
        self.assertEqual(len(looks), 2)

    def test_an_image_that_is_changed_all_the_time(self):
        self.whole(A, "one")
        self.path("one", A).unlink()
        statuses = ["active", "deactivated"]

        def change(image):
            self.run_in_database(images.thd_set_status, A, *statuses)
            statuses.reverse()

        self.before_looks.append(change)
        report = self.verify()
        self.assertEqual((report["findings"], report["summary"]["busy"]), ([], 1))

    def test_data_that_is_gone_by_the_second_look(self):
        self.put("one", A)
        verification, tools = self.begin()
        from glance.verify import objects

        refer = objects.Strays._refer

        async def gone(strays):
            await refer(strays)
            self.path("one", A).unlink()
            self.put("one", A, b"another's")

        self.patch(objects.Strays, "_refer", gone)
        self.result(verification.run())
        self.assertEqual(self.successResultOf(tools.state.findings(0, 9)), [])
        self.end(tools)


class RepairTests(VerifyCase):
    def in_use(self, *stores):
        """Leave a trace in directories: one that is quite empty may be one that is not mounted."""
        for store in stores:
            self.path(store, ASIDE).mkdir()

    def repaired(self, **settings):
        report = self.verify(repair=True, really=True, **settings)
        return [(f["repair"]["action"], f["repair"]["outcome"]) for f in report["findings"]]

    def test_a_dry_run_changes_nothing(self):
        self.whole(A, "one")
        self.whole(B, "one", "two")
        self.whole(C, "one", os_hash_algo=None, os_hash_value=None)
        self.path("one", A).unlink()
        self.path("one", B).unlink()
        self.put("one", D)
        self.put("one", f".{A}.{host_mark()}-0123456789abcdef.part")
        before = self.files(), [self.get(name) for name in (A, B, C)]
        report = self.verify(hashes=True, repair=True)
        self.assertEqual(
            sorted((f["repair"]["action"], f["repair"]["outcome"]) for f in report["findings"]),
            [
                ("deactivate", "planned"),
                ("fill_in_hashes", "planned"),
                ("remove_leftover", "planned"),
                ("set_aside", "planned"),
                ("strike_off", "planned"),
            ],
        )
        self.assertEqual(report["repair"], "dry_run")
        self.assertEqual((self.files(), [self.get(name) for name in (A, B, C)]), before)
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(self.open, 5)

    def test_the_only_copy(self):
        self.in_use("one")
        self.whole(A, "one")
        self.path("one", A).unlink()
        self.assertEqual(self.repaired(), [("deactivate", "done")])
        image = self.get(A)
        # Where the data belongs stays known, for whoever has it elsewhere.
        self.assertEqual((image.status, len(image.locations)), ("deactivated", 1))
        self.assertEqual(self.open, 1)
        self.assertEqual(self.repaired(), [("none", "none")])

    def test_all_copies(self):
        self.in_use("one", "two")
        self.whole(A, "one", "two")
        self.path("one", A).unlink()
        self.put("two", A, b"x")
        self.assertEqual(self.repaired(), [("deactivate", "done")] * 2)
        self.assertEqual(self.get(A).status, "deactivated")

    def test_one_of_two_copies(self):
        self.whole(A, "one", "two")
        self.put("one", A, b"x")
        self.assertEqual(self.repaired(), [("strike_off", "done")])
        self.assertEqual([place.store_id for place in self.get(A).locations], ["two"])
        self.assertEqual(self.open, 0)
        # The next run finds what it leaves.
        self.assertEqual(self.repaired(), [("set_aside", "done")])
        self.assertEqual(self.found(), [])

    def test_two_of_three_copies(self):
        self.in_use("one", "two")
        self.whole(A, "one", "two")
        self.put("one", B)
        self.refer(A, "one", B)
        self.path("one", B).unlink()
        self.path("two", A).unlink()
        self.assertEqual(self.repaired(), [("strike_off", "done")] * 2)
        self.assertEqual(len(self.get(A).locations), 1)

    def test_missing_hashes(self):
        self.whole(A, "one")
        whole = self.get(A)
        self.run_in_database(
            images.thd_set_status,
            A,
            "active",
            "active",
            {"os_hash_algo": None, "os_hash_value": None, "checksum": None},
        )
        self.assertEqual(self.repaired(hashes=True), [("fill_in_hashes", "done")])
        image = self.get(A)
        self.assertEqual(
            (image.os_hash_algo, image.os_hash_value, image.checksum),
            (whole.os_hash_algo, whole.os_hash_value, whole.checksum),
        )
        self.assertEqual(self.open, 0)

    def test_data_without_an_image(self):
        self.put("one", A)
        self.assertEqual(self.repaired(), [("set_aside", "done")])
        ((name, data),) = self.files().items()
        self.assertTrue(name.startswith(f"one/{ASIDE}/{A}."))
        self.assertEqual(data, DATA)
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(self.verify()["findings"], [])

    def test_data_written_just_now(self):
        self.put("one", A, age=DAY - 1)
        self.assertEqual(self.repaired(), [("none", "none")])
        self.assertEqual(self.repaired(grace=10.0), [("set_aside", "done")])

    def test_leftovers(self):
        self.put("one", f".{A}.{host_mark()}-0123456789abcdef.part")
        self.assertEqual(self.repaired(), [("remove_leftover", "done")])
        self.assertEqual(self.files(), {})

    def test_somebody_begins_an_upload(self):
        self.add_image(id=A, status="queued")
        path = self.put("one", A)
        self.verify()
        self.run_in_database(leases.thd_take, A, leases.UPLOAD, "elsewhere", "1.1", "one")
        self.assertEqual(self.repair_found(), [("set_aside", "refused")])
        self.assertTrue(path.exists())

    def repair_found(self, **settings):
        """Repair what the last verification found, without another walk."""
        self.before_looks.clear()
        return self.repaired(**settings)

    def test_repair_without_another_walk(self):
        self.whole(A, "one")
        self.path("one", A).unlink()
        orphan = self.put("one", B)
        self.verify()
        # This would be found by a walk only.
        self.put("one", C)
        self.assertEqual(self.repair_found(), [("deactivate", "done"), ("set_aside", "done")])
        self.assertFalse(orphan.exists())
        self.assertTrue(self.path("one", C).exists())
        # And now all begins anew.
        self.assertEqual(self.repaired(), [("none", "none"), ("set_aside", "done")])

    def test_what_is_well_again_is_let_be(self):
        self.whole(A, "one")
        self.path("one", A).unlink()
        self.put("one", B)
        self.verify()
        self.put("one", A)
        self.path("one", B).unlink()
        self.assertEqual(self.repair_found(), [("deactivate", "refused"), ("set_aside", "refused")])
        self.assertEqual(self.get(A).status, "active")

    def test_the_good_copy_is_gone_by_now(self):
        self.in_use("one", "two")
        self.whole(A, "one", "two")
        self.path("one", A).unlink()
        self.verify()
        self.path("two", A).unlink()
        self.assertEqual(self.repair_found(), [("deactivate", "done")])
        self.assertEqual(len(self.get(A).locations), 2)

    def test_an_image_is_given_the_data_at_the_last_moment(self):
        self.whole(A, "one")
        path = self.put("one", B)
        self.verify()
        holdings = self.stores.get("one").holdings()
        set_aside = type(holdings).set_aside

        def after(itself, held):
            self.refer(A, "one", B)
            return set_aside(itself, held)

        self.patch(type(holdings), "set_aside", after)
        self.assertEqual(self.repair_found(), [("set_aside", "refused")])
        self.assertEqual(path.read_bytes(), DATA)

    def test_an_image_was_given_the_data_since(self):
        self.whole(A, "one")
        path = self.put("one", B)
        self.verify()
        self.refer(A, "one", B)
        self.assertEqual(self.repair_found(), [("set_aside", "refused")])
        self.assertTrue(path.exists())
        self.assertFalse(self.path("one", ASIDE).exists())

    def test_an_image_changes_at_the_last_moment(self):
        self.whole(A, "one", "two")
        self.path("one", A).unlink()
        self.verify()
        from glance.db import verification

        strike_off = verification.thd_strike_off

        def late(connection, *args):
            images.thd_set_status(connection, A, "active", "deactivated")
            return strike_off(connection, *args)

        self.patch(verification, "thd_strike_off", late)
        self.assertEqual(self.repair_found(), [("strike_off", "refused")])
        self.assertEqual(len(self.get(A).locations), 2)

    def test_a_store_refuses(self):
        path = self.put("one", A)
        holdings = self.stores.get("one").holdings()
        self.patch(
            type(holdings),
            "set_aside",
            lambda itself, held: itself._threads.run(fail_with(StoreError("No."))),
        )
        self.assertEqual(self.repaired(), [("set_aside", "failed")])
        self.assertTrue(path.exists())
        self.assertEqual((self.all_leases(), self.errors), ([], 1))

    def test_so_much_is_wrong_that_something_else_is(self):
        for name in (A, B, C, D):
            self.whole(name, "one")
            self.path("one", name).unlink()
        self.whole(str(UUID(int=9, version=4)), "two")
        self.assertEqual(self.repaired(), [("deactivate", "refused")] * 4)
        self.assertIn("not mounted", self.text)
        self.assertEqual(self.repaired(force=True), [("deactivate", "done")] * 4)

    def test_nothing_at_all_is_where_the_data_should_be(self):
        """However few images there are: that looks like a file system that is not mounted."""
        self.whole(A, "one")
        self.whole(B, "one", "two")
        for name in (A, B):
            self.path("one", name).unlink()
        report = self.verify(repair=True)
        self.assertEqual({f["repair"]["outcome"] for f in report["findings"]}, {"refused"})
        self.assertEqual(self.repaired(), [("deactivate", "refused"), ("strike_off", "refused")])
        self.assertIn("not mounted", self.text)
        self.assertEqual([self.get(A).status, len(self.get(B).locations)], ["active", 2])
        self.path("one", ASIDE).mkdir()
        self.assertEqual(self.repaired(), [("deactivate", "done"), ("strike_off", "done")])

    def test_another_database(self):
        for name in (A, B, C):
            self.put("one", name)
        self.assertEqual(self.repaired(), [("set_aside", "refused")] * 3)
        self.assertEqual(len(self.files()), 3)

    def test_locations_that_cannot_be_read(self):
        self.whole(A, "one")
        self.set_locations(A, value="c2VhbGVkIHdpdGggYW5vdGhlciBrZXk=")
        for stores in (None, frozenset({"one"})):
            self.assertEqual(self.repaired(stores=stores), [("none", "none")] * 2)
            self.assertIn("see the key", self.text)

    def test_sealed_locations(self):
        seal_with(self.database.engine, "k" * 16)
        self.whole(A, "one")
        self.put("one", B)
        seen = self.run_in_database(
            lambda connection: connection.execute(select(image_locations.c.value)).scalar_one()
        )
        self.assertNotIn("file:", seen)
        self.assertEqual(self.repaired(hashes=True), [("set_aside", "done")])

    def test_the_lease_of_one_that_died_does_no_harm(self):
        who = WorkerIdentity("node", "1.1")
        from glance.db import verification
        from glance.transfers.heartbeat import Heartbeat
        from glance.transfers.locations import LocationKeeper

        self.whole(A, "one")
        for name in (A, B):
            lease = self.run_in_database(verification.thd_hold, name, who.node, who.worker)
            heartbeat = Heartbeat(self.database, self.reactor, 1.0)
            keeper = LocationKeeper(self.database, self.stores, heartbeat, US)
            self.result(keeper.finish_interrupted(name, lease))
        self.assertEqual(self.all_leases(), [])
        self.assertEqual(self.found(), [])
