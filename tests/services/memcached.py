"""A private memcached for tests."""

from __future__ import annotations

import shutil
import signal
import socket

from tests.services.servers import Server, missing


class Memcached(Server):
    """memcached over TCP."""

    name = "memcached"
    account = "nobody"
    # It has nothing to lose, and takes its time otherwise.
    stop_signal = signal.SIGKILL

    @property
    def address(self) -> str:
        """Host and port, as ``memcached_servers`` wants them."""
        return f"127.0.0.1:{self.port}"

    def binaries(self) -> None:
        if not shutil.which("memcached"):
            missing("memcached", "memcached")

    def command(self) -> list[str]:
        return ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "16"]

    def ask(self, command: str) -> list[str]:
        """Return the lines that answer a command of the text protocol, without the end mark.

        :raises OSError: when it does not answer.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\nquit\r\n".encode())
            with connection.makefile("r", newline="\r\n", encoding="latin-1") as answer:
                return [line for line in answer.read().splitlines() if line != "END"]

    def answers(self) -> bool:
        try:
            return self.ask("version")[0].startswith("VERSION ")
        except (OSError, IndexError):
            return False
