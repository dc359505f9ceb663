"""Cleaning and pruning: what goes, what stays, who does it, what is said."""

import os

from twisted.internet.defer import fail

from glance.cache.chores import CLEAN, PRUNE, Chores
from glance.db import presence
from glance.domain.errors import Unavailable
from tests.unit.cache.upkeep_doubles import IDS, CacheCase


class ChoresCase(CacheCase):
    def setUp(self):
        super().setUp()
        self.said = []
        self.chores = self.make_chores(self.database)

    def make_chores(self, database):
        return Chores(self.keeper, database, stall_time=100, say=self.said.append)


class TestClean(ChoresCase):
    def test_broken_and_abandoned_ones_go(self):
        directory = self.directory
        self.write(directory.invalid(IDS[0]), 5)
        self.write(directory.partial(IDS[1]), 5, age=101)
        self.write(directory.partial(IDS[2]), 5, age=50)
        self.assertTrue(self.result(self.chores.clean()))
        self.assertEqual(self.said, ["Removed 2 broken or abandoned files (10 bytes)."])
        self.assertEqual([file.image_id for file in directory.thd_partials()], [IDS[2]])
        self.assertEqual(directory.thd_invalid(), [])

    def test_nothing_to_do(self):
        self.write(self.directory.copy(self.add_images(1)[0]))
        self.assertTrue(self.result(self.chores.clean()))
        self.assertEqual((self.said, len(self.copies())), ([], 1))

    def test_copies_of_deleted_images_go(self):
        kept, deleted = self.add_images(2)
        self.run_in_database(
            lambda connection: (
                connection.exec_driver_sql(
                    "UPDATE images SET deleted = 1 WHERE id = ?", (deleted,)
                ).rowcount
            )
        )
        for image_id in (kept, deleted, IDS[9]):
            self.write(self.directory.copy(image_id))
        self.result(self.chores.clean())
        self.assertEqual(self.said, ["Removed 2 copies of deleted images (20 bytes)."])
        self.assertEqual(self.copies(), [kept])
        self.assertEqual(set(self.index.known), {kept})

    def test_more_copies_than_the_database_takes_at_a_time(self):
        self.patch(presence, "BATCH", 2)
        ids = self.add_images(4)
        for image_id in (*ids, *IDS[10:15]):
            self.write(self.directory.copy(image_id))
        self.result(self.chores.clean())
        self.assertEqual(self.copies(), ids)
        self.assertEqual(self.said, ["Removed 5 copies of deleted images (50 bytes)."])

    def test_only_copies_of_images_that_are_deleted(self):
        self.add_images(2)
        self.run_in_database(
            lambda connection: connection.exec_driver_sql("UPDATE images SET deleted = 1").rowcount
        )
        self.write(self.directory.copy(IDS[0]))
        self.result(self.chores.clean())
        self.assertEqual(self.copies(), [])

    def test_catalogue_of_others(self):
        """It has images, but none of those that there are copies of."""
        self.add_images(2)
        self.write(self.directory.copy(IDS[5]))
        self.result(self.chores.clean())
        self.assertEqual(self.copies(), [IDS[5]])
        self.assertEqual(self.said, [])

    def test_where_no_catalogue_is_configured(self):
        self.write(self.directory.copy(IDS[0]))
        self.result(self.make_chores(None).clean())
        self.assertEqual(self.copies(), [IDS[0]])

    def test_catalogue_away(self):
        """It says nothing of what is deleted; all else is done."""
        self.write(self.directory.copy(IDS[0]))
        self.write(self.directory.invalid(IDS[1]))
        self.patch(self.database, "runReading", lambda *_: fail(Unavailable("away")))
        self.failure(self.chores.clean(), Unavailable)
        self.assertEqual(self.copies(), [IDS[0]])
        self.assertEqual(self.said, ["Removed 1 broken or abandoned file (10 bytes)."])
        self.assertIsNotNone(self.directory.thd_hold(CLEAN))

    def test_index_and_directory_agree_afterwards(self):
        kept, new = self.add_images(2)
        self.write(self.directory.copy(kept))
        self.result(self.keeper.record(kept, 10))
        self.result(self.keeper.record(IDS[9], 10))
        self.write(self.directory.copy(new))
        self.result(self.chores.clean())
        self.assertEqual(set(self.index.known), {kept, new})

    def test_another_process_is_at_it(self):
        self.write(self.directory.invalid(IDS[0]))
        lock = self.directory.thd_hold(CLEAN)
        self.assertFalse(self.result(self.chores.clean()))
        self.assertEqual(len(self.directory.thd_invalid()), 1)
        os.close(lock)
        self.assertTrue(self.result(self.chores.clean()))


class TestPrune(ChoresCase):
    def test_beyond_the_limit(self):
        for number, image_id in enumerate(self.add_images(3)):
            self.write(self.directory.copy(image_id), 400, age=100 - number)
        self.result(self.keeper.reconcile())
        self.assertTrue(self.result(self.chores.prune()))
        self.assertEqual(
            self.said, ["Removed 1 file (400 bytes) to keep within image_cache_max_size."]
        )
        self.assertEqual(self.copies(), IDS[1:3])

    def test_within_the_limit(self):
        self.write(self.directory.copy(IDS[0]), 1000)
        self.assertTrue(self.result(self.chores.prune()))
        self.assertEqual((self.said, self.copies()), ([], [IDS[0]]))

    def test_another_process_is_at_it(self):
        self.write(self.directory.copy(IDS[0]), 1001)
        lock = self.directory.thd_hold(PRUNE)
        self.assertFalse(self.result(self.chores.prune()))
        self.assertEqual(self.copies(), [IDS[0]])
        os.close(lock)
