"""The right to write a copy: how it ends, and what others see of that."""

import fcntl
import os

from glance.cache import claims
from glance.cache.claims import BAD, GIVEN_UP, GOOD, OPEN, thd_read_state, thd_write_state
from glance.domain.errors import Unavailable
from tests.unit.cache.doubles import IMAGE, CacheCase


class ClaimCase(CacheCase):
    def setUp(self):
        super().setUp()
        self.claim, _ = self.room.thd_claim(IMAGE, 4, [])
        self.addCleanup(self.claim.abandon)
        self.addCleanup(lambda: os.close(self.claim.fd))
        #: What another process looks at.
        self.lock = os.open(self.directory.fill_lock(IMAGE), os.O_RDONLY)
        self.addCleanup(os.close, self.lock)
        os.pwrite(self.claim.fd, b"data", 0)

    def state(self):
        return thd_read_state(self.lock)

    def assertFree(self):
        """Nobody holds the right, and nothing is left that says so."""
        self.assertTrue(self.claim.ended)
        self.assertEqual(self.names("locks"), ["admission", "probe"])
        self.assertFalse(self.room.thd_is_written(self.lock))


class EndTests(ClaimCase):
    def test_begins_open(self):
        self.assertEqual(self.state(), (4, OPEN))
        self.assertFalse(self.claim.ended)
        self.assertTrue(self.room.thd_is_written(self.lock))

    def test_commit(self):
        self.directory.thd_enqueue(IMAGE)
        self.assertTrue(self.claim.thd_commit())
        self.assertEqual(self.state(), (4, GOOD))
        self.assertEqual((self.root / IMAGE).read_bytes(), b"data")
        self.assertEqual(self.names("incomplete"), [])
        self.assertEqual(self.directory.thd_queued(), [])
        self.assertFree()

    def test_commit_reaches_the_disk_before_it_gets_its_name(self):
        order = []
        fsync, rename = os.fsync, os.rename
        self.patch(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
        self.patch(os, "rename", lambda a, b: (order.append("rename"), rename(a, b)))
        self.claim.thd_commit()
        self.assertEqual(order, ["fsync", "rename"])

    def test_commit_of_what_was_deleted(self):
        os.unlink(self.directory.partial(IMAGE))
        self.assertFalse(self.claim.thd_commit())
        self.assertEqual(self.names(), [])
        self.assertFree()

    def test_commit_of_what_was_replaced(self):
        os.unlink(self.directory.partial(IMAGE))
        self.write(IMAGE, b"others", "incomplete")
        self.assertFalse(self.claim.thd_commit())
        self.assertEqual((self.root / "incomplete" / IMAGE).read_bytes(), b"others")

    def test_reject(self):
        self.claim.thd_reject("it is wrong")
        self.assertEqual(self.state(), (4, BAD))
        self.assertEqual(self.names("incomplete"), [])
        path = self.root / "invalid" / IMAGE
        self.assertEqual(path.read_bytes(), b"data")
        self.assertFree()

    def test_reject_of_what_was_replaced(self):
        os.unlink(self.directory.partial(IMAGE))
        self.write(IMAGE, b"others", "incomplete")
        self.claim.thd_reject("it is wrong")
        self.assertEqual((self.root / "incomplete" / IMAGE).read_bytes(), b"others")
        self.assertEqual(self.names("invalid"), [])
        self.assertFree()

    def test_reject_says_why_where_it_can(self):
        def refuse(*args):
            raise OSError("no attributes here")

        self.patch(os, "setxattr", refuse)
        self.claim.thd_reject("it is wrong")
        self.assertEqual(self.names("invalid"), [IMAGE])

    def test_give_up(self):
        self.claim.thd_give_up()
        self.assertEqual(self.state(), (4, GIVEN_UP))
        self.assertEqual(self.names("incomplete"), [])
        self.assertFree()

    def test_give_up_where_not_even_that_can_be_said(self):
        def refuse(*args):
            raise OSError("disk full")

        self.patch(claims, "thd_write_state", refuse)
        self.claim.thd_give_up()
        self.assertEqual(self.names("incomplete"), [])
        self.assertFree()

    def test_release(self):
        self.claim.thd_release()
        self.assertEqual(self.state(), (4, OPEN))
        self.assertEqual((self.root / "incomplete" / IMAGE).read_bytes(), b"data")
        self.assertFree()

    def test_release_of_nothing(self):
        os.ftruncate(self.claim.fd, 0)
        self.claim.thd_release()
        self.assertEqual(self.names("incomplete"), [])
        self.assertFree()

    def test_release_of_nothing_that_is_followed(self):
        os.ftruncate(self.claim.fd, 0)
        fd, lock = self.room.thd_follow(IMAGE)
        self.claim.thd_release()
        self.assertEqual(self.names("incomplete"), [IMAGE])
        self.assertFree()
        again, _ = self.room.thd_claim(IMAGE, 4, [])
        self.assertTrue(os.path.samestat(os.fstat(again.fd), os.fstat(fd)))
        for one in (fd, lock):
            os.close(one)
        # Who let go has kept it open, and now closes it.
        again.thd_release()
        os.close(again.fd)
        self.assertEqual(self.names("incomplete"), [IMAGE])
        again, _ = self.room.thd_claim(IMAGE, 4, [])
        fcntl.flock(self.claim.fd, fcntl.LOCK_UN)
        again.thd_release()
        os.close(again.fd)
        self.assertEqual(self.names("incomplete"), [])

    def test_abandon(self):
        self.claim.abandon()
        self.claim.abandon()
        self.assertTrue(self.claim.ended)
        self.assertFalse(self.room.thd_is_written(self.lock))
        # As after a crash: the next one finds out.
        claim, _ = self.room.thd_claim(IMAGE, 4, [])
        self.assertEqual(claim.offset, 4)
        claim.abandon()
        os.close(claim.fd)

    def test_failed_end_can_be_followed_by_another(self):
        def refuse(fd):
            raise OSError("broken disk")

        self.patch(os, "fsync", refuse)
        self.assertRaises(OSError, self.claim.thd_commit)
        self.assertFalse(self.claim.ended)
        self.claim.thd_give_up()
        self.assertFree()

    def test_ends_only_while_nobody_else_is_at_work(self):
        def busy(*args, **more):
            raise Unavailable("busy")

        self.patch(type(self.directory), "thd_alone", busy)
        for end in (self.claim.thd_commit, self.claim.thd_give_up, self.claim.thd_release):
            self.assertRaises(Unavailable, end)
        self.assertFalse(self.claim.ended)
        self.assertEqual(self.names("incomplete"), [IMAGE])


class StateTests(CacheCase):
    def test_what_is_written_is_read(self):
        path = self.write("state", b"")
        fd = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, fd)
        self.assertIsNone(thd_read_state(fd))
        for verdict in (OPEN, GIVEN_UP, GOOD, BAD):
            for size in (0, 10**19):
                thd_write_state(fd, size, verdict)
                self.assertEqual(thd_read_state(fd), (size, verdict))

    def test_nonsense(self):
        path = self.write("state", b"")
        fd = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, fd)
        for text in (b"\xff" * 64, b"12", b"12 perhaps", b"x good", b"good"):
            os.ftruncate(fd, 0)
            os.pwrite(fd, text, 0)
            self.assertIsNone(thd_read_state(fd))
