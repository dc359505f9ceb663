"""The field's own clients, unchanged, from the package index.

They live in a virtual environment of their own (``tests/venvs.py``); ``GLANCE_CLIENTS_VENV`` names
one that is there already. Tests take the fixtures of this module.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.venvs import virtual_environment

#: Does what the commands of a program do, in one process: each would take a second to start.
_COMMANDS = """
import contextlib, io, json, sys

def run(argv):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if sys.argv[1] == "glance":
            from glanceclient.shell import OpenStackImagesShell
            OpenStackImagesShell().main(argv)
        else:
            from openstackclient import shell
            status = shell.main(argv)
            assert not status, (argv, status, said.getvalue())
    return said.getvalue()

print(json.dumps([run(argv) for argv in json.loads(sys.argv[2])]))
"""


@dataclass(frozen=True)
class Clients:
    """Where the clients are, and where they leave what they write."""

    venv: Path
    home: Path

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> str:
        ran = subprocess.run(
            [self.venv / "bin" / program, *arguments],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{program} {arguments}: {ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def run_all(self, program: str, url: str, commands: Sequence[Sequence[str]]) -> list[str]:
        """Run commands of a program one after another; return what each printed.

        :param program: ``glance`` or ``openstack``.
        """
        options = {
            "glance": ["--os-image-url", url, "--os-auth-token", "none"],
            "openstack": ["--os-auth-type", "none", "--os-endpoint", url],
        }
        whole = json.dumps([[*options[program], *command] for command in commands])
        printed: list[str] = json.loads(self.run("python", "-", program, whole, stdin=_COMMANDS))
        return printed


@pytest.fixture(scope="session")
def venv() -> Path:
    return virtual_environment("clients")


@pytest.fixture
def clients(venv: Path, tmp_path: Path) -> Clients:
    return Clients(venv, tmp_path)
