"""Run ``glance-manage`` in the tests' own process, and see what it prints and how it exits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from glance.cmd import manage


class Outcome(NamedTuple):
    """How a run ended."""

    code: int
    out: list[str]
    err: list[str]


Run = Callable[..., Outcome]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    """Return what runs the program, which finds no configuration file.

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
