"""Who may do what to metadata definitions, and what is told to those who may not."""

from __future__ import annotations

import pytest

from glance.domain.errors import Forbidden, NotFound
from glance.domain.metadefs.model import Namespace
from glance.identity.context import RequestContext
from glance.identity.rules_metadefs import METADEFS
from tests.unit.identity.doubles import caller, make_policy

OWN, PUBLIC, PRIVATE = (
    Namespace("own", "p"),
    Namespace("public", "other", "public"),
    Namespace("private", "other"),
)
RULES = [rule.name for rule in METADEFS if rule.name not in ("metadef_default", "metadef_admin")]
#: What is asked of the catalogue as a whole.
OF_ALL = ("get_metadef_namespaces", "list_metadef_resource_types")

READS = [rule for rule in RULES if rule.startswith(("get_", "list_")) and rule not in OF_ALL]
WRITES = [rule for rule in RULES if not rule.startswith(("get_", "list_"))]


def outcome(context: RequestContext, rule: str, namespace: Namespace | None) -> str:
    """Return + for yes, - for forbidden and . for not there."""
    try:
        make_policy().check_metadefs(context, rule, namespace)
    except Forbidden as error:
        assert rule in error.message
        return "-"
    except NotFound:
        return "."
    return "+"


def outcomes(context: RequestContext, rule: str) -> str:
    return "".join(outcome(context, rule, namespace) for namespace in (OWN, PUBLIC, PRIVATE))


CALLERS = {
    "admin": caller("admin", "member", "reader"),
    "member": caller("member", "reader"),
    "reader": caller("reader"),
    "service": caller("service", project="services"),
    "nobody": RequestContext("req-1", read_only=True),
}


@pytest.mark.parametrize("rule", READS)
def test_reading(rule: str) -> None:
    got = {who: outcomes(context, rule) for who, context in CALLERS.items()}
    assert got == {
        "admin": "+++", "member": "++.", "reader": "++.", "service": "...", "nobody": "...",
    }  # fmt: skip


@pytest.mark.parametrize("rule", WRITES)
def test_changing(rule: str) -> None:
    got = {who: outcomes(context, rule) for who, context in CALLERS.items()}
    assert got == {
        "admin": "+++", "member": "--.", "reader": "--.", "service": "...", "nobody": "...",
    }  # fmt: skip


@pytest.mark.parametrize("rule", OF_ALL)
def test_the_whole_catalogue(rule: str) -> None:
    got = {who: outcome(context, rule, None) for who, context in CALLERS.items()}
    assert got == {"admin": "+", "member": "+", "reader": "+", "service": ".", "nobody": "."}


def test_a_list_shows_what_may_be_seen() -> None:
    policy, every = make_policy(), [OWN, PUBLIC, PRIVATE]
    assert policy.visible_namespaces(CALLERS["admin"], every) == every
    assert policy.visible_namespaces(CALLERS["reader"], every) == [OWN, PUBLIC]
    assert policy.visible_namespaces(CALLERS["nobody"], every) == []


def test_a_new_namespace() -> None:
    policy, rule = make_policy(), "add_metadef_namespace"
    policy.check_new_namespace(CALLERS["admin"], rule, PRIVATE)
    for namespace in (OWN, PUBLIC, PRIVATE):
        with pytest.raises(Forbidden):
            policy.check_new_namespace(CALLERS["reader"], rule, namespace)
        with pytest.raises(NotFound):
            policy.check_new_namespace(CALLERS["service"], rule, namespace)


def test_a_rule_of_the_operators_own() -> None:
    policy = make_policy(
        {
            "add_metadef_namespace": "project_id:%(owner)s and not 'secret':%(namespace)s",
            "get_metadef_tags": "!",
        }
    )
    policy.check_new_namespace(CALLERS["member"], "add_metadef_namespace", OWN)
    for namespace in (PRIVATE, Namespace("secret", "p")):
        with pytest.raises(Forbidden):
            policy.check_new_namespace(CALLERS["member"], "add_metadef_namespace", namespace)
    with pytest.raises(Forbidden):
        policy.check_metadefs(CALLERS["admin"], "get_metadef_tags", OWN)
