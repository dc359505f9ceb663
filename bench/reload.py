"""Reload a service, and kill its workers, under a load of uploads, downloads and lists.

``python -m bench reload`` starts a service of its own, so that nothing else is needed.
"""

import argparse
import http.client
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.clients import MIB, Downloader, Failure, Load, answers_within
from bench.stats import quantile
from bench.supervised import Service, ServiceError, descriptors, peers

#: Seconds within which interrupted work has to be put right.
RECOVERY_TIME = 60.0

#: Seconds in which connections that nobody uses any more are closed.
DESCRIPTORS_TIME = 8.0


@dataclass
class Kill:
    """A worker that was killed: whose connections went with it, and how the service fared."""

    at: float
    ports: set[int]
    answered: float | None
    replaced: float | None


@dataclass
class Result:
    """What was seen; ``faults`` are what must not be."""

    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def fault(self, line: str) -> None:
        self.faults.append(line)
        print(f"! {line}", flush=True)


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m bench reload``."""
    out = argparse.ArgumentParser(prog="python -m bench reload", description=__doc__)
    add = out.add_argument
    add("--reloads", type=int, default=200, help="how often to reload (%(default)s)")
    add("--kills", type=int, default=40, help="how many workers to kill (%(default)s)")
    add("--workers", type=int, default=4, help="worker processes, 0 for none (%(default)s)")
    add("--clients", type=int, default=4, help="of each of the three kinds (%(default)s)")
    add("--pause", type=float, default=0.2, help="most seconds between reloads (%(default)s)")
    add("--database", metavar="URL", help="an empty database for it, emptied again; else SQLite")
    add("--seed", type=int, default=1, help="of the clients' chances (%(default)s)")
    return out


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return the exit status: 3 when anything failed."""
    cases = parser()
    args = cases.parse_args(argv)
    if args.kills and not args.workers:
        cases.error("there are no workers to kill: --kills 0")
    result = Result()
    try:
        for count, run in ((args.reloads, reloads), (args.kills, kills)):
            if count:
                with Service(args.workers, args.database) as service:
                    if _all_images(service.port):
                        raise ServiceError("the database is not empty")
                    run(service, count, args, result)
    except ServiceError as e:
        result.fault(str(e))
    print("failed" if result.faults else "ok")
    return 3 if result.faults else 0


def reloads(service: Service, count: int, args: argparse.Namespace, result: Result) -> None:
    """Reload again and again; nothing may fail, and nothing may be left."""
    chance = random.Random(args.seed)
    load = Load(service.port, args.clients, args.seed)
    before = _idle_descriptors(service)
    load.start()
    began, took, most = time.monotonic(), [], 0
    for _ in range(count):
        start = time.monotonic()
        service.reload()
        took.append(time.monotonic() - start)
        most = max(most, len(service.generations()))
        time.sleep(chance.random() * args.pause)
    lasted = time.monotonic() - began
    load.stop()
    result.say(f"{count} reloads in {lasted:.0f} s, {service.workers} workers")
    result.say(f"  a reload: median {_s(took, 0.5)}, longest {max(took):.2f} s")
    result.say(f"  generations at a time: {most} at most")
    _tell_load(load, result)
    for failure in load.records.failures:
        result.fault(f"{failure.what}: {failure.how}")
    if not service.settle():
        result.fault(f"processes left: {len(service.tree())} instead of {service.processes}")
    after = _idle_descriptors(service, before)
    result.say(f"  descriptors of the parent: {before} before, {after} after")
    if after > before:
        result.fault("the parent has descriptors left")
    _tell_descriptors_of_workers(service, result)
    _check_catalogue(service, load, result)
    _stop(service, result)


def _idle_descriptors(service: Service, enough: int = 0) -> int:
    """Reload, and count the parent's descriptors when that is done and nobody is there.

    :param enough: how many there may be; it is waited for that.
    """
    service.reload()
    service.settle()
    deadline = time.monotonic() + DESCRIPTORS_TIME
    while (count := descriptors(service.pid)) > enough and time.monotonic() < deadline:
        time.sleep(0.1)
    return count


def kills(service: Service, count: int, args: argparse.Namespace, result: Result) -> None:
    """Kill workers; nothing but what they had in hand may fail, and all is put right."""
    chance = random.Random(args.seed)
    load = Load(service.port, args.clients, args.seed)
    load.start()
    began, killed = time.monotonic(), []
    for _ in range(count):
        time.sleep(chance.random() * 2)
        killed.append(_kill_one(service, chance))
    lasted = time.monotonic() - began
    load.stop()
    result.say(f"{count} workers of {service.workers} killed in {lasted:.0f} s")
    _tell_load(load, result)
    _judge_failures(load.records.failures, killed, result)
    for name, times in (
        ("an answer on a new connection", [kill.answered for kill in killed]),
        ("another worker in its place", [kill.replaced for kill in killed]),
    ):
        known = [seconds for seconds in times if seconds is not None]
        if len(known) < len(times):
            result.fault(f"{len(times) - len(known)} times without {name}")
        if known:
            result.say(f"  {name}: median {_s(known, 0.5)}, longest {max(known):.3f} s")
            if max(known) >= 1:
                result.fault(f"{name} took {max(known):.2f} s")
    if not service.settle():
        result.fault("not all workers are back")
    _check_catalogue(service, load, result)
    _stop(service, result)


def _kill_one(service: Service, chance: random.Random) -> Kill:
    before = service.worker_pids()
    pid = chance.choice(before)
    ports = stopped_with_ports(pid)
    os.kill(pid, signal.SIGKILL)
    at = time.monotonic()
    answered = answers_within(service.port, 20)
    replaced = None
    while time.monotonic() < at + 40:
        there = [p for p in service.worker_pids() if p != pid]
        if len(there) == len(before):
            replaced = time.monotonic() - at
            break
        time.sleep(0.005)
    return Kill(at, ports, answered, replaced)


def stopped_with_ports(pid: int) -> set[int]:
    """Have a process stand still; return the ports of its clients, which it would die with."""
    os.kill(pid, signal.SIGSTOP)
    while _state(pid) != "T":
        time.sleep(0.001)
    return peers(pid)


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def _judge_failures(failures: list[Failure], killed: list[Kill], result: Result) -> None:
    """Find for each failure the worker that died with its connection."""
    unexplained = []
    for failure in failures:
        with_it = [kill for kill in killed if failure.port in kill.ports]
        if not any(0 <= failure.at - kill.at < 10 for kill in with_it):
            unexplained.append(failure)
    result.say(
        f"  {len(failures)} requests failed, {sum(len(kill.ports) for kill in killed)} connections "
        f"were of killed workers"
    )
    for failure in unexplained:
        result.fault(f"{failure.what} on a connection of no killed worker: {failure.how}")


def _tell_load(load: Load, result: Result) -> None:
    records = load.records
    done = ", ".join(f"{count} {what}s" for what, count in sorted(records.done.items()))
    result.say(f"  {sum(records.done.values())} requests answered: {done}")
    result.say(
        f"  {records.moved / MIB:.0f} MiB moved and compared; {records.stale} kept connections "
        f"found closed while unused"
    )
    kinds = Counter(failure.what for failure in records.failures)
    failed = ", ".join(f"{count} {what}s" for what, count in sorted(kinds.items()))
    result.say(f"  failed: {failed or 'none'}")


def _tell_descriptors_of_workers(service: Service, result: Result) -> None:
    counts = [descriptors(pid) for pid in service.worker_pids()]
    template = [descriptors(pid) for pid in service.generations()]
    result.say(f"  processes: {len(service.tree())}; descriptors of workers: {counts}, {template}")


def _check_catalogue(service: Service, load: Load, result: Result) -> None:
    """Every image is whole or waits for data, and the store holds nothing else."""
    deadline = time.monotonic() + RECOVERY_TIME
    while True:
        images = _all_images(service.port)
        statuses = Counter(image["status"] for image in images)
        active = {str(image["id"]) for image in images if image["status"] == "active"}
        there = set(os.listdir(service.images))
        settled = not statuses.keys() - {"active", "queued"} and there == active
        if settled or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if statuses.keys() - {"active", "queued"}:
        result.fault(f"images stuck: {dict(statuses)}")
    if there != active:
        result.fault(f"left in the store: {there - active}; missing: {active - there}")
    reader = Downloader(service.port, load.records, 0, keep=False)
    unknown = active - load.records.images.keys()
    if unknown:
        # Deleted, as far as its client knows.
        result.fault(f"{len(unknown)} images are there again")
    broken = [
        image_id for image_id in active - unknown if not reader.download(image_id, slow=False)
    ]
    for image_id in broken:
        result.fault(f"image {image_id} is not what was uploaded")
    for image in images:
        _delete(service.port, str(image["id"]))
    result.say(
        f"  catalogue: {statuses['active']} active, all bytes compared; "
        f"{statuses['queued']} queued; {len(there)} files"
    )


def _delete(port: int, image_id: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("DELETE", f"/v2/images/{image_id}")
    connection.getresponse().read()
    connection.close()


def _all_images(port: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    path: str | None = "/v2/images?limit=500"
    while path is not None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path)
        page = json.loads(connection.getresponse().read())
        connection.close()
        found += page["images"]
        path = page.get("next")
    return found


def _stop(service: Service, result: Result) -> None:
    tree = service.tree()
    code = service.stop()
    if code != 0:
        result.fault(f"the service ended with {code}")
    left = [pid for pid in tree if os.path.exists(f"/proc/{pid}") and pid != service.pid]
    if left:
        result.fault(f"processes left after the end: {left}")
    errors = service.last_errors()
    for line in errors:
        if "ended badly, killed by SIGKILL" not in line:
            result.fault(f"in the log: {line}")


def _s(times: list[float], share: float) -> str:
    value = quantile(sorted(times), share)
    return f"{value:.3f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
