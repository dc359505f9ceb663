"""Run ``glance-manage``, and see what it prints and how it exits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from glance.cmd import manage
from tests.functional.server import PATIENCE, ROOT


class Outcome(NamedTuple):
    """How a run ended."""

    code: int
    out: list[str]
    err: list[str]


Run = Callable[..., Outcome]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    """Return what runs the program in this process; it finds no configuration file.

    :param home: an empty directory.
    """
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))

    def call(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["glance-manage", *words])
        with pytest.raises(SystemExit) as caught:
            manage.main()
        captured = capsys.readouterr()
        code = caught.value.code
        assert isinstance(code, int)
        return Outcome(code, captured.out.splitlines(), captured.err.splitlines())

    return call


def configured(run: Run, path: Path, url: str) -> Run:
    """Make runs use a configuration file that names a database."""
    path.write_text(f"[database]\nconnection = {url}\n")
    return lambda *words: run("--config-file", str(path), *words)


def child(home: Path, configuration: Path) -> Run:
    """Return what runs the program as a process of its own.

    :param home: of whoever runs it.
    :param configuration: the file that it reads.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OS_", "XDG_"))
    }
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "glance.cmd.manage", "--config-file", str(configuration)]

    def call(*words: str) -> Outcome:
        done = subprocess.run(
            [*command, *words],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Outcome(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())

    return call
