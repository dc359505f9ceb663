"""Answers are those of oslo.policy, whatever is asked by whom about what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_policy import _checks, policy

from glance.domain.image import VISIBILITIES, Image
from glance.identity.answers import CREDENTIALS
from glance.identity.checks import parse
from glance.identity.context import Identity
from glance.identity.merging import merge
from glance.identity.rules import RULES, list_rules
from glance.identity.ruleset import RuleSet, make_credentials
from glance.identity.targets import IMAGES, MAPPINGS, NOTHING, Kind
from tests.unit.identity.doubles import caller, file_rules, image, rule_set

# --- Any rules, callers and targets

#: Few words, so that those of callers, targets and checks meet.
WORDS = ("p", "P", "", "50%")
NAMES = ("project_id", "owner", "member_id", "visibility", "os_x")
word = st.sampled_from(WORDS)

templates = st.one_of(
    st.sampled_from(NAMES).map("%({})s".format),
    st.sampled_from([w.replace("%", "%%") for w in WORDS]),
    st.sampled_from(["%(owner)s%%", "%(os_x)sp", "%(owner)s%(os_x)s", "%%(owner)s", "%(size)s0%%"]),
)
credentials = st.sampled_from([*CREDENTIALS, "user_id", "project_id", "is_admin", "x"])
literals = st.sampled_from(["'shared'", "'p'", "''", "True", "None", "50"])
atoms = st.one_of(
    st.sampled_from(["@", "!", "rule:first", "rule:context_is_admin"]),
    st.just("rule:gone"),
    templates.map("role:{}".format),
    st.tuples(credentials, templates).map(":".join),
    st.tuples(literals, templates).map(":".join),
)
checks = st.recursive(
    atoms,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' and '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' or '.join(parts)})"),
    ),
    max_leaves=6,
)
maybe = st.one_of(st.none(), word)
roles = st.frozensets(word.map(str.lower), max_size=2)
identities = st.builds(
    Identity,
    user_id=maybe,
    user_domain_id=maybe,
    project_id=maybe,
    project_domain_id=maybe,
    domain_id=st.one_of(st.none(), st.none(), word),
    system_scope=st.one_of(st.none(), st.none(), st.just("all")),
    roles=roles,
    service_roles=roles,
    service_user_id=maybe,
    service_project_id=maybe,
    is_admin_project=st.booleans(),
)
images = st.builds(
    Image,
    id=word,
    owner=maybe,
    visibility=st.sampled_from(VISIBILITIES),
    size=st.one_of(st.none(), st.just(5)),
    properties=st.dictionaries(st.sampled_from([*NAMES, "tags"]), maybe, max_size=4),
)
targets = st.one_of(
    st.tuples(st.just(IMAGES), images),
    st.tuples(st.just(MAPPINGS), st.dictionaries(st.sampled_from(NAMES), maybe)),
    st.tuples(st.just(NOTHING), st.none()),
)


def ours(rules: RuleSet, name: str, kind: Kind, target: Any, who: Identity, admin: bool) -> bool:
    answer = rules.answer(name, kind, who, admin)
    return answer if isinstance(answer, bool) else answer(target)


def theirs(rules: RuleSet, name: str, kind: Kind, target: Any, who: Identity, admin: bool) -> bool:
    fields = {field: getattr(who, field) for field in CREDENTIALS.values()}
    credentials = make_credentials(fields, CREDENTIALS, admin)
    attributes = kind.mapping(target, who.project_id)
    rules.enforcer.registered_rules = REGISTERED
    return bool(rules.enforcer.enforce(name, attributes, credentials))


REGISTERED = {rule.name: rule for rule in list_rules()}
ADMIN = "is_admin:True or role:p"


@settings(max_examples=300)
@given(first=checks, second=checks, target=targets, who=identities, admin=st.booleans())
def test_answers_are_those_of_oslo_policy(
    first: str, second: str, target: tuple[Kind, Any], who: Identity, admin: bool
) -> None:
    # The first one cannot refer to itself, nor the second by way of it.
    first = first.replace("rule:first", "role:p").replace("rule:gone", "user_id:p")
    texts = {"default": "user_id:%(owner)s", "context_is_admin": ADMIN}
    texts |= {"first": first, "get_image": second}
    rules = RuleSet({name: parse(text) for name, text in texts.items()})
    for name in ("first", "get_image"):
        expected = theirs(rules, name, *target, who, admin)
        for _ in range(2):
            assert ours(rules, name, *target, who, admin) is expected


@given(name=st.sampled_from(sorted(RULES)), image=images, who=identities, admin=st.booleans())
def test_default_answers_are_those_of_oslo_policy(
    name: str, image: Image, who: Identity, admin: bool
) -> None:
    for rules in (DEFAULTS, FORMER_DEFAULTS):
        for target in ((IMAGES, image), (NOTHING, None)):
            expected = theirs(rules, name, *target, who, admin)
            assert ours(rules, name, *target, who, admin) is expected


DEFAULTS = rule_set()
FORMER_DEFAULTS = rule_set(new_defaults_only=False, owner_checks=True)


# --- One by one


def test_answers_are_kept_for_callers_that_make_no_difference() -> None:
    rules = rule_set()
    first = rules.answer("get_image", IMAGES, caller("reader", user_id="a").identity, False)
    again = rules.answer("get_image", IMAGES, caller("reader", user_id="b").identity, False)
    other = rules.answer("get_image", IMAGES, caller("reader", project="q").identity, False)
    assert callable(first) and first is again and first is not other


def test_a_rule_without_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        rule_set().answer("get_imag", IMAGES, Identity(), False)


def test_no_property_passes_for_a_field() -> None:
    rules = rule_set({"get_image": "project_id:%(project_id)s or project_id:%(member_id)s"})
    who = caller("member", project="p").identity
    forged = {"project_id": "p", "owner": "p", "member_id": "p"}
    for owner in ("other", None):
        thing = image("private", owner=owner, properties=dict(forged))
        assert not ours(rules, "get_image", IMAGES, thing, who, False)
        assert not theirs(rules, "get_image", IMAGES, thing, who, False)


def test_nobody_without_a_project_owns_what_has_no_owner() -> None:
    rules = rule_set({"get_image": "project_id:%(owner)s or project_id:%(project_id)s"})
    nobody = caller("member", project=None).identity
    assert not ours(rules, "get_image", IMAGES, image(owner=None), nobody, False)


def test_a_name_that_is_not_defined_means_the_default_rule() -> None:
    rules = rule_set({"default": "user_id:%(owner)s", "get_image": "not rule:gone"})
    for user, expected in (("p", False), ("q", True), (None, True)):
        who = caller(user_id=user).identity
        assert ours(rules, "get_image", IMAGES, image(), who, False) is expected


@pytest.mark.parametrize(
    ("visibility", "owner", "expected"),
    [("shared", "other", True), ("shared", "p", False), ("private", "other", False)],
)
def test_a_member_is_who_sees_a_shared_image_of_others(
    visibility: str, owner: str, expected: bool
) -> None:
    # The check looks at no credential, but what it looks at depends on who asks.
    rules = rule_set({"get_image": "'p':%(member_id)s"})
    thing = image(visibility, owner)
    assert ours(rules, "get_image", IMAGES, thing, caller(project="p").identity, False) is expected
    assert not ours(rules, "get_image", IMAGES, thing, caller(project="q").identity, False)
    assert not ours(rules, "get_image", IMAGES, thing, caller(project=None).identity, False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("created_at", "2026-01-02T00:00:00"),
        ("tags", "['a']"),
        ("min_ram", "3"),
        ("os_hidden", "False"),
        ("status", "queued"),
        ("hw:x", "y"),
    ],
)
def test_any_field_can_be_asked_about(name: str, text: str) -> None:
    moment = datetime(2026, 1, 2)
    thing = image(created_at=moment, tags=["a"], min_ram=3, properties={"hw:x": "y"})
    rules = rule_set({"get_image": f"user_id:%({name})s"})
    who = caller(user_id=text.replace("T", " ")).identity
    assert ours(rules, "get_image", IMAGES, thing, who, False)
    assert theirs(rules, "get_image", IMAGES, thing, who, False)


def test_where_the_data_is_cannot_be_asked_about() -> None:
    assert "locations" not in IMAGES.mapping(image(), "p")
    rules = rule_set({"get_image": "'[]':%(locations)s"})
    assert not ours(rules, "get_image", IMAGES, image(), Identity(), False)


class Odd(policy.Check):
    """What a plug-in of oslo.policy might bring along."""

    def __call__(self, target: Any, creds: Any, enforcer: Any, current_rule: Any = None) -> bool:
        assert current_rule == "get_image" and "get_image" in enforcer.rules
        return target["name"] == self.match and creds["user_id"] == "u"


class OldOdd(policy.Check):
    """The same, from before checks were told the rule."""

    def __call__(self, target: Any, creds: Any, enforcer: Any) -> bool:
        return target["name"] == self.match and creds["user_id"] == "u"


@pytest.mark.parametrize("kind", [Odd, OldOdd])
def test_checks_of_plug_ins_are_asked_anew_each_time(
    kind: type[policy.Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_checks.registered_checks, "odd", kind)
    rules = RuleSet(merge(file_rules({"get_image": "not odd:x or role:a"})).checks)
    mine, yours = caller(user_id="u").identity, caller(user_id="v").identity
    x, y = image(name="x"), image(name="y")
    asked = [ours(rules, "get_image", IMAGES, i, w, False) for i in (x, y) for w in (mine, yours)]
    assert asked == [False, True, True, True]
