"""Room: what is claimed, removed and kept, between what amounts to several processes."""

import fcntl
import os
import threading
import time

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from glance.cache import room as room_module
from glance.cache.claims import OPEN, Claim, thd_read_state
from glance.cache.room import Refusal, Removed, Room
from tests.unit.cache.doubles import IMAGE, OTHER, THIRD, CacheCase

LIMIT = 100


class RoomCase(CacheCase):
    limit = LIMIT

    def claim(self, image_id=IMAGE, size=40, order=(), **more):
        """Claim, and return what came of it; what is claimed ends with the test."""
        outcome, self.removed = Room(self.directory, LIMIT).thd_claim(image_id, size, order, **more)
        if isinstance(outcome, Claim):
            self.addCleanup(os.close, outcome.fd)
            self.addCleanup(outcome.abandon)
        return outcome

    def leave_partial(self, image_id=IMAGE, data=b"left"):
        """Leave what a process does that dies."""
        claim = self.claim(image_id, 40)
        os.pwrite(claim.fd, data, 0)
        claim.abandon()
        fcntl.flock(claim.fd, fcntl.LOCK_UN)

    def open(self, image_id=IMAGE, size=4):
        fd = self.room.thd_open(image_id, size)
        if fd is not None:
            self.addCleanup(os.close, fd)
        return fd


class OpeningTests(RoomCase):
    def test_complete_copy(self):
        self.write(IMAGE, b"data")
        fd = self.open()
        self.assertEqual(os.pread(fd, 10, 0), b"data")
        self.assertFalse(os.get_inheritable(fd))

    def test_none(self):
        self.assertIsNone(self.open())
        self.assertNothingOpen()

    def test_something_else(self):
        (self.root / IMAGE).mkdir()
        os.mkfifo(self.root / OTHER)
        self.write("else")
        (self.root / THIRD).symlink_to("else")
        for image_id in (IMAGE, OTHER, THIRD):
            self.assertIsNone(self.open(image_id))
        self.assertNothingOpen()

    def test_another_length_is_put_aside(self):
        self.write(IMAGE, b"dat")
        self.assertIsNone(self.open())
        self.assertEqual((self.names(), self.names("invalid")), ([], [IMAGE]))
        self.assertNothingOpen()

    def test_another_one_that_came_meanwhile_stays(self):
        self.write(IMAGE, b"dat")
        alone = self.directory.thd_alone

        def replaced_before():
            os.unlink(self.directory.copy(IMAGE))
            self.write(IMAGE, b"data")
            return alone()

        self.patch(self.directory, "thd_alone", replaced_before)
        self.assertIsNone(self.open())
        self.assertEqual((self.names(), self.names("invalid")), ([IMAGE], []))
        self.assertNothingOpen()

    def test_one_that_is_being_removed(self):
        path = self.write(IMAGE, b"data")
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertIsNone(self.open())
        self.assertIsNotNone(self.open())

    def test_one_that_was_removed_meanwhile(self):
        path = self.write(IMAGE, b"data")
        try_lock = room_module.try_lock

        def remove_first(fd, how):
            path.unlink()
            return try_lock(fd, how)

        self.patch(room_module, "try_lock", remove_first)
        self.assertIsNone(self.open())


class ClaimingTests(RoomCase):
    def test_new_copy(self):
        claim = self.claim()
        self.assertEqual((claim.image_id, claim.size, claim.offset), (IMAGE, 40, 0))
        self.assertEqual(self.names("incomplete"), [IMAGE])
        self.assertEqual((self.root / "incomplete" / IMAGE).stat().st_mode & 0o777, 0o600)
        with (self.root / "locks" / f"{IMAGE}.fill").open() as lock:
            self.assertEqual(thd_read_state(lock.fileno()), (40, OPEN))

    def test_one_at_a_time(self):
        claim = self.claim()
        self.assertIs(self.claim(), Refusal.BUSY)
        claim.thd_release()
        self.assertIsInstance(self.claim(), Claim)

    def test_not_what_is_there(self):
        self.write(IMAGE)
        self.assertIs(self.claim(), Refusal.PRESENT)
        self.assertEqual(self.names("locks"), ["admission", "probe"])

    def test_left_behind_is_gone_on_with(self):
        self.leave_partial()
        inode = (self.root / "incomplete" / IMAGE).stat().st_ino
        claim = self.claim()
        self.assertEqual(claim.offset, 4)
        self.assertEqual(os.fstat(claim.fd).st_ino, inode)

    def test_left_behind_and_not_wanted(self):
        self.leave_partial()
        with (self.root / "incomplete" / IMAGE).open("rb") as reader:
            claim = self.claim(resume=False)
            self.assertEqual((claim.offset, os.fstat(claim.fd).st_size), (0, 0))
            # Who reads the former one keeps it.
            self.assertEqual(reader.read(), b"left")

    def test_left_behind_and_empty_stays(self):
        """It may be followed, whether or not anybody can tell that it was right."""
        self.leave_partial(data=b"")
        before = os.stat(self.directory.partial(IMAGE))
        claim = self.claim(resume=False)
        self.assertEqual(claim.offset, 0)
        self.assertTrue(os.path.samestat(os.fstat(claim.fd), before))

    def test_left_behind_and_too_long(self):
        self.leave_partial(data=b"x" * 41)
        claim = self.claim()
        self.assertEqual((claim.offset, os.fstat(claim.fd).st_size), (0, 0))

    def test_left_behind_before_the_machine_went_down(self):
        self.leave_partial()
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        os.utime(self.root / "incomplete" / IMAGE, (booted - 60, booted - 60))
        self.assertEqual(self.claim().offset, 0)

    def test_left_behind_as_something_else(self):
        self.write("else", b"precious")
        (self.root / "incomplete" / IMAGE).symlink_to(self.root / "else")
        claim = self.claim()
        os.pwrite(claim.fd, b"data", 0)
        self.assertEqual((self.root / "else").read_bytes(), b"precious")

    def test_failure_leaves_nothing_claimed(self):
        (self.root / "incomplete" / IMAGE).mkdir()
        self.assertRaises(OSError, self.claim)
        self.assertNothingOpen()
        self.assertEqual(self.names("locks"), ["admission", "probe"])


class RoomMakingTests(RoomCase):
    def test_what_was_not_asked_for_longest_goes(self):
        for name in (IMAGE, OTHER, THIRD):
            self.write(name, bytes(30))
        new = IMAGE[:-1] + "9"
        claim = self.claim(new, 50, [OTHER, THIRD, IMAGE])
        self.assertIsInstance(claim, Claim)
        self.assertEqual(self.names(), [IMAGE])
        self.assertEqual(self.removed, Removed([OTHER, THIRD], 2, 60))

    def test_what_nobody_knows_goes_first(self):
        for name in (IMAGE, OTHER):
            self.write(name, bytes(40))
        self.claim(THIRD, 40, [IMAGE])
        self.assertEqual(self.names(), [IMAGE])

    def test_nobody_has_said_what_goes(self):
        self.write(IMAGE, bytes(60))
        self.assertIs(self.claim(OTHER, 41, None), Refusal.NO_ORDER)
        self.assertEqual((self.names(), self.names("locks")), ([IMAGE], ["admission", "probe"]))
        self.assertIsInstance(self.claim(OTHER, 40, None), Claim)

    def test_exactly_fits(self):
        self.write(IMAGE, bytes(60))
        self.assertIsInstance(self.claim(OTHER, 40), Claim)
        self.assertEqual(self.names(), [IMAGE])
        self.assertEqual(self.removed, Removed())

    def test_one_byte_too_many(self):
        self.write(IMAGE, bytes(60))
        self.assertIsInstance(self.claim(OTHER, 41), Claim)
        self.assertEqual(self.names(), [])

    def test_more_than_the_limit(self):
        self.write(IMAGE, bytes(60))
        self.assertTrue(self.room.could_hold(100))
        self.assertFalse(self.room.could_hold(101))
        self.assertIs(self.claim(OTHER, 101), Refusal.NO_ROOM)
        self.assertEqual(self.names(), [IMAGE])
        self.assertEqual(self.names("locks"), ["admission", "probe"])

    def test_what_is_read_stays(self):
        for name in (IMAGE, OTHER):
            self.write(name, bytes(40))
        self.open(IMAGE, 40)
        self.assertIs(self.claim(THIRD, 70, [IMAGE, OTHER]), Refusal.NO_ROOM)
        # Nothing goes in vain.
        self.assertEqual(self.names(), [IMAGE, OTHER])
        self.assertIsInstance(self.claim(THIRD, 60, [IMAGE, OTHER]), Claim)
        self.assertEqual(self.names(), [IMAGE])

    def test_what_is_being_written_counts_whole(self):
        claim = self.claim(IMAGE, 60)
        os.pwrite(claim.fd, b"one", 0)
        self.assertIs(self.claim(OTHER, 41), Refusal.NO_ROOM)
        self.assertIsInstance(self.claim(OTHER, 40), Claim)

    def test_what_was_deleted_while_it_is_written_counts_too(self):
        self.claim(IMAGE, 60)
        self.room.thd_drop([IMAGE], unfinished=True)
        self.assertIs(self.claim(OTHER, 41), Refusal.NO_ROOM)

    def test_what_broke_counts_and_goes_first(self):
        self.write(IMAGE, bytes(40))
        self.write(OTHER, bytes(40), "invalid")
        self.assertIsInstance(self.claim(THIRD, 40), Claim)
        self.assertEqual((self.names(), self.names("invalid")), ([IMAGE], []))
        self.assertEqual(self.removed, Removed([], 1, 40))

    def test_many_files_make_way_with_few_descriptors(self):
        for number in range(LIMIT):
            self.write(f"{number:08x}{IMAGE[8:]}", b"1")
        most = [0]
        unlink = os.unlink

        def unlinked(path):
            most.append(self.descriptors())
            unlink(path)

        self.patch(os, "unlink", unlinked)
        self.assertIsInstance(self.claim(THIRD, LIMIT), Claim)
        self.assertEqual(self.removed.files, LIMIT)
        # The node's lock, the claim's, and that of the file.
        self.assertLessEqual(max(most), 3)

    def test_one_that_is_opened_at_the_last_moment_stays(self):
        """Another one goes in its place."""
        for name, size in ((IMAGE, 30), (OTHER, 40)):
            self.write(name, bytes(size))
        is_unused = room_module._thd_is_unused

        def opened_right_after(file):
            unused = is_unused(file)
            self.open(IMAGE, 30)
            return unused

        self.patch(room_module, "_thd_is_unused", opened_right_after)
        self.assertIsInstance(self.claim(THIRD, 60, [IMAGE, OTHER]), Claim)
        self.assertEqual(self.removed.copies, [OTHER])

    def test_what_was_left_counts_and_goes(self):
        self.leave_partial(IMAGE, bytes(40))
        self.assertIsInstance(self.claim(OTHER, 70), Claim)
        self.assertEqual(self.names("incomplete"), [OTHER])

    def test_what_was_left_and_is_read_stays(self):
        self.leave_partial(IMAGE, bytes(40))
        with (self.root / "incomplete" / IMAGE).open() as reader:
            fcntl.flock(reader, fcntl.LOCK_SH)
            self.assertIs(self.claim(OTHER, 70), Refusal.NO_ROOM)

    def test_ones_own_remains_do_not_count_twice(self):
        self.leave_partial(IMAGE, bytes(40))
        self.write(OTHER, bytes(60))
        claim = self.claim(IMAGE, 40)
        self.assertEqual((claim.offset, os.fstat(claim.fd).st_size), (40, 40))
        self.assertEqual((self.names(), self.removed.files), ([OTHER], 0))

    def test_ones_own_remains_are_not_what_makes_way(self):
        self.leave_partial(IMAGE, bytes(10))
        self.write(OTHER, bytes(80))
        claim = self.claim(IMAGE, 25)
        self.assertEqual((claim.offset, os.fstat(claim.fd).st_size), (10, 10))
        self.assertEqual(self.removed.copies, [OTHER])

    def test_disk_has_ones_own_remains_already(self):
        self.leave_partial(IMAGE, bytes(30))
        self.write(OTHER, bytes(10))
        self.patch(room_module.Room, "_thd_free", lambda room: 10)
        self.assertEqual(self.claim(IMAGE, 40).offset, 30)
        self.assertEqual(self.names(), [OTHER])

    def test_disk_counts_too(self):
        self.write(OTHER, bytes(40))
        self.claim(THIRD, 20)
        free = 50
        self.patch(room_module.Room, "_thd_free", lambda room: free)
        # 20 of the free ones are promised.
        self.assertIsInstance(self.claim(IMAGE, 30), Claim)
        self.assertEqual(self.names(), [OTHER])
        free = 10
        new = IMAGE[:-1] + "9"
        self.assertIs(self.claim(new, 1), Refusal.NO_ROOM)

    def test_copy_makes_way_on_a_full_disk(self):
        self.write(OTHER, bytes(40))
        self.patch(room_module.Room, "_thd_free", lambda room: 0)
        self.assertIsInstance(self.claim(IMAGE, 40), Claim)
        self.assertEqual(self.names(), [])

    def test_other_files_are_nobodys_business(self):
        self.write("cache.db", bytes(1000))
        self.assertIsInstance(self.claim(IMAGE, 100), Claim)
        self.assertIn("cache.db", self.names())


class FollowingTests(RoomCase):
    def follow(self, image_id=IMAGE):
        found = self.room.thd_follow(image_id)
        for fd in found or ():
            self.addCleanup(os.close, fd)
        return found

    def test_copy_that_another_process_writes(self):
        claim = self.claim()
        fd, lock = self.follow()
        os.pwrite(claim.fd, b"data", 0)
        self.assertEqual(os.pread(fd, 9, 0), b"data")
        self.assertEqual(thd_read_state(lock), (40, OPEN))
        self.assertTrue(self.room.thd_is_written(lock))

    def test_nobody_writes(self):
        self.assertIsNone(self.follow())
        self.leave_partial()
        claim = self.claim()
        claim.thd_release()
        self.assertIsNone(self.follow())
        self.assertEqual(self.descriptors(), 2)

    def test_writer_dies(self):
        claim = self.claim()
        fd, lock = self.follow()
        claim.abandon()
        self.assertFalse(self.room.thd_is_written(lock))
        # To have asked does not keep anybody from taking its place.
        again = self.claim()
        self.assertTrue(os.path.samestat(os.fstat(again.fd), os.fstat(fd)))

    def test_keeps_what_it_follows(self):
        claim = self.claim(IMAGE, 40)
        os.pwrite(claim.fd, bytes(40), 0)
        self.follow()
        claim.abandon()
        fcntl.flock(claim.fd, fcntl.LOCK_UN)
        self.assertIs(self.claim(OTHER, 70), Refusal.NO_ROOM)

    def test_never_a_file_that_is_about_to_be_replaced(self):
        self.leave_partial()
        found = []
        follower = threading.Thread(target=lambda: found.append(self.follow()))
        look_at = room_module.thd_look_at

        def look(*args, **more):
            # The old file is still there, and the new claim's lock is, too.
            follower.start()
            follower.join(0.2)
            return look_at(*args, **more)

        self.patch(room_module, "thd_look_at", look)
        claim = self.claim(resume=False)
        follower.join()
        fd, _ = found[0]
        self.assertTrue(os.path.samestat(os.fstat(fd), os.fstat(claim.fd)))

    def test_no_file(self):
        self.claim()
        os.unlink(self.directory.partial(IMAGE))
        self.assertIsNone(self.follow())
        self.assertEqual(self.descriptors(), 2)


class RemovingTests(RoomCase):
    def test_prune(self):
        for name, size in ((IMAGE, 50), (OTHER, 50), (THIRD, 50)):
            self.write(name, bytes(size))
        removed = self.room.thd_prune([THIRD, IMAGE, OTHER])
        self.assertEqual(removed, Removed([THIRD], 1, 50))
        # What is exactly at the limit stays.
        self.assertEqual(self.room.thd_prune([]), Removed())

    def test_prune_goes_as_far_as_it_can(self):
        for name in (IMAGE, OTHER, THIRD):
            self.write(name, bytes(70))
        self.open(IMAGE, 70)
        removed = self.room.thd_prune([IMAGE, OTHER, THIRD])
        self.assertEqual((removed.copies, self.names()), ([OTHER, THIRD], [IMAGE]))

    def test_clean(self):
        self.write(IMAGE, b"data")
        self.write(OTHER, b"wrong", "invalid")
        self.leave_partial(OTHER)
        self.leave_partial(THIRD)
        old = time.time() - 1000
        os.utime(self.root / "incomplete" / OTHER, (old, old))
        self.assertEqual(self.room.thd_clean(999), Removed([], 2, 9))
        self.assertEqual(self.names("incomplete"), [THIRD])
        self.assertEqual(self.room.thd_clean(0).files, 1)
        self.assertEqual(self.names(), [IMAGE])

    def test_clean_leaves_alone_what_is_written_or_read(self):
        self.claim(IMAGE, 40)
        self.leave_partial(OTHER)
        with (self.root / "incomplete" / OTHER).open() as reader:
            fcntl.flock(reader, fcntl.LOCK_SH)
            self.assertEqual(self.room.thd_clean(0), Removed())
        self.assertEqual(self.room.thd_clean(0).files, 1)
        self.assertEqual(self.names("incomplete"), [IMAGE])

    def test_drop(self):
        for name in (IMAGE, OTHER, THIRD):
            self.write(name)
        fd = self.open(IMAGE)
        self.assertEqual(self.room.thd_drop([IMAGE]), Removed([IMAGE], 1, 4))
        self.assertEqual(os.pread(fd, 4, 0), b"data")
        self.assertEqual(self.room.thd_drop([IMAGE]), Removed())
        unknown = IMAGE[:-1] + "9"
        self.assertEqual(sorted(self.room.thd_drop([OTHER, THIRD, unknown]).copies), [OTHER, THIRD])

    def test_drop_of_what_is_being_written(self):
        claim = self.claim()
        self.room.thd_drop([IMAGE])
        self.assertEqual(self.names("incomplete"), [IMAGE])
        self.room.thd_drop([IMAGE], unfinished=True)
        self.assertEqual(self.names("incomplete"), [])
        self.assertFalse(claim.thd_commit())
        self.assertEqual(self.names(), [])


class _Processes(RuleBasedStateMachine):
    """Anything that processes may do, in any order, deaths included."""

    images = [IMAGE[:-1] + str(n) for n in range(6)]

    def __init__(self):
        super().__init__()
        self.case = RoomCase()
        self.case.setUp()
        self.claims = {}
        self.readers = {}

    def teardown(self):
        for claim in self.claims.values():
            claim.abandon()
            os.close(claim.fd)
        for fd in self.readers.values():
            os.close(fd)
        self.case.doCleanups()

    @rule(image=st.sampled_from(images), size=st.integers(1, 60), resume=st.booleans())
    def claim(self, image, size, resume):
        outcome, _ = self.case.room.thd_claim(image, size, self.images, resume=resume)
        there = os.path.lexists(self.case.directory.copy(image))
        assert (outcome is Refusal.BUSY) == (image in self.claims and not there)
        if isinstance(outcome, Claim):
            self.claims[image] = outcome

    def _end(self, image):
        claim = self.claims.pop(image)
        claim.abandon()
        os.close(claim.fd)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), part=st.integers(0, 60))
    def write(self, data, part):
        claim = self.claims[data.draw(st.sampled_from(sorted(self.claims)))]
        os.pwrite(claim.fd, bytes(min(part, claim.size)), 0)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["commit", "reject", "give up", "release", "die"]))
    def end(self, data, how):
        image = data.draw(st.sampled_from(sorted(self.claims)))
        claim = self.claims[image]
        if how == "commit":
            os.pwrite(claim.fd, bytes(claim.size), 0)
            claim.thd_commit()
        elif how == "reject":
            claim.thd_reject("wrong")
        elif how == "give up":
            claim.thd_give_up()
        elif how == "release":
            claim.thd_release()
        self._end(image)

    @rule(image=st.sampled_from(images))
    def read(self, image):
        try:
            size = os.stat(self.case.directory.copy(image)).st_size
        except FileNotFoundError:
            return
        fd = self.case.room.thd_open(image, size)
        assert fd is not None
        if image in self.readers:
            os.close(self.readers[image])
        self.readers[image] = fd

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def read_no_more(self, data):
        os.close(self.readers.pop(data.draw(st.sampled_from(sorted(self.readers)))))

    @rule(images=st.sets(st.sampled_from(images), max_size=2), unfinished=st.booleans())
    def drop(self, images, unfinished):
        for image in images:
            if image in self.readers:
                os.close(self.readers.pop(image))
        self.case.room.thd_drop(images, unfinished=unfinished)

    @rule()
    def prune(self):
        assert self.case.room.thd_prune(self.images) == Removed()

    @rule()
    def clean(self):
        self.case.room.thd_clean(0)

    @invariant()
    def limit_holds(self):
        sizes = {p.name: p.stat().st_size for p in (self.case.root / "incomplete").iterdir()}
        sizes |= {image: claim.size for image, claim in self.claims.items()}
        whole = [p.stat().st_size for p in self.case.root.iterdir() if p.is_file()]
        invalid = [p.stat().st_size for p in (self.case.root / "invalid").iterdir()]
        assert sum([*sizes.values(), *whole, *invalid]) <= LIMIT

    @invariant()
    def what_is_read_is_there(self):
        for image, fd in self.readers.items():
            assert os.fstat(fd).st_nlink == 1
            assert os.path.exists(self.case.directory.copy(image))


class ProcessesTests(RoomCase):
    def test_limit_holds_whatever_happens(self):
        run_state_machine_as_test(
            _Processes, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
        )
