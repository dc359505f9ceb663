"""A private Keystone for tests: the real one, in a process and virtual environment of its own.

It keeps its data in SQLite and is ready within a few seconds. ``keystone.identity`` is its API as
its first administrator sees it. What tests do there is seen by other tests: they make users and
projects of their own, and endpoints in regions of their own.

``python -m tests.services.keystone`` starts one to try things out with.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import signal
import socket
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from tests.services.identity import Identity, Login
from tests.services.servers import Server
from tests.venvs import virtual_environment

PROGRAM = Path(__file__).with_name("keystone_program.py")
ADMIN = "admin"
REGION = "RegionOne"


class Keystone(Server):
    """Keystone over SQLite with fernet tokens and one administrator."""

    name = "keystone"
    #: Seconds for which a token is valid that was asked for without saying how long.
    lifetime = 3600

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._template = directory / "template"

    @property
    def url(self) -> str:
        """The address without version, as ``auth_url`` and ``www_authenticate_uri`` want it."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def identity(self) -> Identity:
        """The API, as the administrator uses it."""
        return Identity(self.port, Login(ADMIN, ADMIN, project=ADMIN))

    def requests(self, target: str = "") -> list[str]:
        """Return the requests that were answered, oldest first: method, path and status.

        :param target: method and path, or the beginning of that.
        """
        lines = (self.data / "requests").read_text().splitlines()
        return [line for line in lines if line.startswith(target)]

    def binaries(self) -> None:
        self.venv = virtual_environment("keystone")

    def command(self) -> list[str]:
        python = str(self.venv / "bin" / "python")
        # -P: what stands beside the program is not Keystone's.
        place = [str(self.data), str(self.port)]
        return [python, "-P", str(PROGRAM), *place, ADMIN, str(self.lifetime)]

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v3")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def started(self, first: bool) -> None:
        if not first:
            return
        if not self._template.exists():
            # What two tests might otherwise make at once.
            self.identity.project("service")
            for kind in ("identity", "image", "image_remote"):
                self.identity.offer(kind)
            # Nobody else knows it yet, so its database is at rest.
            shutil.copytree(self.data, self._template)
        self.identity.endpoint("identity", f"{self.url}/v3", REGION)

    def initialise(self) -> None:
        if self._template.exists():
            shutil.copytree(self._template, self.data, dirs_exist_ok=True)

    def _twin(self, directory: Path) -> Self:
        twin = super()._twin(directory)
        twin._template = self._template
        return twin


def answers_at(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``python -m tests.services.keystone``: start one, say how to use it, wait for the end."""
    parser = argparse.ArgumentParser(description="Start a Keystone that lives until interrupted.")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--image", metavar="URL", help="of the image service in the catalogue")
    args = parser.parse_args(argv)
    # Ends by the signals that it is used to, but tidily.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="glance-keystone-") as directory:
        keystone = Keystone(Path(directory))
        keystone.port, keystone.lifetime = args.port, 24 * 3600
        keystone.binaries()
        if args.port and answers_at(args.port):
            parser.error(f"port {args.port} is in use")
        keystone.start()
        try:
            if args.image:
                keystone.identity.endpoint("image", args.image, REGION)
            service = keystone.identity.service().authtoken(keystone.url)
            admin = Login(ADMIN, ADMIN, project=ADMIN).environment(keystone.url, REGION)
            print("# The administrator, for clients:")
            print("\n".join(f"export {name}={value}" for name, value in admin.items()))
            print("\n# A service user, for configuration files:\n[keystone_authtoken]")
            print("\n".join(f"{name} = {value}" for name, value in service.items()), flush=True)
            while True:
                signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            keystone.stop()


if __name__ == "__main__":
    main()
