"""The declarations are the rules that operators know, and their sample file says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from glance.identity import checks
from glance.identity.policyfiles import thd_read
from glance.identity.policysample import sample
from glance.identity.rule import Rule
from glance.identity.rules import RULES, list_rules

TABLE = [
    line.split(" | ")
    for line in (Path(__file__).parent / "rules.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def test_every_rule_is_there_in_order() -> None:
    assert list(RULES) == [name for name, *_ in TABLE]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_a_rule_is_the_one_that_operators_know(row: list[str]) -> None:
    rule = RULES[row[0]]
    former = f"{rule.since} {rule.old_check or ''}".strip() if rule.since else "-"
    assert row[1:] == [
        " ".join(rule.scope_types) or "-",
        rule.check or "-",
        former,
        ", ".join(rule.operations) or "-",
    ]


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_rule_can_be_used_and_is_described(rule: Rule) -> None:
    assert checks.parse(rule.check) and checks.parse(rule.old_check or "")
    assert re.fullmatch(r"[A-Z][^\n]+\.", rule.description)
    assert (rule.since is None) == (rule.reason is None)


def test_oslo_policy_gets_the_same_rules() -> None:
    rules = {rule.name: rule for rule in list_rules()}
    assert list(rules) == list(RULES)
    assert rules["add_image"].deprecated_rule.check_str == "rule:default"
    assert rules["add_image"].deprecated_rule.deprecated_since == "W"
    assert rules["add_image"].operations == [{"method": "POST", "path": "/v2/images"}]
    assert rules["add_image"].scope_types == ["project"]
    assert rules["default"].scope_types is None
    assert rules["modify_task"].deprecated_for_removal


def test_the_sample_is_the_defaults_when_it_is_put_in_force(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(re.sub('(?m)^#"', '"', sample()))
    found = {rule.name: rule.text for rule in thd_read(str(path)).rules}
    assert found == {rule.name: rule.check for rule in RULES.values()}


def test_the_sample_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(sample())
    assert thd_read(str(path)).rules == ()
