"""The cache's directory: names, lists, and the lock of the node."""

import os
import shutil
import stat

from glance.cache import layout
from glance.cache.layout import CacheDirectory
from glance.domain.caching import can_be_named
from glance.domain.errors import ConfigError, Unavailable
from tests.unit.cache.doubles import IMAGE, OTHER, THIRD, CacheCase


class NameTests(CacheCase):
    def test_only_ids_become_names(self):
        for name in (IMAGE, IMAGE.upper()):
            self.assertTrue(can_be_named(name))
        for name in ("", "cache.db", IMAGE[:-1], IMAGE + "0", IMAGE + "\n", f"../{IMAGE}", "locks"):
            self.assertFalse(can_be_named(name))
            self.assertRaises(ValueError, self.directory.copy, name)
            self.assertRaises(ValueError, self.directory.wish, name)

    def test_places(self):
        root = str(self.root)
        self.assertEqual(self.directory.copy(IMAGE), f"{root}/{IMAGE}")
        self.assertEqual(self.directory.partial(IMAGE), f"{root}/incomplete/{IMAGE}")
        self.assertEqual(self.directory.invalid(IMAGE), f"{root}/invalid/{IMAGE}")
        self.assertEqual(self.directory.wish(IMAGE), f"{root}/queue/{IMAGE}")
        self.assertEqual(self.directory.fill_lock(IMAGE), f"{root}/locks/{IMAGE}.fill")


class PreparingTests(CacheCase):
    def test_makes_what_is_missing(self):
        directory = CacheDirectory(str(self.root / "new" / "cache"))
        directory.thd_prepare()
        directory.thd_prepare()
        for name in ("incomplete", "invalid", "queue", "locks"):
            mode = (self.root / "new" / "cache" / name).stat().st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o700)

    def test_leaves_alone_what_is_there(self):
        self.write(IMAGE)
        self.write("cache.db")
        self.directory.thd_prepare()
        self.assertEqual(self.names(), [IMAGE, "cache.db"])

    def test_names_the_option(self):
        self.write("file")
        for path in (self.root / "file", self.root / "file" / "below"):
            error = self.assertRaises(ConfigError, CacheDirectory(str(path)).thd_prepare)
            self.assertIn(f"[DEFAULT]image_cache_dir = {path}", error.message)
            self.assertIn("Not a directory", error.message)

    def test_place_that_may_not_be_written_to(self):
        self.patch(os, "access", lambda path, how: not path.endswith("queue"))
        error = self.assertRaises(ConfigError, self.directory.thd_prepare)
        self.assertIn("queue: Permission denied", error.message)


class RemovedTests(CacheCase):
    """An operator empties a cache with rm, while the service runs."""

    def setUp(self):
        super().setUp()
        self.write(IMAGE)
        self.empty()

    def empty(self):
        shutil.rmtree(self.root)
        self.root.mkdir()

    def test_nothing_is_there(self):
        directory = self.directory
        lists = (directory.thd_copies, directory.thd_partials, directory.thd_invalid)
        self.assertEqual([look() for look in lists], [[], [], []])
        self.assertEqual(directory.thd_queued(), [])

    def test_whoever_works_on_it_makes_it_anew(self):
        with self.directory.thd_alone():
            self.assertEqual(self.directory.thd_fill_locks(), {})
        self.empty()
        os.close(self.directory.thd_hold("prefetch"))
        shutil.rmtree(self.root / "queue")
        self.assertTrue(self.directory.thd_enqueue(IMAGE))
        self.assertEqual(self.directory.thd_queued(), [IMAGE])

    def test_where_that_is_not_possible(self):
        (self.root / "locks").write_bytes(b"")
        with self.assertRaises(NotADirectoryError), self.directory.thd_alone():
            pass

    def test_root_that_is_gone_is_not_an_empty_one(self):
        self.root.rmdir()
        directory = self.directory
        for look in (directory.thd_copies, directory.thd_partials, directory.thd_queued):
            self.assertRaises(FileNotFoundError, look)
        with self.assertRaises(FileNotFoundError), directory.thd_alone():
            pass
        self.assertFalse(self.root.exists())
        self.root.mkdir()
        with directory.thd_alone():
            self.assertEqual(directory.thd_copies(), [])


class ListingTests(CacheCase):
    def test_lists_files_with_ids_for_names(self):
        self.write(IMAGE, b"four")
        self.write(OTHER, b"x", "incomplete")
        self.write(THIRD, b"xy", "invalid")
        self.write("cache.db")
        (self.root / OTHER).mkdir()
        (self.root / THIRD).symlink_to(IMAGE)
        (found,) = self.directory.thd_copies()
        self.assertEqual((found.image_id, found.size), (IMAGE, 4))
        self.assertEqual(found.path, str(self.root / IMAGE))
        self.assertEqual(found.modified, (self.root / IMAGE).stat().st_mtime)
        self.assertEqual([f.image_id for f in self.directory.thd_partials()], [OTHER])
        self.assertEqual([f.image_id for f in self.directory.thd_invalid()], [THIRD])

    def test_locks_of_fills(self):
        self.write(f"{IMAGE}.fill", where="locks")
        self.write("admission", where="locks")
        self.write("other.fill", where="locks")
        self.assertEqual(
            self.directory.thd_fill_locks(), {IMAGE: str(self.root / "locks" / f"{IMAGE}.fill")}
        )


class QueueTests(CacheCase):
    def test_oldest_wish_first(self):
        for at, name in ((30, IMAGE), (10, OTHER), (20, THIRD)):
            self.assertTrue(self.directory.thd_enqueue(name))
            os.utime(self.root / "queue" / name, (at, at))
        self.assertEqual(self.directory.thd_queued(), [OTHER, THIRD, IMAGE])
        self.assertEqual((self.root / "queue" / IMAGE).stat().st_size, 0)

    def test_once(self):
        self.assertTrue(self.directory.thd_enqueue(IMAGE))
        self.assertFalse(self.directory.thd_enqueue(IMAGE))

    def test_not_what_is_there(self):
        self.write(IMAGE)
        self.assertFalse(self.directory.thd_enqueue(IMAGE))
        self.assertEqual(self.directory.thd_queued(), [])

    def test_taken_back(self):
        self.directory.thd_enqueue(IMAGE)
        self.directory.thd_enqueue(OTHER)
        self.assertTrue(self.directory.thd_dequeue(IMAGE))
        self.assertFalse(self.directory.thd_dequeue(IMAGE))
        self.directory.thd_enqueue(THIRD)
        self.assertEqual(self.directory.thd_dequeue_all(), 2)
        self.assertEqual(self.directory.thd_queued(), [])


class AloneTests(CacheCase):
    def test_only_one(self):
        with self.directory.thd_alone():
            other = self.directory.thd_alone(wait=0)
            error = self.assertRaises(Unavailable, other.__enter__)
            self.assertIn("admission", error.message)
            with self.directory.thd_alone("something else", wait=0):
                pass
        with self.directory.thd_alone(wait=0):
            pass
        self.assertNothingOpen()

    def test_waits(self):
        first = self.directory.thd_alone()
        first.__enter__()
        slept = []

        def sleep(seconds):
            slept.append(seconds)
            if len(slept) == 3:
                first.__exit__(None, None, None)

        self.patch(layout.time, "sleep", sleep)
        with self.directory.thd_alone():
            self.assertEqual(len(slept), 3)

    def test_ends_with_an_error_too(self):
        def fail():
            with self.directory.thd_alone():
                raise KeyError

        self.assertRaises(KeyError, fail)
        with self.directory.thd_alone(wait=0):
            pass
