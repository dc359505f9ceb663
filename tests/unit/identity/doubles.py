"""Callers, images and rule sets for tests of who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from glance.domain.image import Image
from glance.identity.context import Identity, RequestContext
from glance.identity.merging import merge
from glance.identity.policy import Policy
from glance.identity.policyfiles import FileRule
from glance.identity.ruleset import RuleSet

IMAGE = "9d1c3f0e-6a51-4f3e-8d60-8f6f2f3c7a11"


def caller(*roles: str, project: str | None = "p", admin: bool | None = None, **more: Any):
    """Make the context of a caller, an administrator if it has that role."""
    identity = Identity(project_id=project, roles=frozenset(roles), **more)
    is_admin = "admin" in roles if admin is None else admin
    return RequestContext("req-1", identity, is_admin=is_admin)


def image(visibility: str = "private", owner: str | None = "p", **more: Any) -> Image:
    return Image(IMAGE, visibility=visibility, owner=owner, **more)


def file_rules(rules: Mapping[str, Any], path: str = "/etc/glance/policy.yaml") -> list[FileRule]:
    return [FileRule(name, text, path, n) for n, (name, text) in enumerate(rules.items(), 1)]


def rule_set(rules: Mapping[str, Any] | None = None, **options: Any) -> RuleSet:
    """Make a rule set of the defaults and of what a policy file would say."""
    return _defaults() if not rules and not options else _made(rules or {}, **options)


@cache
def _defaults() -> RuleSet:
    return _made({})


def _made(rules: Mapping[str, Any], **options: Any) -> RuleSet:
    merged = merge(file_rules(rules), **options)
    default = options.get("default_rule", "default")
    return RuleSet(merged.checks, default, warnings=merged.warnings)


def make_policy(rules: Mapping[str, Any] | None = None, **options: Any) -> Policy:
    return Policy(rule_set(rules, **options))
