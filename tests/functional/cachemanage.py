"""``glance-cache-manage`` as a child process, and services with bad habits for it to ask."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cacheservice import CacheService
from tests.functional.server import PATIENCE, ROOT


class Manage:
    """Runs the program in an empty environment.

    :param home: where it finds nothing.
    :param environ: variables that it has.
    :param options: put before every command line.
    """

    def __init__(
        self, home: Path, environ: Mapping[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> None:
        self.home = home
        self.options = options
        self.environ = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OS_", "GLANCE_", "PYTEST"))
        }
        self.environ |= {"HOME": str(home), "PYTHONPATH": str(ROOT), **(environ or {})}

    def start(self, *argv: str, **more: Any) -> subprocess.Popen[str]:
        """Start it."""
        command = [sys.executable, "-m", "glance.cmd.cache_manage", *self.options, *argv]
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=self.environ,
            text=True,
            **{
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **more,
            },
        )

    def run(self, *argv: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end.

        :param said: on its standard input.
        """
        process = self.start(*argv)
        try:
            out, err = process.communicate(said, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"it did not end: {process.communicate()}") from None
        if "-d" not in argv:
            assert "Traceback" not in err, err
        assert "canary" not in out + err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def says(self, *argv: str, said: str = "") -> str:
        """Run it, have it succeed, and return what it printed."""
        done = self.run(*argv, said=said)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def fails(self, *argv: str, said: str = "", code: int = 1) -> list[str]:
        """Run it, have it fail, and return the lines that say why."""
        done = self.run(*argv, said=said)
        assert (done.returncode, done.stdout) == (code, ""), done
        return done.stderr.splitlines()


class Listener:
    """A service on a port of the loopback.

    :param service: what it says.
    :param tls: makes it speak TLS.
    """

    def __init__(self, service: CacheService, tls: ssl.SSLContext | None = None) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service, tls))
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_address[1]

    def __enter__(self) -> Listener:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(service: CacheService, tls: ssl.SSLContext | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            if tls is not None:
                self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answered, body = service.answer(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in answered.items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class Rude:
    """A port where something else listens.

    :param answer: what it says to whoever has said anything; ``None`` to say nothing at all.
    """

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._kept: list[socket.socket] = []

    def __enter__(self) -> Rude:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            if self._answer is None:
                self._kept.append(client)
                continue
            client.recv(65536)
            client.sendall(self._answer)
            client.close()

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake up who accepts.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._kept:
            client.close()
