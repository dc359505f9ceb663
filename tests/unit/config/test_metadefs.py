"""Where metadata definitions are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from glance.config import metadefs
from glance.domain.errors import NotFound

SOURCE = Path(__file__).parents[3] / "conf/metadefs"


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What stands for the directory in /etc; it does not exist."""
    path = tmp_path / "etc"
    monkeypatch.setattr(metadefs, "DIRECTORY", f"{path}/")
    return path


def test_what_is_configured(default: Path, tmp_path: Path) -> None:
    assert metadefs.thd_find_metadefs(str(tmp_path)) == tmp_path
    # Whoever names a place means it.
    assert metadefs.thd_find_metadefs("/nowhere") == Path("/nowhere")


def test_the_default_comes_before_what_came_along(default: Path) -> None:
    assert metadefs.thd_find_metadefs(f"{default}/") == SOURCE
    assert metadefs.thd_find_metadefs(str(default)) == SOURCE
    default.mkdir()
    assert metadefs.thd_find_metadefs(f"{default}/") == default


def test_a_default_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "x" * 300
    monkeypatch.setattr(metadefs, "DIRECTORY", name)
    assert metadefs.thd_find_metadefs(name) == SOURCE


@pytest.mark.parametrize("place", ["prefix", "target"])
def test_what_was_installed(
    default: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    package = tmp_path / "target/glance/__init__.py"
    monkeypatch.setattr(metadefs.glance, "__file__", str(package))
    monkeypatch.setattr(metadefs.sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(metadefs.sysconfig, "get_path", lambda *args: str(tmp_path / "data"))
    with pytest.raises(NotFound) as caught:
        metadefs.thd_find_metadefs(str(default))
    assert caught.value.message.startswith(
        f"No metadata definitions are found; looked for in: {default}, {tmp_path}/target/conf/meta"
    )
    installed = tmp_path / place / "etc/glance/metadefs"
    installed.mkdir(parents=True)
    assert metadefs.thd_find_metadefs(str(default)) == installed


def test_setup_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    import setuptools

    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **values: given.update(values))
    runpy.run_path(str(SOURCE.parents[1] / "setup.py"))
    ((place, files),) = given["data_files"]
    assert place == metadefs._INSTALLED
    assert {SOURCE.parents[1] / file for file in files} == set(SOURCE.iterdir())
