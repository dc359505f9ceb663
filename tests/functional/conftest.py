"""Running services for the functional tests.

Most tests share one service of their pytest process and look after images of their own in it. When
they are done its log must hold no traceback: whatever clients do, nothing in it is unforeseen.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.replicator import Case, Sides
from tests.functional.server import PATIENCE, ROOT, Server

Refused = Callable[..., str]


def _checked(server: Server) -> Iterator[Server]:
    with server:
        yield server
        assert server.trouble() == []


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One service of one process, shared."""
    yield from _checked(Server())


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    """One service of one process for one test, which may kill it."""
    yield from _checked(Server())


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Start a service that cannot be started, by options; return what it says.

    Those of other groups than ``[DEFAULT]`` are named ``group__option``.
    """

    def refused(**options: object) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "XDG_"))}
        named = {name if "__" in name else f"default__{name}": v for name, v in options.items()}
        given = {f"OS_{name.upper()}": str(value) for name, value in named.items()}
        done = subprocess.run(
            [sys.executable, "-m", "glance.cmd.api", "--state-dir", str(tmp_path / "state")],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"OS_DEFAULT__BIND_PORT": "0"}
            | kept
            | given
            | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        lines = done.stderr.splitlines()
        assert lines[-1].startswith("ERROR: "), done.stderr
        return lines[-1].removeprefix("ERROR: ")

    return refused


@pytest.fixture
def server_with_workers() -> Iterator[Server]:
    """A parent with two worker processes for one test."""
    yield from _checked(Server(arguments=("--workers", "2")))


@pytest.fixture(scope="session")
def sides() -> Iterator[Sides]:
    """Two services for the replicator, shared."""
    with Sides() as sides:
        yield sides


@pytest.fixture
def case(sides: Sides, tmp_path: Path) -> Case:
    """A test's own images between the two."""
    return Case(sides, tmp_path)
