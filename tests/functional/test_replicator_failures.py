"""The replicator where something fails: the network, a service, a disk, or the program itself.

However it ends, what is active on the target is right, and the next run can go on.
"""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional import replication
from tests.functional.flapping import (
    BUSY,
    MUTE,
    RESET,
    Fault,
    Proxy,
    each,
    flapping,
    honest,
    several,
)
from tests.functional.replicator import Case, Done, Sides, finish
from tests.functional.server import eventually
from tests.functional.wire import MIB, data_of

LIST = "/v2/images"
FILE = r"/v2/images/[^/]+/file"
IMAGE = r"/v2/images/[^/]+"
#: All that may pass.
FAULTS = (RESET, BUSY, MUTE, Fault("cut", 0), Fault("cut", 150_000), Fault("status", status=502))
SIZES = (3 * MIB, 1, MIB, 0, 2 * MIB + 1, 300_000, MIB - 1, 700_000)


@pytest.fixture
def target(case: Case) -> Iterator[Proxy]:
    """What stands before the target."""
    with Proxy(case.target.port) as proxy:
        yield proxy


@pytest.fixture
def source(case: Case) -> Iterator[Proxy]:
    """What stands before the source."""
    with Proxy(case.source.port) as proxy:
        yield proxy


def fill(case: Case) -> int:
    """Make some images; return how many bytes they have."""
    case.images(*map(data_of, SIZES), visibility="shared")
    replication.share(case.source, case.ids[0], bob="accepted", carol="rejected")
    replication.replace(case.source, case.ids[1], "protected", True)
    return sum(SIZES)


def failed(done: Done) -> str:
    """Return what is said of images that failed."""
    return "\n".join(line for line in done.said.splitlines() if ": failed" in line)


class TestInterrupted:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("seed", range(2))
    def test_anywhere(self, case: Case, target: Proxy, number: int, seed: int) -> None:
        chance = random.Random(f"{number} {seed}")
        total = fill(case)
        words = (case.places[0], target.place, "--parallel", chance.choice([1, 3, 8]))
        with case.never_wrong():
            for _ in range(4):
                done = case.interrupted(
                    number, target.alarm, chance.randrange(1, total // 2), *words
                )
                if done.code == 0:
                    # It was not in the middle of anything.
                    break
                if number == signal.SIGKILL:
                    assert done.code == -signal.SIGKILL
                else:
                    assert done.code in (1, 128 + number, -number), done
            # A connection that was cut is the target's to notice.
            case.run("livecopy", *words)
        assert case.differences() == []
        case.run("compare", *case.places)

    def test_between_an_image_and_its_data(self, case: Case, target: Proxy) -> None:
        image_id = case.image(b"data")
        process = case.program.start("livecopy", case.places[0], target.place, "--tag", case.tag)

        def plan(asked: object) -> Fault | None:
            if target.count("PUT", FILE):
                process.kill()
                return RESET
            return None

        target.plan = plan
        assert finish(process, None).code == -signal.SIGKILL
        assert case.target.status(image_id) == "queued"
        target.plan = honest
        done = case.run("livecopy", case.places[0], target.place)
        assert "completed" in done.said
        assert case.differences() == []

    @pytest.mark.parametrize("what", ["members", "protected"])
    def test_between_the_data_and_what_comes_after(
        self, case: Case, target: Proxy, what: str
    ) -> None:
        image_id = case.image(b"data", protected=True, visibility="shared")
        replication.share(case.source, image_id, bob="accepted", carol="pending")
        process = case.program.start("livecopy", case.places[0], target.place, "--tag", case.tag)
        method, path = ("POST", f"{IMAGE}/members") if what == "members" else ("PATCH", IMAGE)

        def plan(asked: object) -> Fault | None:
            if target.count(method, path):
                process.kill()
                return RESET
            return None

        target.plan = plan
        assert finish(process, None).code == -signal.SIGKILL
        target.plan = honest
        case.run("livecopy", case.places[0], target.place)
        assert case.differences() == []
        # The data was there.
        assert target.count("PUT", FILE) == 1


class TestFlapping:
    @pytest.mark.parametrize("seed", range(3))
    def test_target(self, case: Case, target: Proxy, seed: int) -> None:
        fill(case)
        target.plan = flapping(seed, 0.3, 2, FAULTS)
        with case.never_wrong():
            case.run("livecopy", case.places[0], target.place, "--parallel", 8)
        assert target.done
        assert case.differences() == []

    @pytest.mark.parametrize("seed", range(2))
    def test_source(self, case: Case, source: Proxy, seed: int) -> None:
        fill(case)
        source.plan = flapping(seed, 0.3, 2, FAULTS)
        with case.never_wrong():
            case.run("livecopy", source.place, case.places[1], "--parallel", 8)
        assert source.done
        assert case.differences() == []

    @pytest.mark.parametrize("seed", range(2))
    def test_both(self, case: Case, source: Proxy, target: Proxy, seed: int) -> None:
        fill(case)
        source.plan = flapping(seed, 0.2, 2, FAULTS)
        target.plan = flapping(seed + 10, 0.2, 2, FAULTS)
        with case.never_wrong():
            case.run("livecopy", source.place, target.place, "--parallel", 8)
        assert case.differences() == []

    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", LIST), ("PUT", FILE), ("POST", f"{IMAGE}/members"), ("PATCH", IMAGE)],
    )
    def test_answers_that_are_lost(self, case: Case, target: Proxy, method: str, path: str) -> None:
        """What was done is not done again, nor taken for somebody else's."""
        image_id = case.image(b"data", protected=True, visibility="shared")
        replication.share(case.source, image_id, bob="accepted")
        target.plan = each(method, path, MUTE)
        with case.never_wrong():
            case.run("livecopy", case.places[0], target.place)
        assert [fault for _, fault in target.done] == [MUTE]
        assert case.differences() == []

    def test_a_target_that_stalls(self, case: Case, target: Proxy) -> None:
        # More than what lies on the way between the two.
        case.image(data_of(24 * MIB))
        target.plan = several(
            each("PUT", FILE, Fault("stall", 100_000)), each("POST", LIST, Fault("stall", 10))
        )
        case.run("livecopy", case.places[0], target.place, "--timeout", 1)
        assert len(target.done) == 2
        assert case.differences() == []

    def test_a_source_that_stalls(self, case: Case, source: Proxy) -> None:
        case.image(data_of(MIB))
        source.plan = each("GET", FILE, Fault("stall", 100_000), Fault("stall", 0))
        case.run("livecopy", source.place, case.places[1], "--timeout", 1)
        assert len(source.done) == 2
        assert case.differences() == []

    def test_a_target_that_goes_away(self, case: Case, target: Proxy) -> None:
        fill(case)
        target.alarm(MIB, target.down)
        done = case.run("livecopy", case.places[0], target.place, "--retries", 1, code=3)
        assert target.place in done.err
        target.up()
        with case.never_wrong():
            case.run("livecopy", case.places[0], target.place)
        assert case.differences() == []

    def test_a_target_that_comes_back(self, case: Case, target: Proxy) -> None:
        fill(case)
        process = case.program.start("livecopy", case.places[0], target.place, "--tag", case.tag)
        target.alarm(MIB, target.down)
        eventually(lambda: target._listener is None, "the target is down")
        target.up()
        finish(process)
        assert case.differences() == []

    def test_one_image_that_never_gets_through(self, case: Case, target: Proxy) -> None:
        bad, good = case.images(data_of(MIB), data_of(MIB + 1))
        path = re.escape(f"{LIST}/{bad}/file")
        target.plan = each("PUT", path, *[Fault("cut", 1000)] * 9)
        done = case.run("livecopy", case.places[0], target.place, "--retries", 2, code=1)
        assert target.count("PUT", path) == 3
        assert bad in failed(done)
        assert good not in failed(done)
        assert replication.differences(case.source, case.target, [good]) == []


class TestWrongData:
    @pytest.mark.parametrize("side", ["source", "target"])
    def test_once_in_transit(self, case: Case, source: Proxy, target: Proxy, side: str) -> None:
        case.images(data_of(MIB), b"small")
        fault = Fault("corrupt", MIB - 1)
        if side == "source":
            source.plan = each("GET", FILE, fault)
        else:
            target.plan = each("PUT", FILE, fault)
        with case.never_wrong():
            case.run("livecopy", source.place, target.place)
        assert source.done or target.done
        # It was noticed, and done once more.
        assert target.count("PUT", f"{LIST}/{case.ids[0]}/file") == 2
        assert case.differences() == []

    @pytest.mark.parametrize("at", [0, 65_536, MIB - 1])
    def test_always_in_transit(self, case: Case, source: Proxy, at: int) -> None:
        bad, good = case.images(data_of(MIB), b"small")
        source.plan = each("GET", f"{LIST}/{bad}/file", *[Fault("corrupt", at)] * 9)
        with case.never_wrong():
            done = case.run("livecopy", source.place, case.places[1], "--retries", 1, code=1)
        assert bad in failed(done)
        assert good not in failed(done)
        assert case.target.status(bad) == "queued"
        # When all is well again it is completed.
        case.livecopy()
        assert case.differences() == []

    def test_on_the_disk_of_the_source(self, case: Case) -> None:
        bad, good = case.images(data_of(MIB), b"small")
        file = case.source.images / bad
        data = bytearray(file.read_bytes())
        data[MIB // 2] ^= 1
        file.chmod(0o600)
        file.write_bytes(data)
        with case.never_wrong():
            done = case.livecopy("--retries", 1, code=1)
        assert bad in done.said
        assert case.target.status(bad) == "queued"
        assert replication.differences(case.source, case.target, [good]) == []

    def test_data_that_the_source_has_lost(self, case: Case) -> None:
        bad, good = case.images(data_of(MIB), b"small")
        (case.source.images / bad).unlink()
        done = case.livecopy("--retries", 1, code=1)
        assert bad in done.said
        assert replication.differences(case.source, case.target, [good]) == []


class TestNoRoom:
    def test_a_full_disk(self, tmp_path: Path) -> None:
        with Sides(room=12 * MIB) as sides:
            case = Case(sides, tmp_path)
            big = case.image(data_of(16 * MIB), name="big one")
            small = case.image(data_of(MIB), name="small one")
            with case.never_wrong():
                done = case.livecopy("--parallel", 1, code=1)
            assert big in done.said
            assert "big one" in done.said
            assert case.target.status(big) == "queued"
            assert replication.differences(case.source, case.target, [small]) == []

    @pytest.mark.parametrize(
        "settings", [{"user_storage_quota": 2 * MIB}, {"image_size_cap": 2 * MIB}]
    )
    def test_a_quota(self, tmp_path: Path, settings: dict[str, object]) -> None:
        with Sides(settings) as sides:
            case = Case(sides, tmp_path)
            big = case.image(data_of(3 * MIB), name="big one", owner="p1")
            small = case.image(data_of(MIB), name="small one", owner="p1")
            with Proxy(case.target.port) as proxy:
                done = case.run("livecopy", case.places[0], proxy.place, code=1)
                # To try again would be of no use.
                assert proxy.count("PUT", f"{LIST}/{big}/file") <= 1
            assert big in done.said
            assert "413" in done.said
            assert replication.differences(case.source, case.target, [small]) == []


class TestLists:
    def test_a_page_that_breaks_off(self, case: Case, source: Proxy) -> None:
        fill(case)
        source.plan = each("GET", LIST, Fault("cut", 10), BUSY, RESET)
        case.run("livecopy", source.place, case.places[1])
        assert case.differences() == []

    def test_a_page_that_never_comes(self, case: Case, source: Proxy, target: Proxy) -> None:
        extra = replication.image(case.target, b"x", tags=[case.tag])
        for side in (source, target):
            side.plan = each("GET", LIST, *[BUSY] * 99)
            words = (source.place, target.place, "--delete-extra", "--force", "--retries", 1)
            done = case.run("livecopy", *words, code=3)
            assert side.place in done.err
            side.plan = honest
        assert case.there(extra) is not None
