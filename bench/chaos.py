"""Shake a cache of images: random operations, killed processes, a store that fails at times.

``python -m bench cache-chaos`` starts a service of its own with a small cache, a daemon beside it
that looks after the same directory, a web server as its store that fails now and then, and a
process that watches the directory's size. The first thing that is not right ends it.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import chaos_end
from bench.cache import options_of
from bench.chaos_clients import Client
from bench.chaos_plan import LIMIT, SLOTS, Operation, counted, plan
from bench.chaos_processes import Processes
from bench.chaos_world import World
from bench.identity import Believed
from bench.origin import Origin, seeded
from bench.stats import Spec
from bench.supervised import ROOT, Service, ServiceError
from bench.watch import is_held
from bench.wire import Target, WireError
from glance.cache.layout import CacheDirectory

#: Seconds after which parts that nobody works on go.
_STALL_TIME = 2
#: Share of the store's answers that go wrong.
_BAD_ANSWERS = 0.08
_OPTIONS = {
    "OS_DEFAULT__IMAGE_CACHE_STALL_TIME": _STALL_TIME,
    "OS_DEFAULT__CACHE_PREFETCHER_INTERVAL": 2,
    "OS_DEFAULT__CACHE_CLEANER_INTERVAL": 2,
    "OS_DEFAULT__CACHE_PRUNER_INTERVAL": 1,
    "OS_DEFAULT__VERBOSE": "true",
}
_UNFORESEEN = ("Traceback", "Unhandled", " CRITICAL ")


class Watcher:
    """The process that watches the directory, and what it says."""

    def __init__(self, directory: Path, world: World) -> None:
        self._world = world
        self.seen: dict[str, int] = {}
        command = [sys.executable, "-m", "bench.watch", str(directory), str(LIMIT)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        # It watches from now on.
        self._process.stdout.readline()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if "fault" in said:
                self._world.fault(0, f"the directory: {said}")
            else:
                self.seen = said

    def stop(self) -> None:
        """Have it say what it saw."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._thread.join(30)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class _Shared:
    """Operations, which any number of threads take from."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = iter(operations)
        self._lock = threading.Lock()
        self.last = 0

    def __iter__(self) -> Iterator[Operation]:
        return self

    def __next__(self) -> Operation:
        with self._lock:
            operation = next(self._operations)
            self.last = operation.number
            if operation.number % 500 == 0:
                print(f"{time.strftime('%T')} {operation.number} operations", flush=True)
            return operation


class Chaos:
    """One run.

    :ivar lines: what there is to tell.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._operations = plan(args.seed, args.operations)
        self.lines: list[str] = []

    def run(self) -> int:
        """Do everything; return the exit status."""
        args = self._args
        origin = Origin()
        world = World(args.seed, origin)
        with ExitStack() as stack:
            stack.enter_context(origin)
            options = options_of(args, Path("{home}/cache"), origin.port)
            options |= _OPTIONS | {"OS_DEFAULT__IMAGE_CACHE_MAX_SIZE": LIMIT}
            service = Service(args.workers, options=options, folder=args.work)
            stack.callback(service.close)
            processes = Processes(service, world)
            stack.callback(processes.close)
            watcher = Watcher(service.home / "cache", world)
            stack.callback(watcher.stop)
            try:
                self._shake(service, processes, world)
                self._end(service, processes, world)
            except (OSError, WireError, ServiceError) as e:
                world.fault(0, f"{type(e).__name__}: {e}")
            watcher.stop()
            self._judge_logs(processes, world)
            self._tell(world, watcher)
            if world.faults:
                self._keep(service, world, watcher)
        print("failed" if world.faults else "ok")
        return 3 if world.faults else 0

    def _shake(self, service: Service, processes: Processes, world: World) -> None:
        directory = CacheDirectory(str(service.home / "cache"))
        world.filling = lambda image_id: is_held(directory.fill_lock(image_id))
        shared = _Shared(self._operations)
        clients = [
            Client(service.port, world, shared, processes.others) for _ in range(self._args.clients)
        ]
        for slot in range(SLOTS):
            clients[0].replace(Operation(0, "replace", slot, 0.0, 0.0))
        world.done.clear()
        world.origin.plan = seeded(self._args.seed, _BAD_ANSWERS)
        processes.start_daemon()
        threads = [threading.Thread(target=client.run) for client in clients]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lasted = time.monotonic() - began
        world.origin.plan = None
        self._say(f"{shared.last} operations in {lasted:.0f} s, seed {self._args.seed}")

    def _end(self, service: Service, processes: Processes, world: World) -> None:
        if not world.going_on:
            return
        target = Target(Spec("ours", "127.0.0.1", service.port), Believed())
        before = world.done["download"]
        client = Client(service.port, world, iter(()), {})
        chaos_end.download_all(client, world)
        chaos_end.come_to_rest(service, target, processes, world, _STALL_TIME)
        self._say(f"{world.done['download'] - before} images downloaded once more")
        for line in chaos_end.judge(service, target, world, self._args.driver, LIMIT):
            self._say(line)
        if (code := service.stop()) != 0:
            world.fault(0, f"the service ended with {code}")

    def _judge_logs(self, processes: Processes, world: World) -> None:
        for path in processes.logs():
            for line in path.read_text(errors="replace").splitlines():
                if any(word in line for word in _UNFORESEEN):
                    world.fault(0, f"{path.name}: {line[:300]}")
                    break

    def _say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def _tell(self, world: World, watcher: Watcher) -> None:
        done = ", ".join(f"{count} {kind}" for kind, count in counted(self._operations).items())
        self._say(f"  planned: {done}")
        done = ", ".join(f"{count} {what}" for what, count in sorted(world.done.items()))
        self._say(f"  done: {done}")
        bad = Counter(asked.fault.kind for asked in world.origin.asked if asked.fault)
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(bad.items()))
        self._say(f"  answers of the store: {len(world.origin.asked)}, of which bad: {told or 0}")
        self._say(f"  workers killed: {len(world.killed)}")
        told = ", ".join(f"{count} since {why}" for why, count in sorted(world.reasons.items()))
        self._say(f"  failed, with a reason: {told or 'nothing'}")
        seen = watcher.seen
        self._say(
            f"  bytes at most: {seen.get('most')} and {seen.get('most_promised')} with those "
            f"promised, of {LIMIT}; looked at {seen.get('looks')} times, and {seen.get('exact')} "
            "times alone"
        )

    def _keep(self, service: Service, world: World, watcher: Watcher) -> None:
        home = service.keep()
        told: dict[str, object] = {"seed": self._args.seed, "told": self.lines}
        chaos_end.write_evidence(home / "chaos.json", world, told | {"watched": watcher.seen})
        number = max(fault.number for fault in world.faults)
        self._say(f"seed {self._args.seed}, operation {number}; everything is kept in {home}")


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m bench cache-chaos``."""
    out = argparse.ArgumentParser(prog="python -m bench cache-chaos", description=__doc__)
    add = out.add_argument
    add("--operations", type=int, default=10_000, metavar="N", help="(%(default)s)")
    add("--seed", type=int, default=1, help="of all chances (%(default)s)")
    add("--clients", type=int, default=8, metavar="N", help="at the same time (%(default)s)")
    add("--workers", type=int, default=2, help="of the service (%(default)s)")
    add(
        "--driver",
        default="sqlite",
        choices=("sqlite", "xattr", "centralized_db"),
        help="image_cache_driver (%(default)s)",
    )
    add("--work", type=Path, metavar="DIR", help="where to keep files meanwhile")
    return out


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return the exit status: 3 when anything is not right."""
    cases = parser()
    args = cases.parse_args(argv)
    if args.clients < 1 or args.workers < 1:
        cases.error("--clients and --workers are numbers from 1 on")
    try:
        chaos = Chaos(args)
    except ValueError as e:
        cases.error(str(e))
    try:
        return chaos.run()
    except ServiceError as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2
