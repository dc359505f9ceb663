"""Many readers of one image, all at the same time, who check every byte and cost little.

They run in processes of their own (``python -m bench.storm``), so that neither this program's other
work nor its lock is in their way and what they cost can be told. An image is a pattern that repeats
itself after a prime number of bytes: small enough to stay in a processor's cache, and different at
any two places that a mistake could confuse.
"""

import json
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.processes import PeakMemory
from bench.stats import Figures
from bench.supervised import ROOT
from bench.transfer import GIB
from bench.wire import Target

PERIOD = 262_139
_PIECE = 256 * 1024
#: Seconds without any byte after which readers give up.
_SILENCE = 120.0
#: Seconds that the processes are given to get ready.
_LEAD = 0.1


def pattern(seed: int) -> bytes:
    """Return the pattern, with enough of it for a comparison that begins anywhere."""
    once = random.Random(seed).randbytes(PERIOD)
    return once * (2 + _PIECE // PERIOD)


def write_image(path: Path, seed: int, size: int) -> None:
    """Write an image's data to a file."""
    once = memoryview(pattern(seed))[:PERIOD]
    with open(path, "wb") as file:
        for at in range(0, size, PERIOD):
            file.write(once[: size - at])


@dataclass
class Job:
    """What the readers of one process do.

    :ivar head: the request, text.
    :ivar at: when they begin, by the machine's monotonic clock.
    :ivar repeats: how often each reads it, one after the other.
    """

    host: str
    port: int
    head: str
    seed: int
    size: int
    readers: int
    at: float
    repeats: int = 1


@dataclass
class Outcome:
    """How they fared; times are by the machine's monotonic clock.

    :ivar ended: when the last byte came.
    :ivar first: when the last reader had its first byte.
    """

    ended: float = 0.0
    first: float = 0.0
    cpu: float = 0.0
    moved: int = 0
    errors: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self, job: Job) -> None:
        self.socket = socket.create_connection((job.host, job.port), timeout=60)
        self.socket.sendall(job.head.encode())
        self.socket.setblocking(False)
        self.head: bytes | None = b""
        self.at = 0


class _Storm:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._pattern = memoryview(pattern(job.seed))
        self._buffer = bytearray(_PIECE)
        self._into = memoryview(self._buffer)
        self._poll = select.epoll()
        self._readers: dict[int, _Reader] = {}
        self.outcome = Outcome()

    def run(self) -> Outcome:
        time.sleep(max(0.0, self._job.at - time.monotonic()))
        for _ in range(self._job.repeats):
            cpu = time.process_time()
            self._once()
            self.outcome.cpu += time.process_time() - cpu
        self._poll.close()
        return self.outcome

    def _once(self) -> None:
        for _ in range(self._job.readers):
            try:
                reader = _Reader(self._job)
            except OSError as e:
                self.outcome.errors.append(f"{type(e).__name__}: {e}")
                continue
            self._readers[reader.socket.fileno()] = reader
            self._poll.register(reader.socket, select.EPOLLIN)
        while self._readers:
            events = self._poll.poll(_SILENCE)
            if not events:
                self.outcome.errors += ["nothing came for a long time"] * len(self._readers)
                break
            for fd, _ in events:
                self._serve(self._readers[fd])
        for reader in self._readers.values():
            reader.socket.close()
        self._readers.clear()

    def _serve(self, reader: _Reader) -> None:
        try:
            done = self._read(reader)
        except BlockingIOError:
            return
        except (OSError, ValueError) as e:
            self.outcome.errors.append(f"{type(e).__name__}: {e} (at {reader.at})")
            done = True
        if done:
            self._poll.unregister(reader.socket)
            del self._readers[reader.socket.fileno()]
            reader.socket.close()
            self.outcome.ended = time.monotonic()

    def _read(self, reader: _Reader) -> bool:
        got = reader.socket.recv_into(self._into)
        if not got:
            raise ValueError("closed before the end")
        start = 0
        if reader.head is not None:
            known = len(reader.head)
            reader.head += self._into[:got]
            head, end, _ = reader.head.partition(b"\r\n\r\n")
            if not end:
                return False
            if head.split(b" ", 2)[1] != b"200":
                raise ValueError(head[:200].decode("latin-1"))
            start = len(head) + len(end) - known
            reader.head = None
            self.outcome.first = time.monotonic()
        self._check(reader, start, got)
        return reader.at == self._job.size

    def _check(self, reader: _Reader, start: int, end: int) -> None:
        count = end - start
        place = reader.at % PERIOD
        # By memcmp: comparing two memoryviews goes item by item.
        right = self._pattern[place : place + count]
        there = self._buffer.startswith(right, start) and len(right) == count
        if not there or reader.at + count > self._job.size:
            raise ValueError("the bytes differ")
        reader.at += count
        self.outcome.moved += count


class Readers:
    """The processes, ready for one job after the other.

    :param processes: how many; readers are spread over them.
    """

    def __init__(self, processes: int = 2) -> None:
        self._children: list[subprocess.Popen[str]] = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.storm"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for _ in range(processes)
        ]

    def __enter__(self) -> "Readers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            child.kill()
            child.communicate()

    def read(
        self, target: Target, path: str, seed: int, size: int, readers: int, repeats: int = 1
    ) -> Figures:
        """Have so many read an image at the same time; say what it took."""
        # To a client of 1.0 nobody sends chunks, whatever is known of the length.
        head = target.head("GET", path).decode().replace("HTTP/1.1", "HTTP/1.0", 1)
        at = time.monotonic() + _LEAD
        used = self._children[:readers]
        cpu, _ = target.cpu()
        with PeakMemory(target.tree) as peak:
            for number, child in enumerate(used):
                share = (readers + len(used) - 1 - number) // len(used)
                job = Job(target.host, target.port, head, seed, size, share, at, repeats)
                _tell(child, asdict(job))
            outcomes = [Outcome(**_hear(child)) for child in used]
        cpu = target.cpu()[0] - cpu
        out = figures(outcomes, at, size * readers * repeats, cpu, peak)
        if repeats > 1:
            # It would be that of the last time.
            del out["first_s"]
        return out


def figures(
    outcomes: Sequence[Outcome], at: float, total: int, cpu: float, peak: PeakMemory
) -> Figures:
    """Sum up what the processes say.

    :param at: when they began.
    :param cpu: seconds that the service took.
    """
    errors = [error for outcome in outcomes for error in outcome.errors]
    wall = max(outcome.ended for outcome in outcomes) - at
    moved = sum(outcome.moved for outcome in outcomes)
    if not errors and moved != total:
        errors = [f"{moved} of {total} bytes"]
    gib = total / GIB
    return {
        "run_s": None if errors else wall,
        "first_s": max(outcome.first for outcome in outcomes) - at,
        "mbps": None if errors else total / wall / 1e6,
        "cpu_s_per_gib": cpu / gib,
        "client_cpu_s_per_gib": sum(outcome.cpu for outcome in outcomes) / gib,
        "peak_pss_mib": peak.pss,
        "errors": errors,
    }


def _tell(child: subprocess.Popen[str], job: dict[str, Any]) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(job) + "\n")
    child.stdin.flush()


def _hear(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    outcome: dict[str, Any] = json.loads(child.stdout.readline())
    return outcome


def main() -> None:
    """Do the jobs that standard input names, a line each."""
    for line in sys.stdin:
        outcome = _Storm(Job(**json.loads(line))).run()
        print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
