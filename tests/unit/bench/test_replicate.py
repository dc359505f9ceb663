"""Measuring the replicator: what is made of the figures, and how jobs are shared out."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from bench.alike import fill_alike
from bench.replicate import OURS, parser, several_at_once, verdicts
from bench.stats import Results
from bench.transfer import together


def results(upload: list[float], livecopy: list[float], rss: float, took: float) -> Results:
    return {
        "upload 2 x 1 MiB c=4": {OURS: [{"mbps": rate} for rate in upload]},
        "livecopy 2 x 1 MiB c=4": {OURS: [{"mbps": r, "max_rss_mib": rss} for r in livecopy]},
        "compare 10000 images": {OURS: [{"run_s": took}]},
    }


class TestVerdicts:
    def test_all_is_reached(self) -> None:
        found = verdicts(results([100, 200, 100], [80, 170, 79], 143, 14.9), 10_000)
        assert [verdict.text for verdict in found] == [
            "rate of livecopy by that of uploads: 0.80 of 0.80, 0.85, 0.79 (aim: at least 0.8)",
            "memory of the replicator: 150 MB (aim: below 150)",
            "comparison of 10000 images: 14.9 s (aim: below 15 for 10000)",
        ]
        assert all(verdict.kept for verdict in found)

    def test_nothing_is_reached(self) -> None:
        found = verdicts(results([100, 200, 100], [79, 170, 78], 144, 15.0), 10_000)
        assert [verdict.kept for verdict in found] == [False] * 3

    def test_fewer_images_prove_nothing(self) -> None:
        assert verdicts(results([1], [1], 1, 99.0), 9_999)[2].kept

    def test_what_failed_is_left_out(self) -> None:
        failed = {
            "upload 2": {OURS: [{"mbps": None, "errors": ["x"]}]},
            "livecopy 2": {OURS: [{"max_rss_mib": 1, "errors": ["x"]}]},
            "compare 2": {OURS: [{"run_s": 1, "errors": ["x"]}]},
        }
        assert verdicts(failed, 10_000) == []


class TestJobs:
    def test_each_is_done_once_and_no_more_at_a_time(self) -> None:
        lock, running, most, done = threading.Lock(), set(), [0], []
        barrier = threading.Barrier(3)

        def job(number: int) -> None:
            with lock:
                running.add(number)
                most[0] = max(most[0], len(running))
            # All three are at it, or nobody gets on.
            barrier.wait(30)
            with lock:
                running.discard(number)
                done.append(number)

        jobs = [lambda number=number: job(number) for number in range(9)]
        _, errors = together(several_at_once(jobs, 3))
        assert errors == []
        assert (sorted(done), most[0]) == (list(range(9)), 3)


class TestAlike:
    def test_the_same_images_are_in_all(self, tmp_path: Path) -> None:
        urls = []
        for name in ("one", "two"):
            command = [sys.executable, "-m", "glance.cmd.manage", "--state-dir", tmp_path / name]
            subprocess.run([*command, "db", "sync"], check=True, capture_output=True)
            urls.append(f"sqlite:///{tmp_path}/{name}/glance.sqlite")
        fill_alike(urls, 6)
        found = []
        for url in urls:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
                found.append(
                    [
                        sorted(database.execute(f"SELECT {columns} FROM {table}").fetchall())
                        for table, columns in (
                            ("images", "id, name, status, visibility, size, os_hash_value, owner"),
                            ("image_properties", "image_id, name, value"),
                            ("image_tags", "image_id, value"),
                            ("image_members", "image_id, member, status"),
                        )
                    ]
                )
        assert found[0] == found[1]
        images, properties, tags, members = found[0]
        assert (len(images), len(properties), len(tags), len(members)) == (6, 18, 12, 4)
        assert {image[2] for image in images} == {"active"}
        shared = {image[0] for image in images if image[3] == "shared"}
        assert {member[0] for member in members} == shared


def test_the_command_line() -> None:
    args = parser().parse_args([])
    assert (args.images, args.size, args.parallel, args.compared) == (200, 16, 4, 10_000)
    with pytest.raises(SystemExit):
        parser().parse_args(["--images", "many"])
