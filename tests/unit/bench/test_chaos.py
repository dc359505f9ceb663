"""Shaking a cache: the same is done each time, and what is wrong is told from what may be."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from bench import chaos, chaos_plan
from bench.chaos_plan import LARGEST, LIMIT, MEAN, SLOTS, SMALLEST, WEIGHTS, Operation
from bench.chaos_world import FAULT_TIME, KILL_TIME, Image, Killed, Try, World
from bench.origin import CORRUPT, STALLED, TRUNCATED, Asked, Content, Fault, Origin, mark
from bench.watch import Watch, held, is_held, seen_twice
from glance.cache.claims import Claim
from glance.cache.layout import CacheDirectory, CacheFile
from glance.cache.room import Room

IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(5)]


class TestPlan:
    def test_same_seed_same_operations(self) -> None:
        first, again, other = (chaos_plan.plan(seed, 400) for seed in (1, 1, 2))
        assert first == again != other
        assert [operation.number for operation in first] == list(range(1, 401))

    @pytest.mark.parametrize("count", [len(WEIGHTS), 250, 1000, 10_000])
    def test_every_kind_comes(self, count: int) -> None:
        counted = chaos_plan.counted(chaos_plan.plan(3, count))
        assert sum(counted.values()) == count
        assert min(counted.values()) >= 1
        assert counted["download"] == max(counted.values())

    def test_too_few(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            chaos.main(["--operations", "3"])
        assert "--operations: at least" in capsys.readouterr().err

    def test_sizes(self) -> None:
        sizes = [chaos_plan.size_of(1, slot, 1) for slot in range(SLOTS)]
        assert {1, LIMIT, LIMIT + 1} < set(sizes)
        usual = [size for size in sizes if size not in (1, LIMIT, LIMIT + 1)]
        assert all(SMALLEST <= size <= LARGEST for size in usual)
        many = [chaos_plan.size_of(1, 0, generation) for generation in range(2000)]
        assert sum(many) / len(many) == pytest.approx(MEAN, rel=0.1)

    @pytest.mark.parametrize("first", [0.0, 0.5, 0.999999])
    @pytest.mark.parametrize("second", [0.0, 0.5, 0.999999])
    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_ranges_are_within(self, first: float, second: float, size: int) -> None:
        operation = Operation(1, "range", 0, first, second)
        begin, end = chaos_plan.part_of(size, operation)
        assert 0 <= begin <= end < size


@pytest.fixture
def world() -> World:
    # It need not listen.
    origin = Origin()
    origin.server_close()
    return World(1, origin)


def image_of(world: World, data: bytes = b"0123456789" * 10) -> Image:
    image = Image(IDS[0], 0, Content.of(memoryview(data)), "/source")
    world.know(image)
    world.put(image)
    return image


def asked(
    world: World, kind: str | None = None, *, began: float = 100.0, ended: float | None = 101.0
) -> Asked:
    fault = None if kind is None else Fault(kind, 0.5, 0)
    answer = world.origin.note("/source", False)
    answer.fault, answer.began, answer.ended = fault, began, ended
    return answer


def attempt(image: Image | None, began: float = 100.0, ended: float = 102.0, port: int = 1) -> Try:
    return Try("download", 7, image, began, port, ended)


class TestReasons:
    def test_none(self, world: World) -> None:
        image = image_of(world)
        asked(world)
        world.failed(attempt(image), "reset")
        assert not world.going_on
        (fault,) = world.faults
        assert str(fault) == f"operation 7: download of {IDS[0]} failed without a reason: reset"

    def test_its_worker_was_killed(self, world: World) -> None:
        world.killed.append(Killed(100.0, frozenset({1, 2})))
        assert world.reason(attempt(None)) == "its worker was killed"
        assert world.reason(attempt(None, port=3)) is None
        assert world.reason(attempt(None, ended=98.0)) is None
        assert world.reason(attempt(None, ended=100.0 + KILL_TIME)) is None

    def test_its_image_was_deleted(self, world: World) -> None:
        image = image_of(world)
        image.leaving = 101.0
        assert world.reason(attempt(image)) == "its image was deleted"
        assert world.reason(attempt(image, ended=100.5)) is None

    def test_the_store_failed(self, world: World) -> None:
        image = image_of(world)
        asked(world, TRUNCATED)
        assert world.reason(attempt(image)) == "the store failed: truncated"
        assert world.reason(attempt(image, began=101.0 + FAULT_TIME)) is not None
        assert world.reason(attempt(image, began=102.0 + FAULT_TIME, ended=200.0)) is None
        assert world.reason(attempt(image, began=98.0, ended=99.0)) is None

    def test_taking_its_time_is_no_failure(self, world: World) -> None:
        image = image_of(world)
        asked(world, STALLED)
        assert world.reason(attempt(image)) is None


class TestWrongBytes:
    DATA = b"0123456789" * 10

    def corrupt(self, world: World, of_a_fill: bool = False) -> bytes:
        world.filling = lambda image_id: of_a_fill
        answer = asked(world, CORRUPT)
        wrong = mark(answer.number)
        answer.spoilt = 20, wrong
        return self.DATA[:20] + wrong + self.DATA[28:]

    def test_of_nobody(self, world: World) -> None:
        image = image_of(world, self.DATA)
        self.corrupt(world)
        wrong = self.DATA[:50] + b"x" + self.DATA[51:]
        world.differs(attempt(image), memoryview(wrong), 0)
        assert str(world.faults[0]).endswith("other bytes from 50 on")

    def test_the_store_s_are_sent_once(self, world: World) -> None:
        image = image_of(world, self.DATA)
        wrong = self.corrupt(world)
        world.differs(attempt(image), memoryview(wrong), 0)
        assert world.faults == []
        world.differs(attempt(image), memoryview(wrong)[10:30], 10)
        assert "corrupt answer 1 came to 2 downloads" in str(world.faults[0])

    def test_of_a_copy(self, world: World) -> None:
        image = image_of(world, self.DATA)
        wrong = self.corrupt(world, of_a_fill=True)
        world.differs(attempt(image), memoryview(wrong)[:60], 0, broken_off=True)
        assert world.faults == []
        world.differs(attempt(image), memoryview(wrong), 0)
        assert "corrupt answer 1, made a copy from" in str(world.faults[0])

    def test_of_a_range_that_is_fetched_while_a_copy_is_made(self, world: World) -> None:
        image = image_of(world, self.DATA)
        wrong = self.corrupt(world, of_a_fill=True)
        a_range = Try("range", 7, image, 100.0, 1, 102.0)
        world.differs(a_range, memoryview(wrong)[10:], 10)
        assert world.faults == []
        # It was asked for before the range was, so it was for the copy.
        a_range.began = 100.5
        world.marks.clear()
        world.differs(a_range, memoryview(wrong)[10:], 10)
        assert "made a copy from" in str(world.faults[0])

    def test_others_beside_the_store_s(self, world: World) -> None:
        image = image_of(world, self.DATA)
        wrong = self.corrupt(world)[:-1] + b"x"
        world.differs(attempt(image), memoryview(wrong), 0)
        assert len(world.faults) == 1


class TestWatch:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> CacheDirectory:
        directory = CacheDirectory(str(tmp_path))
        directory.thd_prepare()
        return directory

    def write(self, path: str, size: int) -> None:
        Path(path).write_bytes(b"x" * size)

    def test_within_the_limit(
        self, directory: CacheDirectory, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.write(directory.copy(IDS[0]), 30)
        self.write(directory.partial(IDS[1]), 30)
        self.write(directory.invalid(IDS[2]), 40)
        watch = Watch(directory, 100)
        watch.look()
        watch.look_alone()
        assert capsys.readouterr().out == ""
        assert (watch.most, watch.most_promised, watch.looks, watch.exact) == (100, 100, 1, 1)

    def test_one_byte_too_many(
        self, directory: CacheDirectory, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.write(directory.copy(IDS[0]), 60)
        self.write(directory.invalid(IDS[2]), 41)
        watch = Watch(directory, 100)
        watch.look()
        watch.look_alone()
        said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["fault"], line["bytes"]) for line in said] == [("bytes", 101)] * 2
        assert f"invalid/{IDS[2]} 41" in said[0]["files"]

    def test_what_is_promised_counts(
        self, directory: CacheDirectory, capsys: pytest.CaptureFixture[str]
    ) -> None:
        claim, _ = Room(directory, 100).thd_claim(IDS[0], 80, [])
        assert isinstance(claim, Claim)
        os.pwrite(claim.fd, b"x" * 10, 0)
        watch = Watch(directory, 100)
        watch.look_alone()
        assert (watch.most, watch.most_promised) == (10, 80)
        self.write(directory.copy(IDS[1]), 21)
        watch.look()
        watch.look_alone()
        (said,) = map(json.loads, capsys.readouterr().out.splitlines())
        assert (said["fault"], said["bytes"]) == ("bytes with those promised", 101)
        claim.thd_give_up()
        os.close(claim.fd)

    def test_only_what_was_there_between_two_looks(self) -> None:
        def file(size: int, modified: float, place: str = "a") -> CacheFile:
            return CacheFile(IDS[0], place, size, modified)

        assert seen_twice([file(5, 1), file(7, 1, "b")], [file(5, 1), file(7, 1, "b")]) == 12
        # It grows; it is gone; it is another one.
        assert seen_twice([file(5, 1)], [file(6, 2)]) == 5
        assert seen_twice([file(5, 1)], [file(5, 1, "b")]) == 0
        assert seen_twice([file(5, 1)], [file(4, 2)]) == 0


def test_locks_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    where = os.fstat(fd).st_dev, os.fstat(fd).st_ino
    assert not is_held(str(path))
    for how, alone in ((fcntl.LOCK_SH, False), (fcntl.LOCK_EX, True)):
        fcntl.flock(fd, how)
        assert is_held(str(path))
        assert [lock.alone for lock in held() if (lock.device, lock.inode) == where] == [alone]
    os.close(fd)
    assert not is_held(str(path))
    assert not is_held(str(tmp_path / "none"))
