"""Policy files are found where oslo.policy finds them, and missing ones are missed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glance.config import load
from glance.domain.errors import ConfigError
from glance.identity.policysource import PolicySource
from glance.identity.ruleset import RuleSet
from glance.identity.targets import NOTHING
from tests.unit.identity.doubles import caller


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start with an empty home, and options from nowhere."""
    for name in list(os.environ):
        if name.startswith(("OS_", "XDG_", "SNAP")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    etc = tmp_path / "etc"
    etc.mkdir()
    return etc


def source(etc: Path, options: str = "", default: str = "") -> PolicySource:
    path = etc / "glance-api.conf"
    text = f"[DEFAULT]\n{default}\n[database]\nconnection = sqlite://\n[oslo_policy]\n{options}\n"
    path.write_text(text)
    return PolicySource.of(load("glance-api", ["--config-file", str(path)]).conf)


def roles(rules: RuleSet, *names: str) -> list[bool]:
    """Tell which roles the rule ``get_images`` lets."""
    asked = [rules.answer("get_images", NOTHING, caller(name).identity, False) for name in names]
    assert all(isinstance(answer, bool) for answer in asked)
    return asked  # type: ignore[return-value]


def test_without_files_the_defaults_count(etc: Path) -> None:
    rules = source(etc).thd_load()
    assert rules.files == () and rules.warnings == ()
    assert roles(rules, "reader", "a") == [True, False]


def test_the_file_is_found_beside_the_configuration(etc: Path, home: Path) -> None:
    (home / "policy.yaml").write_text("get_images: role:home\n")
    found = source(etc)
    assert found.thd_load().files == (str(home / "policy.yaml"),)
    (etc / "policy.yaml").write_text("get_images: role:a\n")
    rules = found.thd_load()
    assert rules.files == (str(etc / "policy.yaml"),)
    assert roles(rules, "reader", "a", "home") == [False, True, False]


def test_directories_come_after_the_file_in_the_order_of_names(etc: Path) -> None:
    for name, role in (("2.yaml", "b"), ("1.json", "a"), (".3.yaml", "hidden")):
        path = etc / "policy.d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"get_images: role:{role}\n")
    (etc / "policy.d" / "sub").mkdir()
    (etc / "policy.yaml").write_text("get_images: role:c\nget_image: role:c\n")
    rules = source(etc).thd_load()
    names = ["policy.yaml", "policy.d/1.json", "policy.d/2.yaml"]
    assert rules.files == tuple(str(etc / name) for name in names)
    assert roles(rules, "a", "b", "c", "hidden") == [False, True, False, False]


def test_several_directories(etc: Path) -> None:
    for name in ("one", "two"):
        (etc / name).mkdir()
        (etc / name / "p.yaml").write_text(f"get_images: role:{name}\n")
    options = f"policy_dirs = {etc}/two\npolicy_dirs = one\npolicy_dirs = gone\n"
    assert roles(source(etc, options).thd_load(), "one", "two") == [True, False]


@pytest.mark.parametrize("name", ["mine.yaml", "policy.yaml", "/gone/policy.yaml"])
def test_a_file_that_is_named_has_to_be_there(etc: Path, name: str) -> None:
    (etc / "policy.json").write_text("{}")
    with pytest.raises(ConfigError) as caught:
        source(etc, f"policy_file = {name}").thd_load()
    assert caught.value.message.startswith(f"[oslo_policy]policy_file = '{name}': there is no such")


def test_a_broken_file_is_named_with_its_line(etc: Path) -> None:
    (etc / "policy.yaml").write_text("a: role:b\nget_image: role\n")
    with pytest.raises(ConfigError, match=f"^Policy file {etc}/policy.yaml line 2: "):
        source(etc).thd_load()


def test_the_file_of_old_is_read_where_there_is_no_newer_one(etc: Path) -> None:
    text = (Path(__file__).parent / "policy-18.json").read_text()
    (etc / "policy.json").write_text(text)
    rules = source(etc).thd_load()
    assert rules.files == (str(etc / "policy.json"),)
    (warning,) = rules.warnings
    assert f"the policy rules are those of {etc}/policy.json" in warning
    assert roles(rules, "anything") == [True]
    named = source(etc, "policy_file = policy.json").thd_load()
    assert named.files == rules.files and named.warnings == ()
    (etc / "policy.yaml").write_text("")
    assert source(etc).thd_load().files == (str(etc / "policy.yaml"),)


@pytest.mark.parametrize(
    ("name", "options", "checked"),
    [
        ("policy.yaml", "", False),
        ("policy.yaml", "enforce_new_defaults = false", True),
        ("policy.json", "", True),
        ("policy.d/old.json", "", True),
    ],
)
def test_owners_are_checked_where_rules_are_of_old(
    etc: Path, name: str, options: str, checked: bool
) -> None:
    (etc / "policy.d").mkdir()
    (etc / name).write_text('{"delete_image": ""}' if "json" in name else 'delete_image: ""')
    answer = (
        source(etc, options)
        .thd_load()
        .answer("delete_image", NOTHING, caller(project=None).identity, False)
    )
    assert answer is not checked


def test_other_options_are_heeded(etc: Path) -> None:
    (etc / "policy.yaml").write_text("mine: role:x\nget_images: rule:gone\n")
    found = source(etc, "policy_default_rule = mine\nenforce_scope = false", "admin_role = boss")
    rules = found.thd_load()
    assert roles(rules, "x", "y") == [True, False]
    boss = caller("boss").identity
    assert rules.answer("publicize_image", NOTHING, boss, False) is True
    system = caller("x", system_scope="all").identity
    assert rules.answer("get_images", NOTHING, system, False) is False


def test_what_the_files_look_like(etc: Path) -> None:
    found = source(etc)
    path = etc / "policy.yaml"
    stamps = [found.thd_stamp(), found.thd_load().stamp]
    path.write_text("get_images: role:a\n")
    stamps += [found.thd_stamp(), found.thd_load().stamp]
    path.write_text("get_images: role:ab\n")
    stamps += [found.thd_stamp(), found.thd_stamp()]
    (etc / "policy.d").mkdir()
    (etc / "policy.d" / "x").write_text("")
    stamps += [found.thd_stamp(), found.thd_load().stamp]
    assert stamps[::2] == stamps[1::2]
    assert len(set(stamps)) == 4
