"""What a server costs: CPU and memory of its whole process tree, read from Linux's /proc.

The tree is found from the port the server listens on, so nothing needs to be told about it.
"""

import contextlib
import os
import threading
from collections.abc import Iterable
from types import TracebackType

_TICK = os.sysconf("SC_CLK_TCK")


def _table() -> dict[int, tuple[int, float]]:
    """Return every process: pid -> (parent, CPU seconds with those of its reaped children)."""
    table = {}
    for pid in _pids():
        with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rsplit(b")", 1)[1].split()
            table[pid] = int(fields[1]), sum(map(int, fields[11:15])) / _TICK
    return table


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def listeners(port: int) -> set[int]:
    """Return the pids that hold a listening socket on the port open."""
    sockets = set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(name) as f:
            for line in f.readlines()[1:]:
                column = line.split()
                if column[3] == "0A" and int(column[1].rsplit(":", 1)[1], 16) == port:
                    sockets.add(f"socket:[{column[9]}]")
    return {pid for pid in _pids() if sockets & _open_files(pid)}


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


class Tree:
    """Some processes and all their descendants."""

    def __init__(self, roots: Iterable[int]) -> None:
        self.roots = set(roots)

    def _members(self) -> tuple[set[int], dict[int, tuple[int, float]]]:
        table = _table()
        members: set[int] = set()
        grow = {pid for pid in self.roots if pid in table}
        while grow:
            members |= grow
            grow = {pid for pid, (parent, _) in table.items() if parent in members} - members
        return members, table

    def count(self) -> int:
        """Return how many processes there are."""
        return len(self._members()[0])

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        members, table = self._members()
        return sum(table[pid][1] for pid in members)

    def memory(self) -> tuple[float, float]:
        """Return (RSS, PSS) in MiB, summed; PSS counts a page that processes share once."""
        sums = {"Rss:": 0, "Pss:": 0}
        for pid in self._members()[0]:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as f:
                for line in f:
                    key, _, rest = line.partition(" ")
                    if key in sums:
                        sums[key] += int(rest.split()[0])
        return sums["Rss:"] / 1024, sums["Pss:"] / 1024


class PeakMemory:
    """Sample a tree's memory in a thread for as long as the context lasts; keep the peaks."""

    def __init__(self, tree: Tree, every: float = 0.2) -> None:
        self.tree = tree
        self.every = every
        self.rss = self.pss = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            rss, pss = self.tree.memory()
            self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)
            if self._stop.wait(self.every):
                return
