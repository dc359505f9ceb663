"""One set of rules in force: the defaults with what policy files put in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from glance.identity.answers import (
    CREDENTIALS,
    IS_ADMIN,
    Answer,
    Plan,
    Question,
    credentials_of,
    make_plan,
)
from glance.identity.context import Identity
from glance.identity.rules import RULES
from glance.identity.targets import Kind

#: Answers that are kept, each for a rule and all callers that make no difference to it.
_MOST_ANSWERS = 4096

#: What the answers' keys hold of every caller, beside what the rule looks at.
_ALWAYS = ("project_id", "domain_id", "system_scope")


class _Asked:
    """A rule as it is asked: compared by identity, so that it is cheap in a key.

    :param names: the credentials that the answer depends on.
    """

    def __init__(self, name: str, plan: Plan, names: Iterable[str]) -> None:
        self.name = name
        self.plan = plan
        self.names = {*_ALWAYS, *names}
        self.fields = tuple(sorted({CREDENTIALS[name] for name in self.names}))
        self.pick: Callable[[Identity], tuple[Any, ...]] = attrgetter(*self.fields)
        self.scope_types = RULES[name].scope_types if name in RULES else ()


class RuleSet:
    """Rules that answer questions; safe in any thread, and nothing in it ever changes.

    :param checks: trees by the names of all rules.
    :param default_rule: the name of the rule that stands in for those that are not there.
    :param warnings: what the operator should know about the files that the rules came from.
    :param files: those files.
    :param stamp: what the files looked like before they were read.
    """

    def __init__(
        self,
        checks: Mapping[str, Any],
        default_rule: str = "default",
        *,
        warnings: tuple[str, ...] = (),
        files: tuple[str, ...] = (),
        stamp: object = None,
    ) -> None:
        self.warnings = warnings
        self.files = files
        self.stamp = stamp
        self.enforcer = _make_enforcer(checks, default_rule)
        self._default_rule = default_rule
        self._plans = {name: make_plan(check) for name, check in checks.items()}
        # The enforcer's mapping knows of the default rule.
        trees = self.enforcer.rules
        self._asked = {
            name: _Asked(name, self._plans[name], credentials_of(check, trees))
            for name, check in checks.items()
        }
        self._answer: Any = lru_cache(maxsize=_MOST_ANSWERS)(self._work_out)

    def __contains__(self, name: object) -> bool:
        return name in self._asked

    def answer(self, name: str, kind: Kind, identity: Identity, is_admin: bool) -> Answer:
        """Return what a rule says to a caller.

        :param name: the rule.
        :param kind: what it is asked about.
        :raises KeyError: there is no such rule.
        """
        asked = self._asked[name]
        answer: Answer = self._answer(asked, kind, is_admin, asked.pick(identity))
        return answer

    def _work_out(
        self, asked: _Asked, kind: Kind, is_admin: bool, picked: tuple[Any, ...]
    ) -> Answer:
        fields = dict(zip(asked.fields, picked, strict=True))
        if asked.scope_types and _scope(fields) not in asked.scope_types:
            return False
        question = Question(
            self._plans,
            self._default_rule,
            make_credentials(fields, asked.names, is_admin),
            kind,
            self.enforcer,
            asked.name,
        )
        return asked.plan(question)


def _make_enforcer(checks: Mapping[str, Any], default_rule: str) -> policy.Enforcer:
    """Make oslo.policy's own enforcer of some rules, for checks that want to be handed one."""
    conf = cfg.ConfigOpts()
    conf([], project="glance", default_config_files=[], default_config_dirs=[])
    enforcer = policy.Enforcer(conf, default_rule=default_rule, use_conf=False)
    enforcer.set_rules(dict(checks))
    return enforcer


def make_credentials(
    fields: Mapping[str, Any], names: Iterable[str], is_admin: bool
) -> dict[str, Any]:
    """Return a caller's credentials as checks name them.

    :param fields: an identity's fields.
    :param names: the credentials wanted.
    """
    credentials: dict[str, Any] = {IS_ADMIN: is_admin}
    for name in names:
        value = fields[CREDENTIALS[name]]
        if isinstance(value, frozenset):
            credentials[name] = sorted(value)
        elif value is not None:
            credentials[name] = value
    return credentials


def _scope(fields: Mapping[str, Any]) -> str:
    if fields["system_scope"]:
        return "system"
    return "domain" if fields["domain_id"] else "project"
