"""The cache's room against a model: whatever happens in whatever order, the limit holds.

The model knows files by what they hold, who has them open, and when they were written, and says
exactly what each call answers and which files it removes. Locks belong to open files, so one
process that opens a file twice is like two.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from glance.cache.claims import BAD, GIVEN_UP, GOOD, OPEN, Claim, thd_read_state
from glance.cache.layout import CacheDirectory
from glance.cache.room import Refusal, Removed, Room

LIMIT = 100
IMAGES = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(6)]
#: The last image is never cached: it is larger than the cache.
SIZES = st.tuples(*[st.integers(0, 60)] * 4, st.just(LIMIT), st.just(LIMIT + 1))
#: More than the age of any file, as these tests date them; and less.
NEVER, AT_ONCE = 1e12, 0

images = st.sampled_from(IMAGES)
orders = st.lists(images, unique=True)
picks = st.integers(0, 1000)


@dataclass(eq=False)
class Node:
    """A file, which may have lost its name.

    :ivar opened: how many have it open.
    :ivar stamp: when it was written.
    """

    size: int
    stamp: int
    opened: int = 0


class LockFile:
    """The file of a lock, which may have lost its name, too."""


@dataclass(eq=False)
class Fill:
    """A copy that somebody writes."""

    claim: Claim
    node: Node
    lock_file: LockFile


@dataclass(eq=False)
class Reader:
    """An open file; the lock's file of whoever writes it, or wrote it when it was opened."""

    image_id: str
    fd: int
    node: Node
    lock: int | None = None
    lock_file: LockFile | None = None


class RoomModel(RuleBasedStateMachine):
    """Everything that can happen to a cache, and what is to come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp(prefix="glance-room-")
        # What the disk has after a crash is not looked at here, and takes its time.
        self.patches = [
            mock.patch("os.fsync"),
            mock.patch("glance.cache.room._booted_at", lambda: self.booted),
        ]
        for patch in self.patches:
            patch.start()
        self.directory = CacheDirectory(self.root)
        self.directory.thd_prepare()
        self.room = Room(self.directory, LIMIT)
        self.clock = 0
        #: When the machine was started last.
        self.booted = 0
        self.copies: dict[str, Node] = {}
        self.partials: dict[str, Node] = {}
        self.invalid: dict[str, Node] = {}
        self.wishes: set[str] = set()
        #: Those under way, by image.
        self.fills: dict[str, Fill] = {}
        #: Files of locks whose holders died.
        self.dead_locks: dict[str, LockFile] = {}
        self.readers: list[Reader] = []
        #: More than the limit only after files came by other ways.
        self.allowed = LIMIT

    @initialize(sizes=SIZES)
    def choose(self, sizes: tuple[int, ...]) -> None:
        self.sizes = dict(zip(IMAGES, sizes, strict=True))

    def teardown(self) -> None:
        for fill in list(self.fills.values()):
            fill.claim.thd_give_up()
            os.close(fill.claim.fd)
        for reader in self.readers:
            self.shut(reader)
        for patch in self.patches:
            patch.stop()
        shutil.rmtree(self.root)

    # What is to happen.

    def data(self, image_id: str) -> bytes:
        number = IMAGES.index(image_id)
        return bytes((7 * at + 31 * number) % 251 for at in range(self.sizes[image_id]))

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def used(self, apart_from: str | None = None) -> int:
        """Return what all files take, or are going to take."""
        written = {name: node.size for name, node in self.partials.items() if name != apart_from}
        for name, fill in self.fills.items():
            written[name] = max(fill.claim.size, written.get(name, 0))
        whole = [*self.copies.values(), *self.invalid.values()]
        return sum(node.size for node in whole) + sum(written.values())

    def candidates(
        self, order: list[str], apart_from: str | None
    ) -> Iterator[tuple[dict[str, Node], str]]:
        """Yield what may be removed to make room, in that order."""
        for names in (self.invalid, self.partials):
            for name in sorted(names, key=lambda name: names[name].stamp):
                if names is self.invalid or (name not in self.fills and name != apart_from):
                    yield names, name
        unknown = sorted(self.copies.keys() - set(order))
        for name in unknown + [name for name in order if name in self.copies]:
            yield self.copies, name

    def to_remove(
        self, lacking: int, order: list[str], apart_from: str | None = None
    ) -> tuple[list[tuple[dict[str, Node], str]], bool]:
        """Return what has to go, and whether it is enough."""
        chosen = []
        for names, name in self.candidates(order, apart_from):
            if lacking <= 0:
                break
            if not names[name].opened:
                chosen.append((names, name))
                lacking -= names[name].size
        return chosen, lacking <= 0

    def remove(self, chosen: list[tuple[dict[str, Node], str]], removed: Removed) -> None:
        """Remove files of the model, and see that just these are said to be removed."""
        gone = [(names is self.copies, name, names.pop(name).size) for names, name in chosen]
        assert sorted(removed.copies) == sorted(name for complete, name, _ in gone if complete)
        assert removed.files == len(gone)
        assert removed.size == sum(size for _, _, size in gone)

    # Writing.

    @rule(image_id=images, order=orders, resume=st.booleans())
    def claim(self, image_id: str, order: list[str], resume: bool) -> None:
        size = self.sizes[image_id]
        outcome, removed = self.room.thd_claim(image_id, size, order, resume=resume)
        if image_id in self.copies or image_id in self.fills:
            present = image_id in self.copies
            assert outcome is (Refusal.PRESENT if present else Refusal.BUSY)
            self.remove([], removed)
            return
        # All locks have been looked at, and what the dead left is gone; but this one is ours now.
        lock_file = self.dead_locks.get(image_id, LockFile())
        self.dead_locks.clear()
        left = self.partials.get(image_id)
        usable = left is not None and resume and left.size <= size and left.stamp > self.booted
        if left is not None and left.size and not usable:
            # Nobody can tell whether it is the image's beginning.
            del self.partials[image_id]
            left = None
        lacking = self.used(apart_from=image_id) + size - LIMIT
        chosen, enough = self.to_remove(lacking, order, apart_from=image_id)
        if size > LIMIT or not enough:
            assert outcome is Refusal.NO_ROOM
            self.remove([], removed)
            return
        self.remove(chosen, removed)
        assert isinstance(outcome, Claim)
        if left is None:
            left = self.partials[image_id] = Node(0, self.tick())
            os.utime(outcome.fd, (left.stamp, left.stamp))
        assert outcome.offset == left.size
        left.opened += 1
        self.fills[image_id] = Fill(outcome, left, lock_file)

    @precondition(lambda self: self.fills)
    @rule(pick=picks, share=st.sampled_from([0.1, 0.5, 1]))
    def append(self, pick: int, share: float) -> None:
        fill = self.picked(pick)
        at = fill.node.size
        count = int(share * (fill.claim.size - at))
        piece = self.data(fill.claim.image_id)[at : at + count]
        assert os.pwrite(fill.claim.fd, piece, at) == len(piece)
        fill.node.size += len(piece)
        self.date(fill)

    def date(self, fill: Fill) -> None:
        fill.node.stamp = self.tick()
        os.utime(fill.claim.fd, (fill.node.stamp, fill.node.stamp))

    def picked(self, pick: int) -> Fill:
        names = sorted(self.fills)
        return self.fills[names[pick % len(names)]]

    def ended(self, fill: Fill, verdict: str) -> None:
        """The fill has ended; whoever wrote the copy may be reading it still."""
        image_id = fill.claim.image_id
        del self.fills[image_id]
        assert not os.path.exists(self.directory.fill_lock(image_id))
        for reader in self.readers:
            if reader.lock_file is fill.lock_file and reader.lock is not None:
                assert thd_read_state(reader.lock) == (fill.claim.size, verdict)
        self.readers.append(Reader(image_id, fill.claim.fd, fill.node))

    @precondition(lambda self: self.fills)
    @rule(pick=picks)
    def commit(self, pick: int) -> None:
        fill = self.picked(pick)
        image_id = fill.claim.image_id
        rest = self.data(image_id)[fill.node.size :]
        os.pwrite(fill.claim.fd, rest, fill.node.size)
        fill.node.size += len(rest)
        self.date(fill)
        there = self.partials.get(image_id) is fill.node
        assert fill.claim.thd_commit() == there
        if there:
            self.copies[image_id] = self.partials.pop(image_id)
            self.wishes.discard(image_id)
        self.ended(fill, GOOD)

    @precondition(lambda self: self.fills)
    @rule(pick=picks)
    def reject(self, pick: int) -> None:
        fill = self.picked(pick)
        fill.claim.thd_reject("wrong")
        if self.partials.get(fill.claim.image_id) is fill.node:
            self.invalid[fill.claim.image_id] = self.partials.pop(fill.claim.image_id)
        self.ended(fill, BAD)

    @precondition(lambda self: self.fills)
    @rule(pick=picks)
    def give_up(self, pick: int) -> None:
        fill = self.picked(pick)
        fill.claim.thd_give_up()
        self.partials.pop(fill.claim.image_id, None)
        self.ended(fill, GIVEN_UP)

    @precondition(lambda self: self.fills)
    @rule(pick=picks)
    def release(self, pick: int) -> None:
        fill = self.picked(pick)
        fill.claim.thd_release()
        # One that somebody follows stays, for that one to go on with.
        if not fill.node.size and fill.node.opened == 1:
            self.partials.pop(fill.claim.image_id, None)
        self.ended(fill, OPEN)

    @precondition(lambda self: self.fills)
    @rule(pick=picks)
    def die(self, pick: int) -> None:
        fill = self.picked(pick)
        os.close(fill.claim.fd)
        os.close(fill.claim._lock)
        fill.node.opened -= 1
        self.dead_locks[fill.claim.image_id] = fill.lock_file
        del self.fills[fill.claim.image_id]

    @precondition(lambda self: not self.fills)
    @rule()
    def restart(self) -> None:
        """The machine was restarted; what readers have open is just not looked at."""
        self.booted = self.tick()

    # Reading.

    @rule(image_id=images)
    def open(self, image_id: str) -> None:
        fd = self.room.thd_open(image_id, self.sizes[image_id])
        node = self.copies.get(image_id)
        assert (fd is not None) == (node is not None)
        if fd is not None and node is not None:
            node.opened += 1
            self.readers.append(Reader(image_id, fd, node))

    @rule(image_id=images)
    def open_as_another(self, image_id: str) -> None:
        """The copy has another length than the image."""
        assert self.room.thd_open(image_id, self.sizes[image_id] + 1) is None
        if (node := self.copies.pop(image_id, None)) is not None:
            self.invalid[image_id] = node

    @rule(image_id=images)
    def follow(self, image_id: str) -> None:
        found = self.room.thd_follow(image_id)
        node = self.partials.get(image_id)
        fill = self.fills.get(image_id)
        lock_file = self.dead_locks.get(image_id) if fill is None else fill.lock_file
        assert (found is not None) == (node is not None and lock_file is not None)
        if found is not None and node is not None:
            fd, lock = found
            assert thd_read_state(lock) == (self.sizes[image_id], OPEN)
            node.opened += 1
            self.readers.append(Reader(image_id, fd, node, lock, lock_file))

    @precondition(lambda self: self.readers)
    @rule(pick=picks)
    def close(self, pick: int) -> None:
        self.shut(self.readers.pop(pick % len(self.readers)))

    def shut(self, reader: Reader) -> None:
        reader.node.opened -= 1
        os.close(reader.fd)
        if reader.lock is not None:
            os.close(reader.lock)

    @precondition(lambda self: any(reader.lock_file for reader in self.readers))
    @rule(pick=picks)
    def ask_for_the_writer(self, pick: int) -> None:
        followers = [reader for reader in self.readers if reader.lock is not None]
        follower = followers[pick % len(followers)]
        assert follower.lock is not None
        is_alive = any(fill.lock_file is follower.lock_file for fill in self.fills.values())
        assert self.room.thd_is_written(follower.lock) == is_alive

    @rule(image_id=images)
    def ask_for_a_claim(self, image_id: str) -> None:
        assert self.room.thd_is_claimed(image_id) == (image_id in self.fills)
        self.dead_locks.pop(image_id, None)

    # Removing, and what else comes by.

    @rule()
    def ask_for_room(self) -> None:
        assert self.room.thd_excess() == self.used() - LIMIT
        self.dead_locks.clear()

    @rule(order=orders)
    def prune(self, order: list[str]) -> None:
        chosen, _ = self.to_remove(self.used() - LIMIT, order)
        self.remove(chosen, self.room.thd_prune(order))
        self.dead_locks.clear()

    @rule(stall_time=st.sampled_from([AT_ONCE, NEVER]))
    def clean(self, stall_time: float) -> None:
        chosen = [(self.invalid, name) for name, node in self.invalid.items() if not node.opened]
        if stall_time == AT_ONCE:
            stale = ((n, node) for n, node in self.partials.items() if n not in self.fills)
            chosen += [(self.partials, name) for name, node in stale if not node.opened]
        self.remove(chosen, self.room.thd_clean(stall_time))
        self.dead_locks.clear()

    @rule(names=st.sets(images), unfinished=st.booleans())
    def drop(self, names: set[str], unfinished: bool) -> None:
        removed = self.room.thd_drop(sorted(names), unfinished=unfinished)
        self.remove([(self.copies, name) for name in names & self.copies.keys()], removed)
        if unfinished:
            for name in names:
                self.partials.pop(name, None)

    @rule(image_id=images)
    def wish(self, image_id: str) -> None:
        new = image_id not in self.copies and image_id not in self.wishes
        assert self.directory.thd_enqueue(image_id) == new
        if new:
            self.wishes.add(image_id)

    @rule(image_id=images)
    def appear(self, image_id: str) -> None:
        """Somebody puts a copy there who knows nothing of the limit."""
        if image_id in self.copies or image_id in self.fills:
            return
        with open(self.directory.copy(image_id), "xb") as file:
            file.write(self.data(image_id))
        self.copies[image_id] = Node(self.sizes[image_id], self.tick())
        self.allowed = max(LIMIT, self.used())

    # What holds after each of them.

    @invariant()
    def limit_holds(self) -> None:
        there = sum(
            file.size
            for listed in (
                self.directory.thd_copies(),
                self.directory.thd_partials(),
                self.directory.thd_invalid(),
            )
            for file in listed
        )
        assert there <= self.used() <= self.allowed
        self.allowed = max(LIMIT, self.used())

    @invariant()
    def files_are_those_of_the_model(self) -> None:
        for listed, names in (
            (self.directory.thd_copies(), self.copies),
            (self.directory.thd_partials(), self.partials),
            (self.directory.thd_invalid(), self.invalid),
        ):
            found = {file.image_id: file.size for file in listed}
            assert found == {name: node.size for name, node in names.items()}
        assert set(self.directory.thd_queued()) == self.wishes
        assert self.directory.thd_fill_locks().keys() == self.fills.keys() | self.dead_locks.keys()

    @invariant()
    def what_is_open_can_be_read(self) -> None:
        for reader in self.readers:
            # Whatever has become of its name.
            expected = self.data(reader.image_id)[: reader.node.size]
            assert os.pread(reader.fd, reader.node.size + 1, 0) == expected

    @invariant()
    def copies_are_right(self) -> None:
        for image_id in self.copies:
            with open(self.directory.copy(image_id), "rb") as file:
                assert file.read() == self.data(image_id)


TestRoomModel = RoomModel.TestCase
TestRoomModel.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    # To explain a failure takes minutes here; to find and shorten it does not.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)
