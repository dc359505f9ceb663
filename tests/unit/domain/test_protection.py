"""Which custom properties who may create, read, update and delete."""

from __future__ import annotations

from typing import Any

import pytest

from glance.domain import patch
from glance.domain.errors import ConfigError, Conflict, Forbidden
from glance.domain.image import Image
from glance.domain.patch import Operation
from glance.domain.protection import OPERATIONS, Guard, RuleFormat, parse_protection
from glance.domain.quotas import Quotas
from glance.domain.rendering import render_image
from glance.domain.schemas import ImageValidator, parse_create

ROLES = """
[^x_billing]
create = admin
read = admin, Member
update = admin
delete = admin

[secret$]
create = writer, admin
read = admin
update = writer, admin
delete = writer

[^x_frozen]
create = @
read = @
update = !
delete = !

[^plain]
create = @
read = @
update = @
delete = @
"""

POLICIES = """
[^x_]
create = context_is_admin
read = readers
update = context_is_admin
delete = context_is_admin
"""


def parse(text: str, rule_format: RuleFormat = "roles") -> Any:
    rules = ("context_is_admin", "readers")
    return parse_protection(text, "/etc/p.conf", rule_format, rules.__contains__)


def holds_nothing(rule: str) -> bool:
    raise AssertionError(rule)


def guard(*roles: str, text: str = ROLES) -> Guard:
    found: Guard = parse(text).guard(frozenset(roles), holds_nothing)
    return found


def letters(found: Guard, name: str) -> str:
    return "".join(op[0] for op in OPERATIONS if found.can(op, name))


@pytest.mark.parametrize(
    ("roles", "name", "allowed"),
    [
        (["admin"], "x_billing_code", "crud"),
        (["member"], "x_billing_code", "r"),
        (["MEMBER"], "x_billing_code", "r"),
        (["member", "writer"], "x_billing_code", "r"),
        (["reader"], "x_billing_code", ""),
        ([], "x_billing_code", ""),
        (["writer"], "my_secret", "cud"),
        (["writer"], "x_billing_secret", ""),
        (["admin"], "my_secret", "cru"),
        ([], "x_frozen", "cr"),
        (["admin"], "x_frozen", "cr"),
        ([], "plain", "crud"),
        (["admin"], "something_else", ""),
        (["admin"], "not_x_billing", ""),
        ([], "os_glance_anything", "crud"),
        ([], "my_os_glance", ""),
    ],
)
def test_roles(roles: list[str], name: str, allowed: str) -> None:
    found = guard(*roles)
    for _ in range(2):
        assert letters(found, name) == allowed


def test_the_operator_has_no_say_in_the_services_own() -> None:
    text = "[os_glance_x]\ncreate = nonsense\n[.*]\ncreate=!\nread=!\nupdate=!\ndelete=!\n"
    assert letters(guard(text=text), "os_glance_x") == "crud"
    assert letters(guard(text=text), "x_os_glance_x") == ""


def test_rules() -> None:
    protection = parse(POLICIES, "policies")
    asked: list[str] = []

    def holds(rule: str) -> bool:
        asked.append(rule)
        return rule == "readers"

    found = protection.guard(frozenset({"admin"}), holds)
    assert letters(found, "x_y") == "r"
    assert set(asked) == {"context_is_admin", "readers"}
    assert letters(found, "y") == ""
    assert letters(found, "os_glance_x") == "crud"
    # Nothing is kept of what one caller may: rules look at more than roles.
    assert letters(protection.guard(frozenset({"admin"}), lambda rule: False), "x_y") == ""


def test_what_a_caller_may_is_worked_out_once() -> None:
    protection = parse(ROLES)
    admin = frozenset({"admin"})
    assert protection.guard(admin, holds_nothing) is protection.guard(admin, holds_nothing)


def test_clients_cannot_make_it_remember_without_end() -> None:
    found = guard("admin")
    for n in range(10_000):
        assert found.readable({f"plain{n}": "", f"x{n}": ""}) == {f"plain{n}": ""}
    assert len(found._readable) < 5_000


SECTION = "[^x]\ncreate = a\nread = a\nupdate = a\ndelete = a\n"


@pytest.mark.parametrize(
    ("text", "rule_format", "said"),
    [
        ("[^x]\ncreate = a\nread = a\ndelete = a\n", "roles", "section [^x]: update is missing"),
        (SECTION.replace("read = a", "read ="), "roles", "section [^x]: read has no value"),
        (SECTION.replace("read = a", "read = ,"), "roles", "section [^x]: read has no value"),
        (SECTION.replace("read = a", "read = @,!"), "roles", "read says both @ (everybody) and !"),
        (SECTION.replace("^x", "x("), "roles", "section [x(]: its name is not a regular expr"),
        (SECTION, "policies", "create names a policy rule 'a', which does not exist"),
        (SECTION.replace("= a", "= readers,a"), "policies", "create must name one policy rule"),
        ("create = a\n" + SECTION, "roles", " line 1: a section must come before the first key"),
        (SECTION + "nonsense\n", "roles", " line 6: neither a section nor 'key = value'"),
        (SECTION * 2, "roles", " line 6: section [^x] stands there twice"),
        (SECTION + "read = b\n", "roles", " line 6: key read stands twice in section [^x]"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, rule_format: RuleFormat, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, rule_format)
    assert caught.value.message.startswith("Property protection file /etc/p.conf")
    assert said in caught.value.message


def test_nobody_beside_a_role_is_nobody() -> None:
    text = SECTION.replace("read = a", "read = a, !").replace("update = a", "update = a, @")
    assert letters(guard("a", text=text), "x") == "cud"
    assert letters(guard(text=text), "x") == "u"


def test_an_empty_file_protects_everything() -> None:
    assert letters(guard("admin", text=""), "x") == ""


# --- What comes of it

VALIDATOR = ImageValidator(["raw"], ["bare"])
MEMBER, WRITER, ADMIN = guard("member"), guard("writer"), guard("admin")


def test_creating() -> None:
    def create(body: dict[str, Any], found: Guard | None) -> Image:
        return parse_create(body, default_owner="p", validator=VALIDATOR, guard=found)

    body = {"name": "n", "tags": ["t"], "x_billing": "1", "plain": "2"}
    assert create(body, ADMIN).properties == {"x_billing": "1", "plain": "2"}
    assert create(body, None).properties == {"x_billing": "1", "plain": "2"}
    with pytest.raises(
        Forbidden, match="^Property 'x_billing' is protected: you may not create it.$"
    ):
        create(body, MEMBER)


def test_rendering() -> None:
    image = Image("i", properties={"x_billing": "1", "my_secret": "2", "plain": "3", "other": "4"})
    for found, shown in (
        (None, {"x_billing", "my_secret", "plain", "other"}),
        (ADMIN, {"x_billing", "my_secret", "plain"}),
        (MEMBER, {"x_billing", "plain"}),
        (WRITER, {"plain"}),
    ):
        body = render_image(image, guard=found)
        assert set(body) & image.properties.keys() == shown
        assert body["id"] == "i"


@pytest.mark.parametrize(
    ("found", "op", "name", "result"),
    [
        (ADMIN, "add", "x_billing", "new"),
        (ADMIN, "replace", "x_billing", "new"),
        (ADMIN, "remove", "x_billing", None),
        (MEMBER, "add", "x_billing", "update"),
        (MEMBER, "replace", "x_billing", "update"),
        (MEMBER, "remove", "x_billing", "delete"),
        (MEMBER, "add", "x_billing_new", "create"),
        (MEMBER, "replace", "x_billing_new", "update"),
        (ADMIN, "replace", "x_billing_new", Conflict),
        (ADMIN, "add", "x_frozen", "update"),
        (ADMIN, "add", "x_frozen_new", "new"),
        (WRITER, "add", "a_secret", "new"),
        # What one may not read one may not change, nor learn that it is not there.
        (WRITER, "add", "my_secret", "read"),
        (WRITER, "replace", "my_secret", "read"),
        (WRITER, "replace", "a_secret", "read"),
        (WRITER, "remove", "my_secret", "read"),
        (WRITER, "remove", "a_secret", "read"),
        (ADMIN, "remove", "my_secret", "delete"),
    ],
)
@pytest.mark.parametrize("exclusive", [False, True])
def test_patching(found: Guard, op: patch.Op, name: str, result: Any, exclusive: bool) -> None:
    image = Image("i", properties={"x_billing": "1", "my_secret": "2", "x_frozen": "3"})
    if exclusive and op == "add" and result == "new" and name in image.properties:
        result = Conflict
    value = None if op == "remove" else "new"
    operation = Operation(op, (name,), value, exclusive=exclusive and op == "add")

    def changed() -> Image:
        return patch.apply(
            image, [operation], is_admin=False, validator=VALIDATOR, quotas=Quotas(), guard=found
        )

    if result is Conflict:
        with pytest.raises(Conflict):
            changed()
    elif result in OPERATIONS:
        with pytest.raises(Forbidden, match=f"'{name}' is protected: you may not {result} it"):
            changed()
    else:
        assert changed().properties.get(name) == result


def test_fields_are_not_protected() -> None:
    operation = Operation("replace", ("name",), "new")
    image = patch.apply(
        Image("i"), [operation], is_admin=False, validator=VALIDATOR, quotas=Quotas(), guard=MEMBER
    )
    assert image.name == "new"
