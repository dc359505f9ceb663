"""The processes that share a cache while it is shaken, and how they are killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.chaos_plan import Operation
from bench.chaos_world import Killed, World
from bench.reload import stopped_with_ports
from bench.supervised import PATIENCE, Service

#: Seconds that a worker has lived before it is killed: those that die at once are made more slowly.
_AGE = 1.5
#: Seconds until a new one has to be there.
_REPLACED = 40.0
_PROGRAMS = {
    "run cleaner": "cache_cleaner",
    "run pruner": "cache_pruner",
    "run prefetcher": "cache_prefetcher",
}
_PREFETCHER_TIME = 0.8


class Processes:
    """Runs and kills them.

    :param service: whose workers they are, and whose configuration all have.
    """

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._world = world
        self._killing = threading.Lock()
        self._daemon_lock = threading.Lock()
        self._daemon: subprocess.Popen[bytes] | None = None
        self.others = {
            **dict.fromkeys(_PROGRAMS, self.run_program),
            "kill worker": self.kill_worker,
            "kill prefetcher": self.kill_prefetcher,
            "kill daemon": self.kill_daemon,
        }

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        state = str(self._service.home / "state")
        log = str(self._service.home / f"log-{module}")
        command = [sys.executable, "-m", f"glance.cmd.{module}", "--state-dir", state]
        return subprocess.Popen(
            [*command, "--log-file", log],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._service.environment,
            cwd=self._service.home,
        )

    def run_program(self, operation: Operation) -> None:
        """Run one of the programs that cron starts, to its end."""
        self.run_to_end(operation.kind, operation.number)

    def run_to_end(self, kind: str, number: int = 0) -> None:
        """Run a program; that it fails is a fault."""
        process = self._start(_PROGRAMS[kind])
        try:
            _, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
            self._world.fault(number, f"{kind}: did not end")
        # An image that cannot be read makes the prefetcher's exit status 1.
        allowed = {0, 1} if kind == "run prefetcher" else {0}
        if process.returncode not in allowed:
            tail = said.decode(errors="replace")[-500:]
            self._world.fault(number, f"{kind}: exit {process.returncode}: {tail}")
        self._world.count(kind)

    def kill_worker(self, operation: Operation) -> None:
        """Kill a worker at any moment."""
        with self._killing:
            before = self._all_old_enough()
            if not before:
                self._world.fault(operation.number, "a killed worker was not replaced")
                return
            pid = random.Random(operation.first).choice(before)
            ports = stopped_with_ports(pid)
            # Noted first: its clients find out at once.
            self._world.killed.append(Killed(time.monotonic(), frozenset(ports)))
            os.kill(pid, signal.SIGKILL)
            # The next one is not to be killed while it dies.
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.001)
        self._world.count("kill worker")

    def _all_old_enough(self) -> list[int]:
        deadline = time.monotonic() + _REPLACED
        while time.monotonic() < deadline and self._world.going_on:
            pids = self._service.worker_pids()
            if len(pids) == self._service.workers and all(_age(pid) > _AGE for pid in pids):
                return pids
            time.sleep(0.05)
        return []

    def kill_prefetcher(self, operation: Operation) -> None:
        """Start one, and kill it a moment later."""
        process = self._start(_PROGRAMS["run prefetcher"])
        time.sleep(operation.first * _PREFETCHER_TIME)
        process.kill()
        process.communicate()
        self._world.count("kill prefetcher")

    def start_daemon(self) -> None:
        """Start what cleans, prunes and fills beside the service."""
        self._daemon = self._start("cache")

    def kill_daemon(self, operation: Operation) -> None:
        """Kill it, and start another one."""
        with self._daemon_lock:
            assert self._daemon is not None
            if self._daemon.poll() is not None:
                code = self._daemon.returncode
                self._world.fault(operation.number, f"the daemon ended by itself: {code}")
            self._daemon.kill()
            self._daemon.communicate()
            self.start_daemon()
        self._world.count("kill daemon")

    def stop_daemon(self) -> None:
        """End it as a service manager does."""
        if self._daemon is None:
            return
        self._daemon.terminate()
        try:
            _, said = self._daemon.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            _, said = self._daemon.communicate()
            self._world.fault(0, "the daemon did not end")
        if self._daemon.returncode not in (0, -signal.SIGTERM):
            tail = said.decode(errors="replace")[-500:]
            self._world.fault(0, f"the daemon ended with {self._daemon.returncode}: {tail}")
        self._daemon = None

    def close(self) -> None:
        """End what still runs, whatever it does."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.communicate()

    def logs(self) -> list[Path]:
        """Return the files that they log to."""
        return sorted(self._service.home.glob("log*"))


def _age(pid: int) -> float:
    """Return how many seconds a process has lived; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
