"""Which checks are in force: the defaults, files over them, and what old releases add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from oslo_policy import policy

from glance.domain.errors import ConfigError
from glance.domain.text import shorten
from glance.identity import checks
from glance.identity.answers import CREDENTIALS, IS_ADMIN
from glance.identity.policyfiles import FileRule
from glance.identity.rules import RULES

#: Changes to an image that the service let administrators and the owner's project make only,
#: whatever the rules said, as long as rules did not have to tell projects apart.
OWNER_ONLY = frozenset(
    {
        "delete_image", "modify_image", "upload_image", "deactivate", "reactivate",
        "delete_image_location", "set_image_location", "add_member", "delete_member",
    }
)  # fmt: skip

#: Rules of older releases that nothing asks any more.
_GONE = frozenset({"copy_from"})

_OWNER = f"{IS_ADMIN}:True or project_id:%(project_id)s"


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome.

    :param checks: trees by rule.
    :param warnings: sentences for the log.
    """

    checks: Mapping[str, Any]
    warnings: tuple[str, ...]


def merge(
    file_rules: Iterable[FileRule] = (),
    *,
    default_rule: str = "default",
    new_defaults_only: bool = True,
    owner_checks: bool = False,
    admin_role: str | None = None,
    own_rules: bool = False,
) -> Merged:
    """Put rules of files over the defaults.

    :param file_rules: in the order of files; the last one of a name counts.
    :param default_rule: the rule that stands in for those that are not defined.
    :param new_defaults_only: leave the former defaults aside.
    :param owner_checks: hold changes of images to the image's owner, whatever the rules say.
    :param admin_role: a role that makes an administrator whatever ``context_is_admin`` says.
    :param own_rules: whether rules of the operator's own are used elsewhere.
    :raises ConfigError: a rule of a file cannot be used.
    """
    from_files = {rule.name: rule for rule in file_rules}
    found: dict[str, Any] = {}
    for name, rule in from_files.items():
        try:
            found[name] = checks.parse(rule.text)
        except ValueError as problem:
            raise _wrong(rule, f"cannot be used: {problem}") from None
    for name in RULES:
        if name not in found:
            found[name] = _default(name, new_defaults_only)
    _check_references(found, from_files, default_rule)
    warnings = list(_doubts(found, from_files, default_rule, owner_checks))
    if not own_rules:
        warnings += _unused(found, from_files, default_rule)
    if owner_checks:
        for name in OWNER_ONLY:
            found[name] = policy.AndCheck([found[name], checks.parse(_OWNER)])
        found["add_image"] = policy.AndCheck(
            [found["add_image"], checks.parse(f"{IS_ADMIN}:True or project_id:%(owner)s")]
        )
    # Whoever counts as an administrator for the rest of the service does so in the rules.
    ways = [checks.parse(f"{IS_ADMIN}:True"), found["context_is_admin"]]
    if admin_role:
        ways.append(checks.ROLE("role", admin_role.replace("%", "%%")))
    found["context_is_admin"] = policy.OrCheck(ways)
    return Merged(found, tuple(warnings))


@cache
def _default(name: str, new_defaults_only: bool) -> Any:
    rule = RULES[name]
    check = checks.parse(rule.check)
    if new_defaults_only or rule.old_check is None or rule.old_check == rule.check:
        return check
    return policy.OrCheck([check, checks.parse(rule.old_check)])


def _wrong(rule: FileRule, problem: str) -> ConfigError:
    return ConfigError(
        f"Policy file {rule.place}: the check of rule {shorten(rule.name)} {problem}."
    )


def _check_references(
    found: Mapping[str, Any], from_files: Mapping[str, FileRule], default_rule: str
) -> None:
    """Check that rules refer to rules that there are, and none to itself in the end.

    A name that is not defined means the default rule. That is taken from an operator who has said
    what the default rule is; ours lets everybody.
    """
    for name, rule in from_files.items():
        for reference in _references(found[name]):
            if reference not in found and default_rule not in from_files:
                raise _wrong(rule, f"refers to a rule {shorten(reference)}, which is not defined")
        path = _circle(name, found, default_rule)
        if path:
            raise _wrong(rule, f"refers to itself, by way of {' and '.join(path)}")


def _references(check: Any) -> list[str]:
    return [part.match for part in checks.walk(check) if isinstance(part, policy.RuleCheck)]


def _circle(start: str, found: Mapping[str, Any], default_rule: str) -> list[str]:
    """Return the rules by way of which one refers to itself, if it does."""
    pending = [[start]]
    seen = set()
    while pending:
        path = pending.pop()
        for reference in _references(found[path[-1]]):
            target = reference if reference in found else default_rule
            if target == start:
                return path[1:] or [start]
            if target in found and target not in seen:
                seen.add(target)
                pending.append([*path, target])
    return []


def _doubts(
    found: Mapping[str, Any],
    from_files: Mapping[str, FileRule],
    default_rule: str,
    owner_checks: bool,
) -> Iterable[str]:
    """Yield what is suspicious in the rules of files, though it can be meant."""
    for name, rule in from_files.items():
        place = f"Policy file {rule.place}: rule {shorten(name)}"
        check = found[name]
        if isinstance(check, checks.TRUE) and name in OWNER_ONLY and not owner_checks:
            yield f"{place} lets everybody do this to every image that they can see."
        for part in checks.walk(check):
            if isinstance(part, policy.RuleCheck) and part.match not in found:
                missing = part.match
                yield f"{place} refers to {missing}, which is not defined: {default_rule} counts."
            elif (
                isinstance(part, checks.CREDENTIAL)
                and checks.literal(part.kind) is None
                and part.kind not in CREDENTIALS
                and part.kind != IS_ADMIN
            ):
                yield f"{place} looks at a credential {part.kind}, which nobody ever has."


def _unused(
    found: Mapping[str, Any], from_files: Mapping[str, FileRule], default_rule: str
) -> Iterable[str]:
    """Yield the rules of files that nothing asks: most likely their names are misspelt."""
    used = {reference for check in found.values() for reference in _references(check)}
    for name in from_files.keys() - RULES.keys() - _GONE - used - {default_rule}:
        rule = from_files[name]
        yield f"Policy file {rule.place}: nothing asks a rule {shorten(name)}."
