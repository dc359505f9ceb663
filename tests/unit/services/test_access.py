"""The files that say who may do what are read at start, and what is wrong with them is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glance.config import load
from glance.domain.errors import ConfigError
from glance.domain.protection import Protection
from glance.services import samples
from glance.services.access import thd_load_protection, thd_load_rules

SECTION = "[.*]\ncreate = {0}\nread = {0}\nupdate = {0}\ndelete = {0}\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OS_", "XDG_", "SNAP")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def read(tmp_path: Path, *options: str) -> Protection | None:
    path = tmp_path / "glance-api.conf"
    text = "\n".join(["[DEFAULT]", *options, "[database]", "connection = sqlite://", ""])
    path.write_text(text)
    conf = load("glance-api", ["--config-file", str(path)]).conf
    _, rules = thd_load_rules(conf)
    return thd_load_protection(conf, rules)


def test_nothing_is_protected_unless_a_file_is_named(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(tmp_path, "property_protection_file =") is None


def test_the_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "p.conf").write_text(SECTION.format("boss"))
    found = read(tmp_path, "property_protection_file = p.conf")
    assert found is not None
    assert found.guard(frozenset({"boss"}), lambda rule: False).can("read", "x")
    assert not found.guard(frozenset({"admin"}), lambda rule: True).can("read", "x")


def test_rules_may_be_the_operators_own(tmp_path: Path) -> None:
    (tmp_path / "p.conf").write_text(SECTION.format("mine"))
    options = ["property_protection_file = p.conf", "property_protection_rule_format = policies"]
    with pytest.raises(ConfigError, match="p.conf: section .* names a policy rule 'mine', which"):
        read(tmp_path, *options)
    (tmp_path / "policy.yaml").write_text("mine: role:boss\n")
    found = read(tmp_path, *options)
    assert found is not None
    assert found.guard(frozenset(), lambda rule: rule == "mine").can("update", "x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"^\[DEFAULT\]property_protection_file = 'p.conf': there is no such file"),
        (b"\xff", "^Property protection file .*/p.conf: is not text in UTF-8"),
        (b"x", "^Property protection file .*/p.conf line 1: a section must come before"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "p.conf").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, "property_protection_file = p.conf")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "p.conf").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        read(tmp_path, "property_protection_file = p.conf")


def test_samples_are_up_to_date() -> None:
    assert samples.main(["--check"]) == 0


def test_a_check_of_samples_tells_of_drift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert samples.main([str(tmp_path)]) == 0
    assert samples.main(["--check", str(tmp_path)]) == 0
    with (tmp_path / "policy.yaml").open("a") as file:
        file.write("#\n")
    assert samples.main(["--check", str(tmp_path)]) == 1
    assert "policy.yaml is not up to date; run: python -m" in capsys.readouterr().err
