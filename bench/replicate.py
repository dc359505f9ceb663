"""Measure the replicator: how fast it copies, beside how fast its target takes uploads at all.

``python -m bench replicate`` starts the services of each round itself. The target is a new one in
each, since what was deleted can never be copied there again; into it go as many uploads and as many
copies, of the same size and as many at once, in turned order. Then two catalogues that are alike
are compared.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.alike import fill_alike
from bench.catalogue import walk
from bench.data import file_path, new_image
from bench.fill import FillError
from bench.identity import Believed
from bench.report import Report, say
from bench.stats import Figures, Results, Spec, turned
from bench.supervised import ROOT, Service, ServiceError
from bench.transfer import GIB, MIB, Job, Source, send, together
from bench.wire import Target, WireError

OURS = "ours"
#: What is aimed at: the rate of copying by that of uploads; the replicator's memory in bytes;
#: seconds for a comparison, which is of this many images.
BY_UPLOAD, MEMORY, COMPARED, IMAGES = 0.8, 150e6, 15.0, 10_000


class Verdict(NamedTuple):
    """What was aimed at, what it came to, and whether that will do."""

    text: str
    kept: bool


class Program:
    """A run of ``glance-replicator`` to its end.

    :param words: its command line.
    :ivar figures: what it took.
    """

    def __init__(self, *words: str, folder: Path) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "XDG_"))}
        env |= {"HOME": str(folder), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "glance.cmd.replicator", *words]
        self._peak = 0
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=out, stderr=errors, env=env, cwd=folder)
            stop = threading.Event()
            watcher = threading.Thread(target=self._watch, args=(process.pid, stop), daemon=True)
            watcher.start()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            stop.set()
            watcher.join()
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            self.out = out.read().decode()
            errors.seek(0)
            self.said = errors.read().decode()
        self.cpu = used.ru_utime + used.ru_stime
        self.figures: Figures = {"run_s": wall, "max_rss_mib": self._peak / MIB}
        if process.returncode:
            self.figures["errors"] = [f"exit {process.returncode}: {self.said[-160:]}"]

    def _watch(self, pid: int, stop: threading.Event) -> None:
        # What wait4 tells begins with the memory of whoever started the program.
        while not stop.wait(0.05):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self._peak = max(self._peak, int(line.split()[1]) * 1024)


def several_at_once(jobs: Sequence[Job], count: int) -> list[Job]:
    """Return so many jobs that do all of some, each taking the next one when it is free."""
    left: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        left.put(job)

    def worker() -> None:
        while True:
            try:
                job = left.get_nowait()
            except queue.Empty:
                return
            job()

    return [worker] * count


class Copying:
    """Uploads and copies of the same size into the same service.

    :param args: the command line.
    :param report: where figures go.
    :param origin: where images are copied from, with the images.
    """

    def __init__(
        self, args: argparse.Namespace, report: Report, work: Path, data: Source, origin: Target
    ) -> None:
        self._args = args
        self._report = report
        self._work = work
        self._data = data
        self._origin = origin
        self._total = args.images * data.size
        self.cells = {"upload": self.upload, "livecopy": self.livecopy}

    def case(self, name: str) -> str:
        """Return the name of a cell as it stands in the report."""
        return f"{name} {self._args.images} x {self._args.size} MiB c={self._args.parallel}"

    def fill(self) -> None:
        """Put the images into the origin."""
        say(f"{self._args.images} images of {self._args.size} MiB for the source")
        self._check(self._send(self._origin))

    def warm(self) -> None:
        """Read all that is to be copied, so that no disk is measured."""
        for image in _ids(self._origin):
            with self._origin.stream() as sock:
                sock.sendall(self._origin.head("GET", file_path(image), b"Connection: close\r\n"))
                while sock.recv(MIB):
                    pass

    def upload(self, target: Target) -> None:
        """Measure what the target takes from a client that only sends."""
        self._report.record(self.case("upload"), OURS, self._send(target))

    def _send(self, target: Target) -> Figures:
        images = [new_image(target, f"upload-{n}") for n in range(self._args.images)]
        jobs = [partial(send, target, file_path(image), self._data) for image in images]
        os.sync()
        cpu, mine = target.cpu()[0], time.process_time()
        wall, errors = together(several_at_once(jobs, self._args.parallel))
        gib = self._total / GIB
        return {
            "mbps": None if errors else self._total / wall / 1e6,
            "run_s": wall,
            "client_cpu_s_per_gib": (time.process_time() - mine) / gib,
            "cpu_s_per_gib": (target.cpu()[0] - cpu) / gib,
            "errors": errors,
        }

    def livecopy(self, target: Target) -> None:
        """Measure what the replicator gets there, its start and its questions included."""
        os.sync()
        before = self._origin.cpu()[0], target.cpu()[0]
        words = [_place(self._origin), _place(target), "--parallel", str(self._args.parallel)]
        program = Program("livecopy", *words, folder=self._work)
        gib = self._total / GIB
        figures = program.figures | {
            "cpu_s_per_gib": (target.cpu()[0] - before[1]) / gib,
            "source_cpu_s_per_gib": (self._origin.cpu()[0] - before[0]) / gib,
            "client_cpu_s_per_gib": program.cpu / gib,
        }
        if wrong := self._wrong(target):
            figures["errors"] = [*figures.get("errors", ()), wrong]
        if "errors" not in figures:
            figures["mbps"] = self._total / figures["run_s"] / 1e6
        self._report.record(self.case("livecopy"), OURS, figures)

    def _wrong(self, target: Target) -> str | None:
        """Say what is not as it should be of the copies."""
        there = {one["id"]: one for page in walk(target) for one in page}
        want = ("active", self._data.size, self._data.sha512)
        for image in _ids(self._origin):
            one = there.get(image, {})
            have = one.get("status"), one.get("size"), one.get("os_hash_value")
            if have != want:
                return f"{image} is {have[:2]} there"
        return None

    @staticmethod
    def _check(figures: Figures) -> None:
        if figures["errors"]:
            raise WireError(figures["errors"][0])


def _ids(target: Target) -> list[str]:
    return [one["id"] for page in walk(target) for one in page]


def _place(target: Target) -> str:
    return f"{target.host}:{target.port}"


@contextmanager
def _service(args: argparse.Namespace, work: Path, name: str) -> Iterator[tuple[Service, Target]]:
    with Service(args.workers, folder=work) as service:
        yield service, Target(Spec(name, "127.0.0.1", service.port), Believed())


def copy(args: argparse.Namespace, work: Path, report: Report) -> None:
    """Measure copying, round by round."""
    data = Source(work, args.size * MIB)
    with _service(args, work, "source") as (_, origin):
        copying = Copying(args, report, work, data, origin)
        copying.fill()
        for turn in range(args.rounds):
            with _service(args, work, "target") as (_, target):
                copying.warm()
                for name in turned(list(copying.cells), turn):
                    copying.cells[name](target)


def compare(args: argparse.Namespace, work: Path, report: Report) -> None:
    """Measure comparing."""
    with (
        _service(args, work, "source") as (one, source),
        _service(args, work, "target") as (
            other,
            target,
        ),
    ):
        say(f"{args.compared} images in each of two catalogues")
        fill_alike([f"sqlite:///{s.home}/state/glance.sqlite" for s in (one, other)], args.compared)
        for _ in range(args.rounds):
            before = source.cpu()[0] + target.cpu()[0]
            program = Program("compare", _place(source), _place(target), "--json", folder=work)
            figures = program.figures | {"cpu_s": program.cpu}
            figures["services_cpu_s"] = source.cpu()[0] + target.cpu()[0] - before
            if not figures.get("errors") and _same(program.out) != args.compared:
                figures["errors"] = [f"not all were found to be the same: {program.out[:160]}"]
            report.record(f"compare {args.compared} images", OURS, figures)


def _same(out: str) -> int:
    """Return how many images a comparison found to be the same."""
    return int(json.loads(out)["same"])


def verdicts(results: Results, compared: int) -> list[Verdict]:
    """Say whether what is aimed at was reached."""
    by_case = {case.split()[0]: rounds.get(OURS, ()) for case, rounds in results.items()}
    out = []
    # Of neighbours in time: a machine that others use is slower at one time than at another.
    pairs = zip(by_case.get("livecopy", ()), by_case.get("upload", ()), strict=False)
    ratios = [c["mbps"] / u["mbps"] for c, u in pairs if c.get("mbps") and u.get("mbps")]
    if ratios:
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        text = f"rate of livecopy by that of uploads: {median(ratios):.2f} of {told}"
        out.append(Verdict(f"{text} (aim: at least {BY_UPLOAD})", median(ratios) >= BY_UPLOAD))
    peaks = [run["max_rss_mib"] * MIB for run in by_case.get("livecopy", ()) if run.get("mbps")]
    if peaks:
        text = f"memory of the replicator: {max(peaks) / 1e6:.0f} MB"
        out.append(Verdict(f"{text} (aim: below {MEMORY / 1e6:.0f})", max(peaks) < MEMORY))
    took = [run["run_s"] for run in by_case.get("compare", ()) if not run.get("errors")]
    if took:
        text = f"comparison of {compared} images: {median(took):.1f} s"
        fits = compared < IMAGES or median(took) < COMPARED
        out.append(Verdict(f"{text} (aim: below {COMPARED:g} for {IMAGES})", fits))
    return out


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m bench replicate``."""
    out = argparse.ArgumentParser(prog="python -m bench replicate", description=__doc__)
    add = out.add_argument
    add("--images", type=int, default=200, metavar="N", help="to be copied (%(default)s)")
    add("--size", type=int, default=16, metavar="MIB", help="of each (%(default)s)")
    add("--parallel", type=int, default=4, metavar="N", help="at once (%(default)s)")
    add("--rounds", type=int, default=3, metavar="N", help="(%(default)s)")
    add("--workers", type=int, default=0, help="of each service (%(default)s)")
    add(
        "--compared",
        type=int,
        default=IMAGES,
        metavar="N",
        help="images in each catalogue that is compared (%(default)s)",
    )
    add("--only", choices=("copy", "compare"), help="measure this alone")
    add("--work", metavar="DIR", help="where to keep files meanwhile")
    add("--json", type=Path, metavar="FILE", help="write every round there")
    return out


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return the exit status: 3 when aims are missed."""
    cases = parser()
    args = cases.parse_args(argv)
    if min(args.images, args.size, args.parallel, args.rounds, args.compared) < 1:
        cases.error("all numbers are from 1 on")
    report = Report([OURS])
    with tempfile.TemporaryDirectory(prefix="bench-replicate-", dir=args.work) as folder:
        try:
            for name, measure in (("copy", copy), ("compare", compare)):
                if args.only in (None, name):
                    measure(args, Path(folder), report)
        except (ServiceError, WireError, FillError) as e:
            print(f"bench: {e}", file=sys.stderr)
            return 2
    print(report.tables())
    found = verdicts(report.results, args.compared)
    for verdict in found:
        print(("  " if verdict.kept else "! ") + verdict.text)
    if args.json:
        told = ("images", "size", "parallel", "rounds", "workers", "compared")
        report.write(args.json, {key: getattr(args, key) for key in told})
        say(f"written to {args.json}")
    return 3 if report.failed or not all(verdict.kept for verdict in found) else 0
