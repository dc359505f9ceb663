"""Who may do what to which image by the default rules, and what is told to those who may not."""

from __future__ import annotations

from typing import Any

import pytest

from glance.domain.errors import Forbidden, NotFound
from glance.domain.image import VISIBILITIES
from glance.identity.authentication import ADMINISTRATOR, NoAuthentication
from glance.identity.context import Identity, RequestContext
from glance.identity.policy import Policy
from tests.unit.identity.doubles import IMAGE, caller, image, make_policy

OWN, PUBLIC, COMMUNITY, SHARED, PRIVATE = (
    image(),
    image("public", owner="other"),
    image("community", owner="other"),
    image("shared", owner="other"),
    image("private", owner="other"),
)
IMAGES = (OWN, PUBLIC, COMMUNITY, SHARED, PRIVATE)

CALLERS = {
    "admin": caller("admin", "member", "reader"),
    "member": caller("member", "reader", user_id="u"),
    "reader": caller("reader", user_id="u"),
    "member of another project": caller("member", "reader", project="another"),
    "service": caller("service", project="services"),
    "role of another service": caller("creator"),
    "nobody": RequestContext("req-1", read_only=True),
    "admin of the system": caller("admin", "reader", project=None, system_scope="all"),
    "admin of a domain": caller("admin", "reader", project=None, domain_id="d"),
    "member by another name": caller("_member_"),
    "nobody is told apart": NoAuthentication().authenticate(None, "req-1", "GET", "/"),
}

#: For each rule and caller what becomes of one's own, a public, a community, a shared and another
#: project's private image: done (+), forbidden (-) or not there (.).
TABLE = """
rule                  admin member reader another service nobody
get_image             +++++ ++++.  ++++.  .+++.   .....   .....
download_image        +++++ ++++.  ----.  .+++.   .....   .....
download_from_store   +++++ ++++.  ----.  .+++.   .....   .....
delete_image          +++++ +---.  ----.  .---.   .....   .....
modify_image          +++++ +---.  ----.  .---.   .....   .....
upload_image          +++++ +---.  ----.  .---.   .....   .....
deactivate            +++++ +---.  ----.  .---.   .....   .....
reactivate            +++++ +---.  ----.  .---.   .....   .....
publicize_image       +++++ ----.  ----.  .---.   .....   .....
communitize_image     +++++ +---.  ----.  .---.   .....   .....
get_image_location    +++++ +---.  +---.  .---.   .....   .....
set_image_location    +++++ +---.  ----.  .---.   .....   .....
delete_image_location +++++ ----.  ----.  .---.   .....   .....
add_image_location    +++++ +---.  ----.  .---.   +++++   .....
fetch_image_location  +++++ ----.  ----.  .---.   +++++   .....
copy_image            +++++ ----.  ----.  .---.   .....   .....
add_member            +++++ +---.  ----.  .---.   .....   .....
delete_member         +++++ +---.  ----.  .---.   .....   .....
get_members           +++++ +--+.  +--+.  .--+.   .....   .....
get_member            +++++ +--+.  +--+.  .--+.   .....   .....
modify_member         +++++ ---+.  ----.  .--+.   .....   .....
"""

COLUMNS = {
    "admin": ["admin", "nobody is told apart"],
    "member": ["member"],
    "reader": ["reader"],
    "another": ["member of another project"],
    "service": ["service"],
    "nobody": [
        "nobody",
        "role of another service",
        "member by another name",
        "admin of the system",
        "admin of a domain",
    ],
}


def cells() -> list[Any]:
    head, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return [
        pytest.param(row[0], name, expected, id=f"{row[0]}-{name}")
        for row in rows
        for column, expected in zip(head[1:], row[1:], strict=True)
        for name in COLUMNS[column]
    ]


def outcome(policy: Policy, context: RequestContext, rule: str, thing: Any) -> str:
    try:
        policy.check(context, rule, thing)
    except NotFound as error:
        assert error.message == f"No image found with ID {IMAGE}."
        return "."
    except Forbidden as error:
        assert error.message == f"You are not authorized to complete {rule} action."
        return "-"
    return "+"


@pytest.mark.parametrize(("rule", "name", "expected"), cells())
def test_who_may_do_what_to_which_image(rule: str, name: str, expected: str) -> None:
    policy, context = make_policy(), CALLERS[name]
    assert "".join(outcome(policy, context, rule, thing) for thing in IMAGES) == expected
    for thing, allowed in zip(IMAGES, expected, strict=True):
        assert policy.permits(context, rule, thing) is (allowed == "+")


@pytest.mark.parametrize("name", CALLERS)
def test_a_page_shows_what_single_checks_let_see(name: str) -> None:
    policy, context = make_policy(), CALLERS[name]
    things = [image(v, owner) for v in VISIBILITIES for owner in ("p", "other", None)]
    seen = [thing for thing in things if outcome(policy, context, "get_image", thing) == "+"]
    assert policy.visible(context, things) == seen


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("get_images", ["admin", "member", "reader", "member of another project"]),
        ("get_metadef_namespaces", ["admin", "member", "reader", "member of another project"]),
        ("tasks_api_access", ["admin"]),
        ("cache_list", ["admin"]),
        ("stores_info_detail", ["admin", "service"]),
    ],
)
def test_what_is_done_to_no_image(rule: str, names: list[str]) -> None:
    policy = make_policy()
    allowed = [n for n, c in CALLERS.items() if outcome(policy, c, rule, None) == "+"]
    assert allowed == [*names, "nobody is told apart"]


# --- Creating


@pytest.mark.parametrize(
    ("name", "owner", "visibility", "said"),
    [
        ("admin", "p", "public", None),
        ("admin", "other", "private", None),
        ("admin", None, "private", None),
        ("nobody is told apart", None, "public", None),
        ("member", "p", "private", None),
        ("member", "p", "community", None),
        ("member", "p", "public", "complete publicize_image action"),
        ("member", "other", "private", "create an image owned by other"),
        ("member", "other", "shared", "create an image owned by other"),
        ("member", None, "private", "create an image owned by None"),
        ("reader", "p", "private", "complete add_image action"),
        ("service", "services", "private", "complete add_image action"),
        ("nobody", None, "private", "complete add_image action"),
        ("admin of the system", None, "private", "complete add_image action"),
    ],
)
def test_creating(name: str, owner: str | None, visibility: str, said: str | None) -> None:
    policy, thing = make_policy(), image(visibility, owner)
    if said is None:
        policy.check_create(CALLERS[name], thing)
    else:
        with pytest.raises(Forbidden, match=f"^You are not authorized to {said}\\.$"):
            policy.check_create(CALLERS[name], thing)


def test_creating_for_others_where_a_file_lets_one() -> None:
    open_file = {"add_image": "role:member"}
    make_policy(open_file).check_create(CALLERS["member"], image(owner="other"))
    with pytest.raises(Forbidden, match="owned by other"):
        make_policy(open_file, owner_checks=True).check_create(
            CALLERS["member"], image(owner="other")
        )


# --- Other targets


def test_any_target() -> None:
    policy, member = make_policy(), CALLERS["member"]
    for target, allowed in (
        ({"project_id": "p", "visibility": "private"}, True),
        ({"project_id": "other", "visibility": "public"}, True),
        ({"project_id": "other", "visibility": "private"}, False),
        ({}, False),
    ):
        assert policy.allows(member, "get_metadef_namespace", target) is allowed
    policy.check_target(member, "get_metadef_namespace", {"project_id": "p"})
    with pytest.raises(Forbidden, match="get_metadef_namespace"):
        policy.check_target(member, "get_metadef_namespace", {})


def test_rules_of_the_operators_own() -> None:
    policy = make_policy({"mine": "role:member", "of_image": "project_id:%(project_id)s"})
    assert policy.holds(CALLERS["member"], "mine")
    assert not policy.holds(CALLERS["reader"], "mine")
    assert not policy.holds(CALLERS["admin"], "gone")
    assert not policy.holds(CALLERS["member"], "of_image")


def test_a_rule_that_is_not_there_is_a_bug() -> None:
    with pytest.raises(KeyError):
        make_policy().check(CALLERS["admin"], "get_imag")


# --- Administrators


def test_who_is_an_administrator() -> None:
    policy = make_policy()
    assert policy.is_admin(ADMINISTRATOR)
    assert policy.is_admin(Identity(roles=frozenset({"admin"})))
    assert policy.is_admin(CALLERS["admin of the system"].identity)
    assert not policy.is_admin(CALLERS["member"].identity)
    boss = make_policy({"context_is_admin": "role:boss and project_id:p"})
    assert boss.is_admin(caller("boss").identity)
    assert not boss.is_admin(caller("boss", project="other").identity)
    assert not boss.is_admin(caller("admin").identity)


def test_who_is_told_apart_from_nobody_passes_whatever_makes_an_administrator() -> None:
    policy = make_policy({"context_is_admin": "role:boss"})
    context = CALLERS["nobody is told apart"]
    assert outcome(policy, context, "publicize_image", PUBLIC) == "+"
    assert outcome(policy, CALLERS["admin"], "publicize_image", PRIVATE) == "+"
    plain = caller("admin", admin=False)
    assert outcome(policy, plain, "publicize_image", PUBLIC) == "."


# --- Former rules


def test_former_defaults_let_changes_be_the_owners_alone() -> None:
    policy = make_policy(new_defaults_only=False, owner_checks=True)
    nameless = caller("_member_")
    for rule in ("modify_image", "delete_image", "upload_image", "deactivate", "add_member"):
        assert [outcome(policy, nameless, rule, thing) for thing in IMAGES] == ["+", *"----"], rule
    assert [outcome(policy, nameless, "get_image", thing) for thing in IMAGES] == ["+"] * 5
    assert outcome(policy, nameless, "publicize_image", OWN) == "-"
    policy.check_create(nameless, OWN)
    with pytest.raises(Forbidden, match="owned by other"):
        policy.check_create(nameless, PRIVATE)


def test_a_role_is_named_in_any_case() -> None:
    policy = make_policy({"get_image": "role:AuditoR"})
    assert outcome(policy, caller("auditor"), "get_image", PRIVATE) == "+"
