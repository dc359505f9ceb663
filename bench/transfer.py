"""Bulk data: sources of known bytes, sent and fetched whole, in chunks and in ranges."""

import hashlib
import mmap
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.processes import PeakMemory
from bench.stats import Figures
from bench.wire import Target, WireError, is_chunked, read_body, read_head

MIB, GIB = 1 << 20, 1 << 30
Job = Callable[[], object]


class Source:
    """A file of random bytes, mapped; made once and kept for the next run."""

    def __init__(self, folder: Path, size: int) -> None:
        """Open or make the file; ``size`` is in whole MiB."""
        self.path, self.size = folder / f"source-{size}", size
        if not self.path.exists() or self.path.stat().st_size != size:
            with open(self.path, "wb") as f:
                for _ in range(size // MIB):
                    f.write(os.urandom(MIB))
        self.file = open(self.path, "rb")  # noqa: SIM115 - as long as the mapping
        self.view = memoryview(mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ))
        # Reading it all brings it into the page cache as well: the client's disk is not measured.
        self.md5 = hashlib.md5(self.view, usedforsecurity=False).hexdigest()
        self.sha512 = hashlib.sha512(self.view).hexdigest()


def send(target: Target, path: str, source: Source, piece: int | None = None) -> None:
    """PUT the source, with its length or in chunks of ``piece`` bytes.

    :raises WireError: when the answer is not 204.
    """
    headers = b"Content-Type: application/octet-stream\r\nConnection: close\r\n"
    with target.stream() as sock:
        if piece is None:
            sock.sendall(target.head("PUT", path, headers, source.size))
            at = 0
            while at < source.size:
                at += os.sendfile(sock.fileno(), source.file.fileno(), at, source.size - at)
        else:
            headers += b"Transfer-Encoding: chunked\r\n"
            sock.sendall(target.head("PUT", path, headers))
            for at in range(0, source.size, piece):
                part = source.view[at : at + piece]
                before, after = b"%x\r\n" % len(part), b"\r\n"
                sent = sock.sendmsg([before, part, after])
                if sent < len(before) + len(part) + len(after):
                    sock.sendall((before + part + after)[sent:])
            sock.sendall(b"0\r\n\r\n")
        head = read_head(sock)
        if head.status != 204:
            raise WireError(f"{target.name}: PUT: {head.status} {read_body(sock, head)[:200]!r}")


def fetch(
    target: Target, path: str, source: Source, first: int = 0, last: int | None = None
) -> None:
    """GET the whole or one range, comparing every byte with the source.

    :raises WireError: when a byte differs or is missing, or the status is another.
    """
    last = source.size - 1 if last is None else last
    ranged = (first, last) != (0, source.size - 1)
    headers = b"Connection: close\r\n"
    if ranged:
        headers += b"Range: bytes=%d-%d\r\n" % (first, last)
    with target.stream() as sock:
        sock.sendall(target.head("GET", path, headers))
        head = read_head(sock)
        if head.status != (206 if ranged else 200):
            raise WireError(f"{target.name}: GET: {head.status} {head.rest[:200]!r}")
        if is_chunked(head):
            raise WireError(f"{target.name}: GET: sent in chunks, not with its length")
        at = first + len(head.rest)
        if at > last + 1 or not head.rest.startswith(source.view[first:at]):
            raise WireError(f"{target.name}: the bytes differ at the start")
        _compare(target, sock, source, at, last + 1)


_local = threading.local()


def _buffer() -> bytearray:
    """Return this thread's buffer; a new one each time would cost more than a small range."""
    if not hasattr(_local, "buffer"):
        _local.buffer = bytearray(MIB)
    buffer: bytearray = _local.buffer
    return buffer


def _compare(target: Target, sock: socket.socket, source: Source, at: int, end: int) -> None:
    buf = _buffer()
    while at < end:
        got = sock.recv_into(buf, min(MIB, end - at), socket.MSG_WAITALL)
        if not got:
            raise WireError(f"{target.name}: closed {end - at} bytes before the end")
        # Compared by memcmp and without a copy, so that this side is not the slower one:
        # comparing two memoryviews goes item by item.
        if not buf.startswith(source.view[at : at + got]):
            raise WireError(f"{target.name}: the bytes differ from {at} on")
        at += got


def together(jobs: Sequence[Job]) -> tuple[float, list[str]]:
    """Run the jobs at once, a thread each; return (wall seconds, errors)."""
    errors = []

    def run(job: Job) -> None:
        try:
            job()
        except Exception as e:  # counted and shown; the other streams go on
            errors.append(f"{type(e).__name__}: {e}")

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, errors


def timed(target: Target, jobs: Sequence[Job], total: int, check: Sequence[Job] = ()) -> Figures:
    """Run the jobs at once against the target and say what moving ``total`` bytes took.

    :param check: run afterwards, outside the measured time.
    """
    os.sync()
    cpu, database = target.cpu()
    mine = time.process_time()
    with PeakMemory(target.tree) as peak:
        wall, errors = together(jobs)
    mine = time.process_time() - mine
    cpu_after, database_after = target.cpu()
    if check and not errors:
        errors = together(check)[1]
    gib = total / GIB
    return {
        "mbps": None if errors else total / wall / 1e6,
        "cpu_s_per_gib": (cpu_after - cpu) / gib,
        "db_cpu_s_per_gib": (database_after - database) / gib if target.database else None,
        "client_cpu_s_per_gib": mine / gib,
        "peak_rss_mib": peak.rss,
        "peak_pss_mib": peak.pss,
        "wall_s": wall,
        "errors": errors,
    }
