"""Watch a cache's directory all the time: it must never hold a byte too many.

A process of its own, ``python -m bench.watch DIRECTORY LIMIT``, until its standard input ends; then
it says what it saw, as JSON. What it sees wrong it says at once. It looks in two ways:

* alone on the node, by the lock under which room is made, so that nothing but growing goes on: then
  also what has been promised to copies that are being written counts;
* without any lock, twice: what is in both looks was there at the moment between them.
"""

import json
import os
import re
import select
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from glance.cache.claims import thd_read_state
from glance.cache.layout import CacheDirectory, CacheFile
from glance.domain.errors import Unavailable

#: Seconds between two looks that keep others waiting.
_EXACT_EVERY = 0.02
_HELD = re.compile(r"\d+: FLOCK\s+\S+\s+(READ|WRITE)\s+-?\d+\s+([0-9a-f]+):([0-9a-f]+):(\d+)")


class Lock(NamedTuple):
    """A lock on a file that somebody has.

    :ivar alone: nobody else may have it.
    """

    device: int
    inode: int
    alone: bool


def held() -> set[Lock]:
    """Return the locks on files that anybody on this machine has, by ``flock``."""
    found = set()
    for line in Path("/proc/locks").read_text().splitlines():
        # Whoever waits for one stands there as well, behind an arrow.
        if match := _HELD.match(line):
            device = os.makedev(int(match[2], 16), int(match[3], 16))
            found.add(Lock(device, int(match[4]), match[1] == "WRITE"))
    return found


def is_held(path: str, locks: set[Lock] | None = None) -> bool:
    """Tell whether somebody has a lock on a file."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return False
    where = {(lock.device, lock.inode) for lock in (held() if locks is None else locks)}
    return (state.st_dev, state.st_ino) in where


def _files(directory: CacheDirectory) -> list[CacheFile]:
    # Files move from the first to the others; those that are seen twice count once.
    listed = (directory.thd_partials(), directory.thd_copies(), directory.thd_invalid())
    return [file for part in listed for file in part]


def seen_twice(first: list[CacheFile], second: list[CacheFile]) -> int:
    """Return how many bytes there were for certain between two looks."""
    later = {file.path: file for file in second}
    total = 0
    for file in first:
        again = later.get(file.path)
        # A file of another time would be another one.
        if again is not None and (again == file or again.size > file.size):
            total += file.size
    return total


def promised(directory: CacheDirectory) -> dict[str, int]:
    """Return what copies that are being written are going to have, by image."""
    found, locks = {}, held()
    for image_id, path in directory.thd_fill_locks().items():
        if is_held(path, locks):
            with suppress(FileNotFoundError):
                fd = os.open(path, os.O_RDONLY)
                try:
                    state = thd_read_state(fd)
                finally:
                    os.close(fd)
                if state is not None:
                    found[image_id] = state[0]
    return found


class Watch:
    """Looks, and keeps what it saw."""

    def __init__(self, directory: CacheDirectory, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self.looks = self.exact = self.most = self.most_promised = 0
        self.faults = 0

    def look(self) -> None:
        """Look without any lock."""
        first, second = _files(self._directory), _files(self._directory)
        self.looks += 1
        total = seen_twice(first, second)
        self.most = max(self.most, total)
        if total > self._limit:
            self._fault("bytes", total, first)

    def look_alone(self) -> None:
        """Look while nothing but growing goes on."""
        directory = self._directory
        try:
            with directory.thd_alone():
                files = _files(directory)
                going_to_be = promised(directory)
        except Unavailable as e:
            self._fault(f"locked for too long: {e.message}", 0, [])
            return
        self.exact += 1
        total = sum(file.size for file in files)
        self.most = max(self.most, total)
        partials = {f.image_id: f.size for f in files if f.path == directory.partial(f.image_id)}
        more = sum(max(0, size - partials.get(name, 0)) for name, size in going_to_be.items())
        self.most_promised = max(self.most_promised, total + more)
        if total > self._limit:
            self._fault("bytes", total, files)
        elif total + more > self._limit:
            self._fault("bytes with those promised", total + more, files)

    def _fault(self, what: str, total: int, files: list[CacheFile]) -> None:
        self.faults += 1
        listed = [f"{os.path.relpath(f.path, self._directory.root)} {f.size}" for f in files]
        told = {"fault": what, "bytes": total, "limit": self._limit, "files": listed}
        if self.faults < 10:
            print(json.dumps(told), flush=True)


def main(root: str, limit: int) -> None:
    """Look until standard input ends."""
    directory = CacheDirectory(root)
    watch = Watch(directory, limit)
    alone = 0.0
    print("{}", flush=True)
    while not select.select([sys.stdin], [], [], 0.004)[0]:
        watch.look()
        if time.monotonic() - alone >= _EXACT_EVERY:
            watch.look_alone()
            alone = time.monotonic()
    names = ("looks", "exact", "most", "most_promised")
    print(json.dumps({name: getattr(watch, name) for name in names}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
