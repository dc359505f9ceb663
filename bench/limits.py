"""What this machine can do at all: the bounds that any image service on it lives under.

Measured between the rounds of the targets, by the same load, so that a share can be told.
"""

import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from bench.commands import free_port, listens, nginx_command, stop
from bench.data import CONNECTIONS, RANGES, Sizes, size_label, small_ranges
from bench.identity import Believed
from bench.load import drive
from bench.report import MACHINE, Report
from bench.stats import Figures, Spec, turned
from bench.transfer import GIB, MIB, fetch, send, timed, together
from bench.wire import Target, WireError

_HASHED = 512 * MIB
_SITES = ("bare twisted.web", "discarding", "hashing", "Klein")


class Limits:
    """The servers of the limits, running for as long as the context lasts."""

    def __init__(self, report: Report, sizes: Sizes, python: str) -> None:
        self.report, self.sizes, self.python = report, sizes, python
        self.folder = sizes.large.path.parent
        self._started: list[subprocess.Popen[bytes]] = []
        self._targets: dict[str, Target] = {}

    def __enter__(self) -> "Limits":
        self._scratch = tempfile.TemporaryDirectory(prefix="limits-", dir=self.folder)
        try:
            self._start_nginx()
            self._start_twisted()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._started:
            stop(process)
        self._scratch.cleanup()

    def _start(self, command: Sequence[str], port: int) -> subprocess.Popen[bytes] | None:
        """Start a server and wait until it listens; ``None`` when it ended instead."""
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        self._started.append(process)
        return process if listens(process, port) else None

    def _start_nginx(self) -> None:
        if not shutil.which("nginx"):
            self.report.note("nginx is not on PATH: its limits were left out")
            return
        port = free_port()
        command = nginx_command(Path(self._scratch.name), self.folder.absolute(), port)
        if self._start(command, port):
            self._targets["nginx"] = Target(Spec("nginx", "127.0.0.1", port), Believed())
        else:
            self.report.note("nginx did not start: its limits were left out")

    def _start_twisted(self) -> None:
        port, script = free_port(), Path(__file__).with_name("limit_servers.py")
        command = [self.python, str(script), str(port), str(self.folder), self._scratch.name]
        if not self._start(command, port):
            self.report.note(f"{self.python} has no Twisted and Klein (--python): left out")
            return
        for offset, name in enumerate(_SITES):
            self._targets[name] = Target(Spec(name, "127.0.0.1", port + offset), Believed())

    def metadata(self, turn: int, concurrencies: Sequence[int], seconds: float) -> None:
        """Measure one round of the least a server does for a JSON answer."""
        for concurrency in concurrencies:
            for name in turned(("nginx", "bare twisted.web", "Klein"), turn):
                if (target := self._targets.get(name)) is not None:
                    requests = itertools.repeat((target.request("GET", "/tiny"), None))
                    figures, _ = drive(target, requests, concurrency, seconds)
                    self.report.record(f"{name}, tiny JSON c={concurrency}", MACHINE, figures)

    def data(self, turn: int) -> None:
        """Measure one round of hashing, writing, sending and taking in."""
        self._hashes()
        self._write()
        label, source = size_label(self.sizes.large), self.sizes.large
        for count in CONNECTIONS:
            self._transfer(
                "nginx",
                f"nginx sendfile {label} c={count}",
                count,
                lambda t: fetch(t, f"/{source.path.name}", source),
            )
            self._ranges(count)
            self._transfer(
                "bare twisted.web",
                f"bare twisted.web, static {label} c={count}",
                count,
                lambda t: fetch(t, f"/files/{source.path.name}", source),
            )
        self._transfer(
            "discarding",
            f"bare twisted.web, PUT {label} discarded",
            1,
            lambda t: send(t, "/sink", source),
        )
        self._rest()
        self._transfer(
            "hashing",
            f"bare twisted.web, PUT {label} hashed and written",
            1,
            lambda t: send(t, "/sink", source),
        )

    def _transfer(self, name: str, case: str, count: int, job: Callable[[Target], None]) -> None:
        if (target := self._targets.get(name)) is not None:
            jobs = [partial(job, target)] * count
            self._record(case, timed(target, jobs, count * self.sizes.large.size))

    def _ranges(self, count: int) -> None:
        if (target := self._targets.get("nginx")) is not None:
            path = f"/{self.sizes.large.path.name}"
            figures = small_ranges(self.sizes.large, count, target, path)
            self._record(f"nginx {RANGES} x 1 MiB c={count}", figures)

    def _record(self, case: str, figures: Figures) -> None:
        told = {key: value for key, value in figures.items() if not key.startswith("peak")}
        self.report.record(case, MACHINE, told)

    def _rest(self) -> None:
        os.sync()
        time.sleep(self.sizes.settle)

    def _hashes(self) -> None:
        alone = [self._hash([name]) for name in ("md5", "sha512")]
        for name, figures in zip(("md5", "sha512"), alone, strict=True):
            self._record(f"{name} alone", figures)
        self._record("slowest hash alone", min(alone, key=lambda figures: figures["mbps"]))
        self._record("md5 + sha512 in two threads", self._hash(["md5", "sha512"]))

    def _hash(self, names: Sequence[str]) -> Figures:
        view = self.sizes.large.view
        passes = max(1, _HASHED // len(view))

        def job(name: str) -> None:
            running = hashlib.new(name, usedforsecurity=False)
            for _ in range(passes):
                for at in range(0, min(len(view), _HASHED), MIB):
                    running.update(view[at : at + MIB])

        total = passes * min(len(view), _HASHED)
        cpu = time.process_time()
        wall, errors = together([partial(job, name) for name in names])
        cpu = time.process_time() - cpu
        if errors:
            raise WireError(errors[0])
        return {"mbps": total / wall / 1e6, "cpu_s_per_gib": cpu / (total / GIB)}

    def _write(self) -> None:
        """Write the source to a plain file, after a rest: what an upload meets."""
        source = self.sizes.large
        self._rest()
        with tempfile.TemporaryFile(dir=self._scratch.name, buffering=0) as f:
            cpu, began = time.process_time(), time.perf_counter()
            for at in range(0, source.size, MIB):
                f.write(source.view[at : at + MIB])
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        self._record(
            "plain file write, rested",
            {
                "mbps": source.size / wall / 1e6,
                "cpu_s_per_gib": cpu / (source.size / GIB),
            },
        )
