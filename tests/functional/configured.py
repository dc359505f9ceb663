"""A service with a configuration file that a test rewrites while it runs."""

from __future__ import annotations

import configparser
import socket
import subprocess
import sys
from typing import Any

from tests.functional.server import PATIENCE, Server


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class ConfiguredServer(Server):
    """``glance-api`` with ``glance-api.conf`` in its home directory.

    :param values: of ``[DEFAULT]``.
    """

    def __init__(self, values: dict[str, object] | None = None, **more: Any) -> None:
        super().__init__(port_options=(), **more)
        self.file = self.home / "glance-api.conf"
        self.values: dict[str, object] = {
            "bind_host": "127.0.0.1",
            "bind_port": free_port(),
            "transfer_heartbeat_interval": 1,
            **(values or {}),
        }
        for name in list(self._env):
            if name.startswith("OS_DEFAULT__"):
                del self._env[name]
        self.state.mkdir()
        self.write()
        command = [sys.executable, "-m", "glance.cmd.manage", "db", "sync"]
        subprocess.run(
            command, env=self._env, cwd=self.home, check=True, capture_output=True, timeout=PATIENCE
        )

    def write(self, **changed: object) -> None:
        """Write the file, with some values changed."""
        self.values |= changed
        parser = configparser.RawConfigParser()
        parser["DEFAULT"] = {name: str(value) for name, value in self.values.items()}
        parser["database"] = {"connection": f"sqlite:///{self.state}/glance.sqlite"}
        parser["glance_store"] = {"filesystem_store_datadir": str(self.images)}
        # It is replaced as a whole, as editors do.
        new = self.file.with_suffix(".new")
        with new.open("w") as file:
            parser.write(file)
        new.rename(self.file)

    def break_file(self) -> None:
        """Make the file one that cannot be used."""
        self.file.write_text("[DEFAULT]\nbind_port = many\n")
