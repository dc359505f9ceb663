"""Which checks are in force, and which files are refused or doubted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glance.domain.errors import ConfigError
from glance.identity.merging import OWNER_ONLY, merge
from glance.identity.rules import RULES
from glance.identity.targets import IMAGES
from tests.unit.identity.doubles import caller, file_rules, image, rule_set

RULES_18 = json.loads((Path(__file__).parent / "policy-18.json").read_text())


def test_a_file_replaces_defaults_and_the_last_one_counts() -> None:
    rules = [*file_rules({"get_image": "role:a", "own": "role:b"}), *file_rules({"own": "role:c"})]
    checks = merge(rules).checks
    assert str(checks["get_image"]) == "role:a"
    assert str(checks["own"]) == "role:c"
    assert str(checks["publicize_image"]) == "rule:context_is_admin"
    assert set(checks) == {*RULES, "own"}


def test_former_defaults_count_as_well_when_told_to() -> None:
    checks = merge(new_defaults_only=False).checks
    assert str(checks["get_image"]).endswith(" or rule:default)")
    assert str(checks["publicize_image"]) == "rule:context_is_admin"
    assert str(checks["get_task"]) == "rule:default"
    of_file = merge(file_rules({"get_image": "role:a"}), new_defaults_only=False).checks
    assert str(of_file["get_image"]) == "role:a"


def test_who_counts_as_an_administrator_does_so_in_rules() -> None:
    assert str(merge().checks["context_is_admin"]) == "(is_admin:True or role:admin)"
    of_file = merge(file_rules({"context_is_admin": "role:boss"})).checks
    assert str(of_file["context_is_admin"]) == "(is_admin:True or role:boss)"


def test_the_role_of_old_makes_administrators_too() -> None:
    rules = {"context_is_admin": "role:boss"}
    checks = merge(file_rules(rules), admin_role="Cloud%Admin").checks
    assert str(checks["context_is_admin"]).endswith("or role:boss or role:Cloud%%Admin)")
    asked = rule_set(rules, admin_role="Cloud%Admin")
    for role, expected in (("cloud%admin", True), ("boss", True), ("admin", False)):
        identity = caller(role).identity
        assert asked.answer("context_is_admin", IMAGES, identity, False) is expected


@pytest.mark.parametrize("name", sorted(OWNER_ONLY))
def test_changes_are_the_owners_where_rules_expect_that(name: str) -> None:
    open_rules = dict.fromkeys(OWNER_ONLY, "")
    of_another = image("public", owner="other")

    def may(owner_checks: bool, admin: bool = False) -> bool:
        rules = rule_set(open_rules, owner_checks=owner_checks)
        answer = rules.answer(name, IMAGES, caller("member").identity, admin)
        return answer if isinstance(answer, bool) else answer(of_another)

    assert may(owner_checks=False)
    assert not may(owner_checks=True)
    assert may(owner_checks=True, admin=True)


@pytest.mark.parametrize(
    ("rules", "line", "said"),
    [
        ({"a": "x:y", "b": "nonsense"}, 2, "'b' cannot be used: 'nonsense' is neither"),
        ({"get_image": "http://x"}, 1, "'get_image' cannot be used: checks of the kind http:"),
        ({"a": "rule:gone"}, 1, "'a' refers to a rule 'gone', which is not defined"),
        ({"a": "not rule:gone"}, 1, "refers to a rule 'gone'"),
        ({"a": "rule:a"}, 1, "'a' refers to itself, by way of a"),
        ({"a": "rule:b", "b": "x:y or rule:c", "c": "not rule:a"}, 1, "itself, by way of b and c"),
        ({"context_is_admin": "rule:metadef_admin"}, 1, "itself, by way of metadef_admin"),
        ({"default": "rule:gone"}, 1, "'default' refers to itself, by way of default"),
    ],
)
def test_rules_that_cannot_be_used(rules: dict[str, str], line: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        merge(file_rules(rules, "/etc/policy.yaml"))
    assert caught.value.message.startswith(f"Policy file /etc/policy.yaml line {line}: the check")
    assert said in caught.value.message


def test_a_name_that_is_not_defined_means_the_default_rule_of_a_file() -> None:
    found = merge(file_rules({"default": "role:a", "get_image": "rule:gone"}))
    assert [text.partition(": ")[2] for text in found.warnings] == [
        "rule 'get_image' refers to gone, which is not defined: default counts."
    ]
    merge(file_rules({"mine": "role:a", "get_image": "rule:gone"}), default_rule="mine")
    with pytest.raises(ConfigError):
        merge(file_rules({"default": "role:a", "get_image": "rule:gone"}), default_rule="mine")


def test_what_is_suspicious_is_told() -> None:
    rules = {"delete_image": "@", "get_image": "", "add_image": "rol:member or is_admin:True"}
    assert [text.partition(": ")[2] for text in merge(file_rules(rules)).warnings] == [
        "rule 'delete_image' lets everybody do this to every image that they can see.",
        "rule 'add_image' looks at a credential rol, which nobody ever has.",
    ]
    assert len(merge(file_rules(rules), owner_checks=True).warnings) == 1


def test_rules_that_nothing_asks_are_told_of() -> None:
    rules = {"delete_imag": "!", "mine": "role:a", "get_image": "not rule:mine", "copy_from": ""}
    place = "/etc/glance/policy.yaml line 1"
    expected = (f"Policy file {place}: nothing asks a rule 'delete_imag'.",)
    assert merge(file_rules(rules)).warnings == expected
    assert merge(file_rules(rules), own_rules=True).warnings == ()
    assert merge(file_rules({"x": "role:a"}), default_rule="x").warnings == ()


def test_the_file_of_release_18_loads_without_a_word() -> None:
    found = merge(file_rules(RULES_18), owner_checks=True)
    assert found.warnings == ()
    assert str(found.checks["add_image_location"]).startswith("(rule:service_api or ")
