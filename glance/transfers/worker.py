"""Who we are, to other processes that look after the same catalogue."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass


def thd_start_time(pid: int) -> str | None:
    """Return when a process started, in clock ticks since boot; ``None`` when it is not there."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The name, second, is in parentheses and may hold spaces and parentheses itself.
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    dead = fields[0] in (b"Z", b"X")
    return None if dead else fields[19].decode()


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """One process of the service.

    :param node: where process numbers mean the same: host, boot and process namespace.
    :param worker: process number and start time, so that a number used again is told apart.
    """

    node: str
    worker: str

    @classmethod
    def of_this_process(cls) -> WorkerIdentity:
        """Find out who we are."""
        boot = _read("/proc/sys/kernel/random/boot_id")[:8]
        try:
            namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
        except OSError:
            namespace = ""
        pid = os.getpid()
        node = f"{socket.gethostname()[:200]}/{boot}/{namespace}"
        return cls(node, f"{pid}.{thd_start_time(pid) or 0}")


def thd_is_alive(worker: str) -> bool:
    """Tell whether a worker of this node is still running."""
    pid, _, started = worker.partition(".")
    return pid.isdigit() and thd_start_time(int(pid)) == started
