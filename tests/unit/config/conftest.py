"""A home without configuration files and an environment without options for every test here."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from glance.config import Loaded, load

WriteFile = Callable[..., str]
LoadApi = Callable[..., Loaded]

DATABASE = "[database]\nconnection = sqlite://\n"


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OS_", "XDG_", "SNAP")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Write a configuration file with a database in it; return its path."""

    def write(text: str = "", name: str = "x.conf", database: str = DATABASE) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + database)
        return str(path)

    return write


@pytest.fixture
def api(tmp_path: Path) -> LoadApi:
    """Load the configuration of glance-api, looking for default files in no real place."""

    def api(*argv: str) -> Loaded:
        return load("glance-api", argv, directories=[tmp_path / "one", tmp_path / "two"])

    return api
