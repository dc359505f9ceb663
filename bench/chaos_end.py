"""What a cache has to be like when all is quiet again: in order, and nothing left over."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.chaos_clients import Client
from bench.chaos_plan import SLOTS, Operation
from bench.chaos_processes import Processes
from bench.chaos_world import World
from bench.supervised import Service
from bench.watch import held
from bench.wire import Target, read_head
from glance.cache.layout import CacheDirectory

#: Seconds in which what is under way has to come to its end.
QUIET_TIME = 60.0

_INDEX = {
    "sqlite": ("cache/cache.db", "SELECT image_id, size FROM cached_images"),
    "centralized_db": ("state/glance.sqlite", "SELECT image_id, size FROM cached_images"),
}


def download_all(client: Client, world: World) -> None:
    """See that every image that is there can be had, now that nothing goes wrong any more."""
    for slot in range(SLOTS):
        if world.going_on:
            client.download(Operation(0, "download", slot, 0.0, 0.0))


def come_to_rest(
    service: Service, target: Target, processes: Processes, world: World, stall_time: float
) -> None:
    """Have all work end, and tidy up as the cleaner does."""
    directory = CacheDirectory(str(service.home / "cache"))
    processes.stop_daemon()
    if not service.settle():
        world.fault(0, "not all workers are back")
    with target.stream() as sock:
        sock.sendall(target.head("DELETE", "/v2/cache", b"X-Image-Cache-Clear-Target: queue\r\n"))
        if (status := read_head(sock).status) != 204:
            world.fault(0, f"the queue is not emptied: {status}")
    _await(lambda: not directory.thd_fill_locks(), "a copy is being written still", world)
    # Parts that nobody has finished are left alone for so long.
    time.sleep(stall_time + 0.2)
    processes.run_to_end("run cleaner")
    # The service has chores of its own, which take a moment now and then.
    _await(lambda: not _locked(directory), "files of the cache are locked still", world)


def _await(done: Callable[[], bool], otherwise: str, world: World) -> None:
    deadline = time.monotonic() + QUIET_TIME
    while not done():
        if time.monotonic() > deadline:
            world.fault(0, otherwise)
            return
        time.sleep(0.05)


def _locked(directory: CacheDirectory) -> list[str]:
    """Return the files of a cache that somebody has a lock on."""
    where = {(lock.device, lock.inode) for lock in held()}
    found = []
    for folder, _, names in os.walk(directory.root):
        for name in names:
            path = os.path.join(folder, name)
            try:
                state = os.lstat(path)
            except FileNotFoundError:
                continue
            if (state.st_dev, state.st_ino) in where:
                found.append(os.path.relpath(path, directory.root))
    return found


def judge(service: Service, target: Target, world: World, driver: str, limit: int) -> list[str]:
    """Judge what is left; return what there is to tell."""
    directory = CacheDirectory(str(service.home / "cache"))
    copies = {file.image_id: file for file in directory.thd_copies()}
    for name, file in copies.items():
        image = world.images.get(name)
        if image is None:
            world.fault(0, f"a copy of an image that never was: {name}")
        elif Path(file.path).read_bytes() != image.content.data:
            world.fault(0, f"the copy of {name} is not what was uploaded")
    for what, left in (
        ("unfinished", [file.image_id for file in directory.thd_partials()]),
        ("invalid", [file.image_id for file in directory.thd_invalid()]),
        ("queued", directory.thd_queued()),
        ("claimed", list(directory.thd_fill_locks())),
    ):
        if left:
            world.fault(0, f"left in the cache, {what}: {', '.join(sorted(left))}")
    there = {name: file.size for name, file in copies.items()}
    if (total := sum(there.values())) > limit:
        world.fault(0, f"{total} bytes in the cache, and {limit} are allowed")
    listed = target.call("GET", "/v2/cache")["cached_images"]
    _compare("GET /v2/cache", {e["image_id"]: e["size"] for e in listed}, there, world)
    if driver in _INDEX:
        _compare("the index", _index(service, driver), there, world)
    catalogue = {str(image) for image in _all_images(target)}
    if gone := there.keys() - catalogue:
        world.fault(0, f"copies of deleted images: {', '.join(sorted(gone))}")
    open_files = _open_files(service, directory)
    if open_files:
        world.fault(0, f"open in the service still: {', '.join(sorted(open_files))}")
    return [
        f"at the end: {len(there)} copies, {total} bytes, all compared; index and directory agree"
    ]


def _compare(what: str, said: dict[str, int], there: dict[str, int], world: World) -> None:
    if said != there:
        different = {
            name: (said.get(name), there.get(name))
            for name in said.keys() | there.keys()
            if said.get(name) != there.get(name)
        }
        world.fault(0, f"{what} differs from the directory (said, there): {different}")


def _index(service: Service, driver: str) -> dict[str, int]:
    name, query = _INDEX[driver]
    uri = f"file:{service.home / name}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        return dict(connection.execute(query).fetchall())


def _all_images(target: Target) -> list[str]:
    found: list[str] = []
    path: str | None = "/v2/images?limit=500"
    while path is not None:
        page = target.call("GET", path)
        found += [str(image["id"]) for image in page["images"]]
        path = page.get("next")
    return found


def _open_files(service: Service, directory: CacheDirectory) -> set[str]:
    """Return which copies the processes of the service have open."""
    deadline = time.monotonic() + QUIET_TIME
    while True:
        found = set()
        for pid in service.tree():
            for entry in os.listdir(f"/proc/{pid}/fd"):
                try:
                    target = os.readlink(f"/proc/{pid}/fd/{entry}")
                except FileNotFoundError:
                    continue
                name = os.path.basename(target.removesuffix(" (deleted)"))
                if target.startswith(directory.root) and not name.startswith("cache.db"):
                    found.add(f"{pid}: {target}")
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def write_evidence(path: Path, world: World, told: dict[str, object]) -> None:
    """Write down what happened, for whoever looks for the reason."""
    answers = [
        {
            "number": asked.number,
            "name": asked.name,
            "part": asked.part,
            "fault": asked.fault,
            "began": asked.began,
            "ended": asked.ended,
        }
        for asked in world.origin.asked
        if asked.fault is not None
    ]
    document = {
        **told,
        "faults": [str(fault) for fault in world.faults],
        "failures": world.failures,
        "killed": [{"at": k.at, "ports": sorted(k.ports)} for k in world.killed],
        "bad answers": answers,
        "images": {
            image.image_id: {"slot": image.slot, "size": image.size, "source": image.source}
            for image in world.images.values()
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
