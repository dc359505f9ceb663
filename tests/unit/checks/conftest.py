"""Settings to be checked: a configuration file and a database in a temporary directory."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from glance.checks.results import Finding, Level
from glance.checks.setting import Setting
from glance.config import load
from glance.db import schema
from glance.db.engine import make_engine

NOW = datetime(2030, 5, 5, 12, 0)

MakeSetting = Callable[..., Setting]


def levels(findings: Iterable[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def bad(findings: Iterable[Finding]) -> list[str]:
    """The texts of what is not as it should be."""
    return [finding.text for finding in findings if finding.level is not Level.SUCCESS]


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OS_", "XDG_", "SNAP")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/glance.sqlite"


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on a database of this release's schema."""
    engine = make_engine(database)
    schema.thd_sync(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def make(tmp_path: Path, database: str) -> MakeSetting:
    """Make a setting from the text of a configuration file."""
    (tmp_path / "images").mkdir()

    def make(text: str = "", *, default_store: bool = True, patience: float = 60.0) -> Setting:
        lines = [text, f"[database]\nconnection = {database}"]
        if default_store:
            lines.append(f"[glance_store]\nfilesystem_store_datadir = {tmp_path}/images")
        path = tmp_path / "glance-api.conf"
        path.write_text("\n".join(lines) + "\n")
        argv = ["--config-file", str(path)]
        return Setting(load("glance-status", argv), NOW, patience, tuple(argv))

    return make
