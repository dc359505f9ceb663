"""What a policy rule is, and the words that the default checks are made of."""

from __future__ import annotations

from dataclasses import dataclass

#: Building blocks of the default checks.
ADMIN = "rule:context_is_admin"
OWNER_MEMBER = "role:member and project_id:%(project_id)s"
OWNER_READER = "role:reader and project_id:%(project_id)s"
SEEN = (
    "project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s"
    " or 'public':%(visibility)s or 'shared':%(visibility)s"
)

ADMIN_OR_MEMBER = f"{ADMIN} or ({OWNER_MEMBER})"
ADMIN_OR_READER = f"{ADMIN} or ({OWNER_READER})"
MEMBERSHIP = f"{ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    :param check: who may, by default.
    :param description: what the rule is about, in one sentence.
    :param operations: requests that ask it, as ``METHOD /path``.
    :param scope_types: kinds of token that it takes; ``()`` takes any.
    :param old_check: what was the default before, under the same name; counts as well while
        ``enforce_new_defaults`` is off.
    :param since: the release that deprecated the old default, or the rule itself.
    :param reason: why it did.
    """

    name: str
    check: str
    description: str
    operations: tuple[str, ...] = ()
    scope_types: tuple[str, ...] = ("project",)
    old_check: str | None = None
    since: str | None = None
    reason: str | None = None


_ROLES = "The new default tells readers, members and administrators apart."


def plain(name: str, check: str, description: str) -> Rule:
    """Declare a rule that others refer to, for tokens of any scope."""
    return Rule(name, check, description, scope_types=())


def ruled(
    name: str,
    check: str,
    description: str,
    *operations: str,
    old: str | None = "rule:default",
    since: str = "W",
) -> Rule:
    """Declare a rule that requests ask.

    :param old: the former default check, ``None`` where there was no such rule.
    :param since: the release that replaced it.
    """
    if old is None:
        return Rule(name, check, description, operations)
    return Rule(name, check, description, operations, old_check=old, since=since, reason=_ROLES)


def admins(name: str, description: str, *operations: str) -> Rule:
    """Declare a rule for administrators."""
    return Rule(name, ADMIN, description, operations)
