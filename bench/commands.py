"""Commands from the outside: how long a service takes to answer, how long a program runs."""

import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from bench.processes import Tree
from bench.stats import Figures
from bench.wire import WireError, read_head

_PATIENCE = 120  # seconds a service may take to its first answer
_NGINX = """
daemon off; {processes}; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; root {files};
    location = /tiny {{ default_type application/json; return 200 '{{"images": []}}'; }} }}
}}
"""
_PROBE = b"GET /v2/schemas/image HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a server listens; tell whether it came to it, and did not end instead."""
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            if process.poll() is not None:
                return False
            time.sleep(0.05)
    return False


def nginx_command(folder: Path, files: Path, port: int, workers: int = 0) -> list[str]:
    """Return the command of an nginx that serves files.

    :param folder: where its own files are to be.
    :param workers: processes; 0 for one that does it all.
    """
    conf = folder / "nginx.conf"
    processes = f"worker_processes {workers}" if workers else "master_process off"
    conf.write_text(_NGINX.format(folder=folder, port=port, files=files, processes=processes))
    command = ["nginx", "-p", str(folder), "-c", str(conf)]
    if os.getuid() == 0:  # a worker would become "nobody" and could not read the files
        command += ["-g", "user root;"]
    return command


def stop(process: subprocess.Popen[bytes], patience: float = 20) -> None:
    """End a process started in a session of its own, and what it started there."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _tail(errors: IO[bytes]) -> str:
    """Return the last of what a command said on standard error; a report has little room."""
    errors.seek(0)
    return " ".join(errors.read().decode(errors="replace").split())[-120:]


def _answers(port: int, headers: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            sock.sendall(_PROBE + headers + b"\r\n")
            return read_head(sock).status == 200
    except (OSError, WireError):
        return False


def start_up(command: str, headers: bytes, settle: float = 1.5) -> Figures:
    """Run a foreground command and time it to its first 200; then read its idle memory.

    :param command: with ``{port}`` for the port to listen on, and ``{dir}`` for an empty folder.
    :param headers: that tell who asks.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, tempfile.TemporaryFile() as errors:
        line = command.replace("{port}", str(port)).replace("{dir}", shlex.quote(folder))
        began = time.perf_counter()
        process = subprocess.Popen(
            ["bash", "-c", "exec " + line],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            while not _answers(port, headers):
                ended = process.poll() is not None
                if ended or time.perf_counter() - began > _PATIENCE:
                    tail = _tail(errors)
                    what = f"ended with {process.returncode}" if ended else "no answer"
                    return {"start_s": None, "errors": [f"{what}: {tail}"]}
                time.sleep(0.01)
            took = time.perf_counter() - began
            tree = Tree([process.pid])
            cpu = tree.cpu()
            time.sleep(settle)
            rss, pss = tree.memory()
            return {
                "start_s": took,
                "start_cpu_s": cpu,
                "rss_mib": rss,
                "pss_mib": pss,
                "processes": tree.count(),
            }
        finally:
            stop(process)


def one_shot(command: str) -> Figures:
    """Run a command to its end and say what it took."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        figures: Figures = {
            "run_s": wall,
            "cpu_s": used.ru_utime + used.ru_stime,
            "max_rss_mib": used.ru_maxrss / 1024,
        }
        if process.returncode:
            figures["errors"] = [f"exit {process.returncode}: {_tail(errors)}"]
        return figures
