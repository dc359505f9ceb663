"""Measuring a cache: readers who notice every wrong byte, and what is made of their figures."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict

import pytest

from bench import cache, storm
from bench.cache import OURS, verdicts
from bench.origin import (
    CORRUPT,
    KINDS,
    OTHER_LENGTH,
    REFUSED,
    RESET,
    STALLED,
    TRUNCATED,
    Content,
    Fault,
    Origin,
    mark,
    seeded,
)
from bench.report import MACHINE
from bench.stats import Results
from bench.storm import PERIOD, Job, Outcome, pattern

SIZE = 3 * PERIOD + 7


def image_of(size: int) -> bytes:
    once = pattern(1)[:PERIOD]
    return (once * (size // PERIOD + 1))[:size]


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def read(origin: Origin, data: bytes, readers: int = 3, repeats: int = 1) -> Outcome:
    """Have what stands there read as an image of SIZE bytes."""
    origin.put("/image", Content.of(memoryview(data)))
    head = "GET /image HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    job = Job("127.0.0.1", origin.port, head, 1, SIZE, readers, 0.0, repeats)
    # As it comes to the process that does it.
    return storm._Storm(Job(**json.loads(json.dumps(asdict(job))))).run()


class TestReaders:
    def test_all_is_right(self, origin: Origin) -> None:
        outcome = read(origin, image_of(SIZE), repeats=2)
        assert outcome.errors == []
        assert outcome.moved == 6 * SIZE
        assert outcome.ended >= outcome.first > 0
        assert len(origin.asked) == 6

    @pytest.mark.parametrize("at", [0, 1, PERIOD - 1, PERIOD, SIZE - 1])
    def test_one_wrong_byte(self, origin: Origin, at: int) -> None:
        data = bytearray(image_of(SIZE))
        data[at] ^= 1
        outcome = read(origin, bytes(data))
        assert [error[:28] for error in outcome.errors] == ["ValueError: the bytes differ"] * 3

    def test_bytes_in_other_places(self, origin: Origin) -> None:
        data = image_of(SIZE)
        assert len(read(origin, data[64:] + data[:64]).errors) == 3

    def test_too_few(self, origin: Origin) -> None:
        outcome = read(origin, image_of(SIZE - 1))
        assert [error[:36] for error in outcome.errors] == [
            "ValueError: closed before the end (a"
        ] * 3

    def test_too_many(self, origin: Origin) -> None:
        assert len(read(origin, image_of(SIZE + 1)).errors) == 3

    def test_refused(self, origin: Origin) -> None:
        origin.plan = lambda name, count: Fault(REFUSED, 0, 0)
        assert "HTTP/1.1 503" in read(origin, image_of(SIZE)).errors[0]


class TestOrigin:
    """What it is asked is counted, and each of its failures is one."""

    DATA = bytes(range(256)) * 400

    def get(self, origin: Origin, **headers: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", origin.port, timeout=30)) as client:
            client.request("GET", "/image", headers=headers)
            answer = client.getresponse()
            return answer.status, answer.read()

    def put(self, origin: Origin, kind: str | None = None, share: float = 0.5) -> None:
        origin.put("/image", Content.of(memoryview(self.DATA)))
        if kind is not None:
            origin.plan = lambda name, count: Fault(kind, share, 0)

    def test_whole_and_part(self, origin: Origin) -> None:
        self.put(origin)
        assert self.get(origin) == (200, self.DATA)
        assert self.get(origin, Range="bytes=1000-") == (206, self.DATA[1000:])
        assert self.get(origin, Range="bytes=1000-1009") == (206, self.DATA[1000:1010])
        assert [(asked.number, asked.part) for asked in origin.asked] == [
            (1, False), (2, True), (3, True),
        ]  # fmt: skip

    @pytest.mark.parametrize("headers", [{}, {"Range": "bytes=1000-"}])
    def test_corrupt(self, origin: Origin, headers: dict[str, str]) -> None:
        self.put(origin, CORRUPT)
        _, got = self.get(origin, **headers)
        spoilt = origin.asked[0].spoilt
        assert spoilt is not None
        at, wrong = spoilt
        assert wrong == mark(1)
        expected = self.DATA[:at] + wrong + self.DATA[at + len(wrong) :]
        assert got == expected[1000 if headers else 0 :]
        assert got != self.DATA[1000 if headers else 0 :]

    def test_corrupt_at_the_end(self, origin: Origin) -> None:
        self.put(origin, CORRUPT, 0.99999)
        _, got = self.get(origin)
        assert len(got) == len(self.DATA)
        assert got != self.DATA

    @pytest.mark.parametrize("kind", [TRUNCATED, RESET])
    def test_broken_off(self, origin: Origin, kind: str) -> None:
        self.put(origin, kind)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            self.get(origin)

    def test_other_length(self, origin: Origin) -> None:
        self.put(origin, OTHER_LENGTH)
        assert self.get(origin) == (200, self.DATA + b"!")

    def test_refused_and_stalled(self, origin: Origin) -> None:
        self.put(origin, REFUSED)
        assert self.get(origin)[0] == 503
        self.put(origin, STALLED)
        assert self.get(origin) == (200, self.DATA)

    def test_many_at_once_are_all_counted(self, origin: Origin) -> None:
        self.put(origin)
        threads = [threading.Thread(target=self.get, args=(origin,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [asked.number for asked in origin.asked] == list(range(1, 21))

    def test_same_seed_same_failures(self) -> None:
        plans = [seeded(seed, 0.3) for seed in (1, 1, 2)]
        first, again, other = ([plan("/a", n) for n in range(300)] for plan in plans)
        assert first == again != other
        assert {fault.kind for fault in first if fault} == set(KINDS)
        assert 50 < len([fault for fault in first if fault]) < 130


def measured(cold: list[float], warm: list[float], reads: list[int]) -> Results:
    return {
        "not cached c=8": {
            OURS: [{"run_s": s, "store_reads": n} for s, n in zip(cold, reads, strict=True)],
            "other": [{"run_s": 99.0, "store_reads": 8}],
        },
        "cached c=8": {OURS: [{"run_s": s, "mbps": 800 / s, "store_reads": 0} for s in warm]},
    }


def limits(rate: float) -> Results:
    return {"nginx c=8": {MACHINE: [{"mbps": rate}]}}


class TestVerdicts:
    def test_all_kept(self) -> None:
        found = verdicts(measured([3, 1.4, 1.4], [1, 1, 2], [1, 1, 1]), limits(1000), 8)
        assert [verdict.kept for verdict in found] == [True] * 3
        assert found[1].text.endswith("1.40 (aim: at most 1.5)")
        assert found[2].text.endswith("0.80 (aim: at least 0.7)")

    @pytest.mark.parametrize(
        ("results", "rate", "kept"),
        [
            (measured([1, 1], [1, 1], [1, 2]), 1000, [False, True, True]),
            (measured([1, 1], [1, 1], [1, 0]), 1000, [False, True, True]),
            (measured([1.6, 1.6], [1, 1], [1, 1]), 1000, [True, False, True]),
            (measured([1, 1], [1, 1], [1, 1]), 1200, [True, True, False]),
        ],
    )
    def test_missed(self, results: Results, rate: float, kept: list[bool]) -> None:
        assert [verdict.kept for verdict in verdicts(results, limits(rate), 8)] == kept

    def test_cached_ones_read_from_the_store(self) -> None:
        results = measured([1], [1], [1])
        results["cached c=8"][OURS][0]["store_reads"] = 1
        assert [verdict.kept for verdict in verdicts(results, limits(1), 8)][1] is False

    def test_nothing_measured(self) -> None:
        assert verdicts({}, {}, 8) == []
        # Failed rounds, and a store that nobody counts for.
        results: Results = {
            "not cached c=8": {OURS: [{"run_s": None, "errors": ["x"]}]},
            "cached c=8": {OURS: [{"run_s": 1.0, "mbps": None}]},
        }
        assert verdicts(results, limits(1), 8) == []


def test_outcomes_are_summed_up() -> None:
    class Peak:
        pss = 7.0

    outcomes = [Outcome(12.0, 10.5, 1.0, 600), Outcome(11.0, 10.8, 2.0, 400)]
    figures = storm.figures(outcomes, 10.0, 1000, 4.0, Peak())  # type: ignore[arg-type]
    assert figures["run_s"] == 2.0
    assert figures["first_s"] == pytest.approx(0.8)
    assert figures["errors"] == []
    outcomes[0].moved = 599
    figures = storm.figures(outcomes, 10.0, 1000, 4.0, Peak())  # type: ignore[arg-type]
    assert figures["run_s"] is None
    assert figures["errors"] == ["999 of 1000 bytes"]


@pytest.mark.parametrize("argv", [["--size", "0"], ["--readers", "0"], ["--driver", "none"]])
def test_senseless_options_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cache.main(argv)
    assert ended.value.code == 2


def test_targets_of_other_machines_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cache.main(["x=http://192.0.2.1:80", "--size", "1"]) == 2
    assert "only loopback" in capsys.readouterr().err
