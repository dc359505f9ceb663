"""The real service as a child process, and what a test needs to know about it from outside."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
OCTETS = {"Content-Type": "application/octet-stream"}
#: How long anything may take before a test gives up on it. Never decides a test that passes.
PATIENCE = 60.0

_SERVES = re.compile(r"glance-api \S+ serves (https?)://127\.0\.0\.1:(\d+)\n")
_INTERNAL = re.compile(r"Internal port: https?://127\.0\.0\.1:(\d+)\n")
_TROUBLE = re.compile(r"Traceback|Unhandled| CRITICAL ")
_LOUD = re.compile(r"^.* (?:ERROR|CRITICAL) .*$", re.MULTILINE)


def _children(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in children.split()]


@functools.cache
def _compiled() -> Path:
    """Return a directory for compiled modules, one for this process's services."""
    place = Path(tempfile.mkdtemp(prefix="glance-compiled-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def eventually(probe: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Ask again and again until the answer is a true value; return it."""
    deadline = time.monotonic() + patience
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain: {what}"
        time.sleep(0.01)
    return answer


@dataclass
class Answer:
    """An answer over HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """``glance-api`` with a state directory of its own.

    :param settings: options of ``[DEFAULT]``.
    :param options: options of other groups, by group.
    :param token: sent with every request, where callers are told apart.
    :param plugins: a directory of modules, and of Twisted's plugins, that the process finds.
    :param tls: how clients speak to it, where its options make it speak TLS.
    :param arguments: more of the command line.
    :param room: bytes of a small file system of its own that it keeps things in.
    :param own_group: make it the leader of a group of processes, as a shell does.
    :param environ: more variables.
    :param launcher: a command that runs another, put before the program's.
    :param descriptors: files that it inherits.
    :param port_options: the port on the command line.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, object] | None = None,
        options: Mapping[str, Mapping[str, object]] | None = None,
        token: str | None = None,
        plugins: Path | None = None,
        tls: ssl.SSLContext | None = None,
        arguments: tuple[str, ...] = (),
        room: int | None = None,
        own_group: bool = False,
        environ: Mapping[str, str] | None = None,
        launcher: tuple[str, ...] = (),
        descriptors: tuple[int, ...] = (),
        port_options: tuple[str, ...] = ("--bind-port", "0"),
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="glance-test-"))
        self.state = self.home / "state"
        self.log = self.home / "log"
        self.port = 0
        self.token = token
        #: The second port, where one is configured.
        self.internal_port = 0
        self.tls = tls
        self._said = ""
        self._arguments = arguments
        self._room = room
        self._own_group = own_group
        self._launcher = launcher
        self._descriptors = descriptors
        self._port_options = port_options
        # Recovery is to come round while a test waits for it.
        values = {"transfer_heartbeat_interval": 1, "transfer_stale_time": 5, **(settings or {})}
        self._env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OS_", "GLANCE_", "XDG_", "PYTEST"))
        }
        # Nothing that whoever runs the tests has configured is found.
        self._env |= {"HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "xdg")}
        path = str(ROOT) if plugins is None else f"{ROOT}{os.pathsep}{plugins}"
        self._env |= {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(_compiled())}
        # Every start would compile all of the service anew.
        self._env.pop("PYTHONDONTWRITEBYTECODE", None)
        self._env |= environ or {}
        self.configure({"DEFAULT": values, **(options or {})})
        self._process: subprocess.Popen[str] | None = None

    def configure(self, options: Mapping[str, Mapping[str, object]]) -> None:
        """Set options, by group, for the next start."""
        for group, members in options.items():
            for key, value in members.items():
                self._env[f"OS_{group.upper()}__{key.upper()}"] = str(value)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # The process.

    def start(self) -> None:
        """Start the program and wait until it says where it listens."""
        command = [sys.executable, "-m", "glance.cmd.api", "--state-dir", str(self.state)]
        command += [*self._port_options, "--verbose", *self._arguments]
        command = [*self._launcher, *command]
        if self._room is not None:
            # In a name space of mounts of its own: whatever happens, nothing stays mounted.
            self.state.mkdir()
            mount = f"mount -t tmpfs -o size={self._room} none {self.state}"
            command = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
                cwd=self.home,
                text=True,
                process_group=0 if self._own_group else None,
                pass_fds=self._descriptors,
            )
        self._said = ""
        scheme, port = self._await(_SERVES).groups()
        assert scheme == ("https" if self.tls else "http")
        self.port = int(port)
        if "OS_DEFAULT__INTERNAL_BIND_PORT" in self._env:
            self.internal_port = int(self._await(_INTERNAL)[1])
        connection = self.connection()
        connection.request("GET", "/versions")
        connection.getresponse().read()
        #: What it has open when no client is there.
        self.idle = len(self.descriptors()) - 1
        connection.close()

    def _await(self, pattern: re.Pattern[str]) -> re.Match[str]:
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + PATIENCE
        while (match := pattern.search(self._said)) is None:
            ready, _, _ = select.select([descriptor], [], [], deadline - time.monotonic())
            piece = os.read(descriptor, 4096) if ready else b""
            assert piece, f"the service did not start: {self._said}\n{self.log_text()}"
            self._said += piece.decode()
        return match

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def images(self) -> Path:
        """The store's directory, as the process sees it."""
        if self._room is None:
            return self.state / "images"
        return Path(f"/proc/{self.pid}/root{self.state}/images")

    def templates(self) -> list[int]:
        """Return the process numbers of what worker processes are made from."""
        return _children(self.pid)

    def workers(self) -> list[int]:
        """Return the process numbers of the worker processes."""
        return [pid for template in self.templates() for pid in _children(template)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    def reload(self, patience: float = PATIENCE) -> None:
        """Have the configuration read anew, and wait until that is done or given up."""
        done = re.compile(r"requests under way in: gen|as it is now\n|Reload given up")
        before = len(done.findall(self.log_text()))
        self.signal(signal.SIGHUP)
        eventually(lambda: len(done.findall(self.log_text())) > before, "the reload", patience)

    def wait(self) -> int:
        """Wait for the end of a process that was told to; return its exit code."""
        return self._wait(signal.SIGTERM)

    def break_off(self) -> int:
        """End the process without waiting for clients; return its exit code."""
        return self._end(signal.SIGINT)

    def stop(self) -> int:
        """End the process as an operator does; return its exit code."""
        return self._end(signal.SIGTERM)

    def stop_all(self, number: signal.Signals) -> int:
        """Send a signal to the process and its workers alike; return its exit code."""
        assert self._own_group
        os.killpg(self.pid, number)
        return self._wait(number)

    def kill(self) -> None:
        """End the process as a crash does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._wait(number)

    def _wait(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"did not end after {number.name}:\n{self.log_text()}") from None
        finally:
            assert process.stdout is not None
            process.stdout.close()

    def close(self) -> None:
        """Stop, if that has not been done, and remove every trace."""
        try:
            if self._process is not None:
                self.break_off()
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def trouble(self) -> list[str]:
        """Return the errors in the log, if there is one among them that nobody foresaw."""
        text = self.log_text()
        return _LOUD.findall(text) if _TROUBLE.search(text) else []

    def descriptors(self, pid: int | None = None) -> list[str]:
        """Return what a process has open: sockets of connections and files of the store."""
        found = []
        pid = self.pid if pid is None else pid
        for entry in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{entry}")
            except FileNotFoundError:
                continue
            if target.startswith(("socket:", str(self.images))):
                found.append(target)
        return found

    def alive(self, pid: int) -> bool:
        """Whether a process is running; one that nobody has buried yet is not."""
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state not in "ZX"

    def resident(self) -> int:
        """Return the greatest resident size that the process ever had, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def forget_peak(self) -> None:
        """Let the greatest resident size begin anew with the present one, where that may be."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def stored(self, image_id: str = "") -> list[str]:
        """Return the names of what the store's directory holds of an image, hidden things too."""
        return sorted(name for name in os.listdir(self.images) if image_id in name)

    # Talking to it.

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def connection(self, port: int | None = None) -> http.client.HTTPConnection:
        port = port or self.port
        if self.tls is not None:
            return http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=PATIENCE, context=self.tls
            )
        return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def socket(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return self.tls.wrap_socket(plain, server_hostname="127.0.0.1") if self.tls else plain

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> Answer:
        """Make one request over a connection of its own.

        :param body: bytes; an iterable of bytes, which goes chunked; or a value to send as JSON.
        :param port: another port than the usual one.
        """
        headers = dict(headers or {})
        if self.token is not None:
            headers.setdefault("X-Auth-Token", self.token)
        if isinstance(body, dict | list):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = self.connection(port)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def create(self, **fields: Any) -> str:
        """Create an image that is ready for data; return its id."""
        fields = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.request("POST", "/v2/images", fields)
        assert answer.status == 201, answer
        return str(answer.json["id"])

    def upload(self, image_id: str, data: bytes, **headers: str) -> Answer:
        return self.request("PUT", f"/v2/images/{image_id}/file", data, {**OCTETS, **headers})

    def image(self, data: bytes, **fields: Any) -> str:
        """Create an image with data; return its id."""
        image_id = self.create(**fields)
        assert self.upload(image_id, data).status == 204
        return image_id

    def download(self, image_id: str, **headers: str) -> Answer:
        return self.request("GET", f"/v2/images/{image_id}/file", headers=headers)

    def show(self, image_id: str) -> Any:
        answer = self.request("GET", f"/v2/images/{image_id}")
        assert answer.status == 200, answer
        return answer.json

    def status(self, image_id: str) -> str:
        return str(self.show(image_id)["status"])

    def await_status(self, image_id: str, status: str) -> None:
        eventually(lambda: self.status(image_id) == status, f"image {image_id} is {status}")
