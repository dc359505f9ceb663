"""Measure a cache of images: the same readers of an image that is not cached, and of one that is.

``python -m bench cache`` starts a service of its own, with a web server as the store behind it that
counts what it is asked for, and nginx for what the machine can do. Other services can be measured
beside it.
"""

import argparse
import http.client
import mmap
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.catalogue import image_body
from bench.commands import free_port, listens, nginx_command, stop
from bench.identity import Believed
from bench.origin import Content, Origin
from bench.report import MACHINE, Report, say
from bench.stats import Figures, Results, Spec, parse_targets, turned
from bench.storm import Readers, write_image
from bench.supervised import Service, ServiceError
from bench.transfer import MIB
from bench.wire import Target, WireError

OURS = "ours"
#: What is aimed at: reads of the store by a storm; its time by that of one of a cached image; rate
#: of a cached image by that of nginx.
STORE_READS, COLD_BY_WARM, BY_NGINX = 1, 1.5, 0.7
_SEED = 1
#: Seconds until what was downloaded has to be cached.
_PATIENCE = 60.0
_SEVERAL = 4
#: A single reader is soon done, and reads it again.
_REPEATS = 4
_PATCH = b"application/openstack-images-v2.1-json-patch"


class Verdict(NamedTuple):
    """What was aimed at, what it came to, and whether that will do."""

    text: str
    kept: bool


class Place:
    """One service, and the image that it has.

    :param origin: where it fetches the image's data from; ``None`` to send it the data.
    :param file: the data.
    """

    def __init__(self, target: Target, content: Content, origin: Origin | None, file: Path) -> None:
        self.target = target
        self.name = target.name
        self._origin = origin
        self._source = f"/{self.name}"
        self.image = str(target.call("POST", "/v2/images", image_body("cached"))["id"])
        if origin is None:
            self._upload(file)
            return
        location = {
            "url": origin.put(self._source, content),
            "metadata": {},
            "validation_data": {
                "checksum": content.md5,
                "os_hash_algo": "sha512",
                "os_hash_value": content.sha512,
            },
        }
        change = [{"op": "add", "path": "/locations/-", "value": location}]
        target.call("PATCH", f"/v2/images/{self.image}", change, kind=_PATCH)

    def _upload(self, file: Path) -> None:
        connection = http.client.HTTPConnection(self.target.host, self.target.port, timeout=600)
        headers = {"Content-Type": "application/octet-stream"}
        for line in self.target.identity.headers.decode().splitlines():
            name, _, value = line.partition(": ")
            headers[name] = value
        with open(file, "rb") as data:
            connection.request("PUT", self.path, data, headers)
            answer = connection.getresponse()
            if answer.status != 204:
                raise WireError(f"{self.name}: PUT: {answer.status} {answer.read()[:200]!r}")
        connection.close()

    @property
    def path(self) -> str:
        return f"/v2/images/{self.image}/file"

    @property
    def store_reads(self) -> int | None:
        """How often its data has been fetched so far; ``None`` if nobody counts."""
        if self._origin is None:
            return None
        return sum(asked.name == self._source for asked in self._origin.asked)

    def is_cached(self) -> bool:
        """Tell whether it has a copy."""
        entries = self.target.call("GET", "/v2/cache")["cached_images"]
        return any(entry["image_id"] == self.image for entry in entries)

    def forget(self) -> None:
        """Have the copy removed."""
        self.target.call("DELETE", f"/v2/cache/{self.image}")
        if self.is_cached():
            raise WireError(f"{self.name}: the copy was to be removed, and is there")

    def await_copy(self) -> bool:
        """Wait until there is a copy; tell whether it came to it."""
        deadline = time.monotonic() + _PATIENCE
        while not self.is_cached():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def remove(self) -> None:
        """Delete the image."""
        self.target.call("DELETE", f"/v2/images/{self.image}", expect=(204, 404))


class _Cells:
    """What is measured of one place or another, round by round."""

    def __init__(self, report: Report, crowd: Readers, args: argparse.Namespace) -> None:
        self._report = report
        self._crowd = crowd
        self._size = args.size * MIB
        self.readers: int = args.readers
        self.few = sorted({1, min(_SEVERAL, self.readers)} - {self.readers})

    def of_place(self, place: Place) -> None:
        """Measure a service: first without the copy, then with it."""
        place.forget()
        before = place.store_reads
        figures = self._read(place.target, place.path, self.readers)
        if before is not None:
            figures["store_reads"] = (place.store_reads or 0) - before
        if not place.await_copy():
            figures["errors"] = [*figures["errors"], "the image was not cached"]
        self._report.record(f"not cached c={self.readers}", place.name, figures)
        for count in (self.readers, *self.few):
            before = place.store_reads
            figures = self._read(place.target, place.path, count)
            if before is not None:
                figures["store_reads"] = (place.store_reads or 0) - before
            self._report.record(f"cached c={count}", place.name, figures, f"nginx c={count}")

    def of_nginx(self, target: Target, path: str) -> None:
        """Measure how fast the same file is sent by nginx."""
        for count in (self.readers, *self.few):
            figures = self._read(target, path, count)
            self._report.record(f"nginx c={count}", MACHINE, figures)

    def _read(self, target: Target, path: str, count: int) -> Figures:
        repeats = _REPEATS if count in self.few else 1
        return self._crowd.read(target, path, _SEED, self._size, count, repeats)


@contextmanager
def _nginx(report: Report, files: Path, workers: int) -> Iterator[Target | None]:
    """Have nginx serve a directory, if there is one."""
    if not shutil.which("nginx"):
        report.note("nginx is not on PATH: what it can do was left out")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as folder:
        port = free_port()
        command = nginx_command(Path(folder), files, port, workers)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            if listens(process, port):
                yield Target(Spec("nginx", "127.0.0.1", port), Believed())
            else:
                report.note("nginx did not start: what it can do was left out")
                yield None
        finally:
            stop(process)


def options_of(args: argparse.Namespace, cache: Path, port: int) -> dict[str, object]:
    """Return the configuration of a service with a cache, by names of environment variables.

    :param cache: ``image_cache_dir``.
    :param port: of the web server that it may fetch from.
    """
    options: dict[str, object] = {
        "OS_DEFAULT__IMAGE_CACHE_DIR": cache,
        "OS_DEFAULT__IMAGE_CACHE_DRIVER": args.driver,
        "OS_DEFAULT__ENABLED_BACKENDS": "here:file,web:http",
        "OS_DEFAULT__SHOW_MULTIPLE_LOCATIONS": "true",
        "OS_GLANCE_STORE__DEFAULT_BACKEND": "here",
        "OS_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS": "[127.0.0.1]",
        "OS_IMPORT_FILTERING_OPTS__ALLOWED_PORTS": f"[{port}]",
    }
    if args.driver == "centralized_db":
        options["OS_DEFAULT__WORKER_SELF_REFERENCE_URL"] = "http://127.0.0.1:9292"
    return options


def run(args: argparse.Namespace, work: Path) -> Report:
    """Measure, with everything in a directory."""
    specs = parse_targets(args.targets)
    report = Report([OURS, *(spec.name for spec in specs)])
    file, cache = work / "image", work / "cache"
    write_image(file, _SEED, args.size * MIB)
    with ExitStack() as stack:
        data = stack.enter_context(open(file, "rb"))
        view = memoryview(mmap.mmap(data.fileno(), 0, prot=mmap.PROT_READ))
        content = Content.of(view)
        origin = stack.enter_context(Origin(port=args.source_port))
        options = options_of(args, cache, origin.port)
        options["OS_DEFAULT__IMAGE_CACHE_MAX_SIZE"] = 2 * args.size * MIB
        service = stack.enter_context(Service(args.workers, options=options, folder=work))
        specs.insert(0, Spec(OURS, "127.0.0.1", service.port))
        source = origin if args.store == "http" else None
        places = [Place(Target(spec, Believed()), content, source, file) for spec in specs]
        for place in places:
            stack.callback(place.remove)
        nginx = stack.enter_context(_nginx(report, cache, max(1, args.workers)))
        cells = _Cells(report, stack.enter_context(Readers()), args)
        for turn in range(args.rounds):
            everything: list[Place | Target] = [*places, *([nginx] if nginx else [])]
            for what in turned(everything, turn):
                if isinstance(what, Place):
                    cells.of_place(what)
                elif places[0].await_copy():
                    # The same file: the copy that our service has.
                    cells.of_nginx(what, f"/{places[0].image}")
    return report


def verdicts(results: Results, limits: Results, readers: int) -> list[Verdict]:
    """Say whether our service keeps to what is aimed at."""
    cold = results.get(f"not cached c={readers}", {}).get(OURS, ())
    out = []
    counts = [run["store_reads"] for run in cold if "store_reads" in run]
    if counts:
        told = ", ".join(map(str, counts))
        right = all(count == STORE_READS for count in counts)
        out.append(Verdict(f"reads of the store by {readers} readers: {told} (aim: 1)", right))
    warm = [
        run.get("store_reads", 0)
        for case, by_name in results.items()
        if case.startswith("cached")
        for run in by_name.get(OURS, ())
    ]
    if counts and any(warm):
        out.append(Verdict(f"reads of the store for cached images: {sum(warm)} (aim: 0)", False))
    slow, fast = (
        _median(results.get(f"{case} c={readers}", {}).get(OURS, ()), "run_s")
        for case in ("not cached", "cached")
    )
    if slow and fast:
        ratio = slow / fast
        out.append(
            Verdict(
                f"time of {readers} readers, not cached by cached: {ratio:.2f} "
                f"(aim: at most {COLD_BY_WARM})",
                ratio <= COLD_BY_WARM,
            )
        )
    for case, by_name in results.items():
        if case.startswith("cached"):
            bound = case.replace("cached", "nginx")
            mine = _median(by_name.get(OURS, ()), "mbps")
            best = _median(limits.get(bound, {}).get(MACHINE, ()), "mbps")
            if mine and best:
                out.append(
                    Verdict(
                        f"rate {case}, by nginx: {mine / best:.2f} (aim: at least {BY_NGINX})",
                        mine / best >= BY_NGINX,
                    )
                )
    return out


def _median(runs: Sequence[Figures], key: str) -> float | None:
    values = [run[key] for run in runs if run.get(key)]
    return statistics.median(values) if values else None


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m bench cache``."""
    out = argparse.ArgumentParser(prog="python -m bench cache", description=__doc__)
    add = out.add_argument
    add(
        "targets",
        nargs="*",
        metavar="NAME=http://127.0.0.1:PORT",
        help="services to measure beside it: with their caches on, locations shown, and allowed to "
        "fetch from --source-port",
    )
    add("--size", type=int, default=256, metavar="MIB", help="of the image (%(default)s)")
    add("--readers", type=int, default=64, metavar="N", help="at the same time (%(default)s)")
    add("--rounds", type=int, default=3, metavar="N", help="(%(default)s)")
    add("--workers", type=int, default=2, help="of our service (%(default)s)")
    add(
        "--driver",
        default="sqlite",
        choices=("sqlite", "xattr", "centralized_db"),
        help="image_cache_driver of our service (%(default)s)",
    )
    add(
        "--store",
        default="http",
        choices=("http", "file"),
        help="where images are that are not cached; reads of a file store are not counted "
        "(%(default)s)",
    )
    add("--source-port", type=int, default=0, metavar="PORT", help="of the store; any by default")
    add("--work", metavar="DIR", help="where to keep files meanwhile")
    add("--json", type=Path, metavar="FILE", help="write every round there")
    return out


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return the exit status: 3 when aims are missed."""
    cases = parser()
    args = cases.parse_args(argv)
    if min(args.size, args.readers, args.rounds) < 1:
        cases.error("--size, --readers and --rounds are numbers from 1 on")
    with tempfile.TemporaryDirectory(prefix="bench-cache-", dir=args.work) as work:
        try:
            report = run(args, Path(work))
        except (ServiceError, WireError, ValueError) as e:
            print(f"bench: {e}", file=sys.stderr)
            return 2
    print(report.tables())
    found = verdicts(report.results, report.limits, args.readers)
    for verdict in found:
        print(("  " if verdict.kept else "! ") + verdict.text)
    if args.json:
        told = ("size", "readers", "workers", "driver", "store", "rounds")
        report.write(args.json, {key: getattr(args, key) for key in told})
        say(f"written to {args.json}")
    return 3 if report.failed or not all(verdict.kept for verdict in found) else 0
