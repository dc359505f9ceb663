"""The OpenStack Glance project's own service, in a process and virtual environment of its own.

It is here to leave databases and file stores for ours to adopt, and to take them back. Who asks is
what a request's headers say, as behind its Keystone middleware; nothing else is switched off.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from tests.functional.server import Answer
from tests.services.servers import Server
from tests.venvs import virtual_environment

PROGRAM = Path(__file__).with_name("original_program.py")
PATIENCE = 60.0

#: The drivers that it knows for our URLs.
_DRIVERS = {"postgresql+psycopg": "postgresql+psycopg2"}


#: Who asks: the roles of each, whose project and user have the same name.
CALLERS = {
    "admin": ("admin", "member", "reader"),
    "alice": ("member", "reader"),
    "bob": ("member", "reader"),
}


class Original(Server):
    """One release of it, over a database and two file stores, ``fast`` and ``slow``.

    :param directory: where it keeps everything.
    :param url: of the database, as our own configuration has it.
    :param flavor: of ``[paste_deploy]``.
    :param settings: options of ``[DEFAULT]``; may be changed before a start.
    """

    name = "original"

    def __init__(self, directory: Path, url: str, *, flavor: str = "", **settings: object) -> None:
        super().__init__(directory)
        self.flavor = flavor
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        self.url = parsed.render_as_string(hide_password=False)
        self.settings = settings

    @property
    def configuration(self) -> Path:
        """The configuration file, which ours can read too."""
        return self.data / "glance-api.conf"

    def store(self, name: str) -> Path:
        """The directory of one of its stores."""
        return self.data / name

    def binaries(self) -> None:
        self.venv = virtual_environment("original")
        self.directory.mkdir(exist_ok=True)

    def initialise(self) -> None:
        for name in ("fast", "slow", "staging", "tasks", "cache", "locks"):
            (self.data / name).mkdir()
        # Its own file, but for the one filter.
        paste = (self.venv / "etc/glance/glance-api-paste.ini").read_text()
        paste = paste.replace(" unauthenticated-context ", " context ")
        (self.data / "glance-api-paste.ini").write_text(paste)
        (self.data / "policy.yaml").touch()
        self.configure()
        self.manage("db", "sync")

    def configure(self, **settings: object) -> None:
        """Write the configuration file.

        :param settings: options of ``[DEFAULT]`` to change.
        """
        self.settings |= settings
        defaults = {
            "log_file": f"{self.data}/glance.log",
            "enabled_backends": "fast:file,slow:file",
            "enabled_import_methods": "[glance-direct,copy-image]",
            "node_staging_uri": f"file://{self.data}/staging",
            "image_cache_dir": f"{self.data}/cache",
            **self.settings,
        }
        sections: dict[str, dict[str, object]] = {
            "DEFAULT": defaults,
            "database": {"connection": self.url.replace("$", "$$")},
            "glance_store": {"default_backend": "fast"},
            "fast": {"filesystem_store_datadir": self.store("fast")},
            "slow": {"filesystem_store_datadir": self.store("slow")},
            "os_glance_staging_store": {"filesystem_store_datadir": self.store("staging")},
            "os_glance_tasks_store": {"filesystem_store_datadir": self.store("tasks")},
            "oslo_concurrency": {"lock_path": self.data / "locks"},
            "oslo_policy": {"policy_file": self.data / "policy.yaml"},
            "paste_deploy": {
                "config_file": self.data / "glance-api-paste.ini",
                "flavor": self.flavor,
            },
        }
        lines = []
        for section, options in sections.items():
            lines += [f"[{section}]", *(f"{name} = {value}" for name, value in options.items())]
        self.configuration.write_text("\n".join(lines) + "\n")

    def manage(self, *words: str) -> list[str]:
        """Run its ``glance-manage``; return what that prints."""
        done = subprocess.run(
            [self.venv / "bin/glance-manage", "--config-file", self.configuration, *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def command(self) -> list[str]:
        environment = [f"{name}={value}" for name, value in self._environment().items()]
        python = str(self.venv / "bin/python")
        # -P: what stands beside the program is not what it is to import.
        return ["env", "-i", *environment, python, "-P", str(PROGRAM), str(self.port)]

    def _environment(self) -> dict[str, str]:
        # Nothing that is set for ours; its own Python finds what belongs to it.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OS_", "GLANCE_", "PYTHON"))
        }
        return {**kept, "OS_GLANCE_CONFIG_DIR": str(self.data), "HOME": str(self.data)}

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.request("admin", "GET", "/v2/images?limit=1").status == 200
        return False

    def request(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one request.

        :param who: one of the callers.
        :param body: bytes, or a value to send as JSON.
        """
        identity = {
            "X-Identity-Status": "Confirmed",
            "X-Roles": ",".join(CALLERS[who]),
            "X-Project-Id": who,
            "X-User-Id": who,
        }
        headers = {**identity, **(headers or {})}
        if isinstance(body, dict | list):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
