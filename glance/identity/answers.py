"""What a rule means for one caller: its check worked out as far as it depends on who asks.

oslo.policy walks a rule's tree for each question, which takes it 200 µs: a page of a thousand
images would hold the reactor up for 0.2 s. But nearly all of a tree is about the caller, and the
same callers come again and again. So a tree is read once, into a plan; the plan is worked out once
for a caller; and what is left is yes, no, or a small function of the target. Checks of a kind that
is not known here (plug-ins of oslo.policy's) are asked anew each time, as the library would.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oslo_policy import policy

from glance.identity import checks
from glance.identity.targets import Getter, Kind

#: Yes or no whatever the target is, or a function that tells of a target.
Answer = bool | Callable[[Any], bool]

#: Names that checks have for credentials, and the fields of an ``Identity`` where they are. Old
#: policy files say ``tenant`` and ``user``.
CREDENTIALS = {
    "user_id": "user_id",
    "user": "user_id",
    "user_domain_id": "user_domain_id",
    "project_id": "project_id",
    "tenant": "project_id",
    "project_domain_id": "project_domain_id",
    "is_admin_project": "is_admin_project",
    "domain_id": "domain_id",
    "system_scope": "system_scope",
    "system": "system_scope",
    "roles": "roles",
    "service_roles": "service_roles",
    "service_user_id": "service_user_id",
    "service_project_id": "service_project_id",
}

#: The one that is no field of an identity.
IS_ADMIN = "is_admin"

_PIECE = re.compile(r"%%|%\(([^)]*)\)s|[^%]+")


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks about what.

    :param plans: of all rules, by name.
    :param default_rule: the rule that stands in for those that are not there.
    :param credentials: of the caller, by the names that checks have for them; only those that it
        has, with roles as lists.
    :param kind: what the rule is asked about.
    :param enforcer: what checks of unknown kinds are handed.
    :param rule: the rule's name, likewise.
    """

    plans: Mapping[str, Plan]
    default_rule: str
    credentials: dict[str, Any]
    kind: Kind
    enforcer: policy.Enforcer
    rule: str

    @property
    def project_id(self) -> str | None:
        """The caller's project."""
        return self.credentials.get("project_id")


Plan = Callable[[Question], Answer]


def make_plan(check: Any) -> Plan:
    """Read a tree."""
    if isinstance(check, policy.NotCheck):
        return _negation(make_plan(check.rule))
    if isinstance(check, policy.AndCheck):
        return _conjunction([make_plan(part) for part in check.rules])
    if isinstance(check, policy.OrCheck):
        return _disjunction([make_plan(part) for part in check.rules])
    if isinstance(check, policy.RuleCheck):
        return _reference(check.match)
    if isinstance(check, checks.TRUE):
        return lambda question: True
    if isinstance(check, checks.FALSE):
        return lambda question: False
    if isinstance(check, checks.ROLE):
        return _comparison("roles", None, check.match, fold=True)
    if isinstance(check, checks.CREDENTIAL):
        return _comparison(check.kind, checks.literal(check.kind), check.match)
    return _delegation(check)


def credentials_of(check: Any, rules: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the credentials that a tree looks at; all of them if that is unknown.

    :param rules: trees by the names that others refer to them by, with the default rule for those
        that are not there.
    """
    found: set[str] = set()
    pending = [check]
    seen: set[str] = set()
    while pending:
        for part in checks.walk(pending.pop()):
            if isinstance(part, policy.RuleCheck):
                if part.match not in seen:
                    seen.add(part.match)
                    with contextlib.suppress(KeyError):
                        pending.append(rules[part.match])
            elif isinstance(part, checks.ROLE):
                found.add("roles")
            elif isinstance(part, checks.CREDENTIAL):
                found.add(part.kind)
            elif isinstance(part, policy.Check):
                return frozenset(CREDENTIALS)
    return frozenset(found) & CREDENTIALS.keys()


def _reference(name: str) -> Plan:
    def plan(question: Question) -> Answer:
        plans = question.plans
        referred = plans.get(name) or plans.get(question.default_rule)
        return False if referred is None else referred(question)

    return plan


def _negation(inner: Plan) -> Plan:
    def plan(question: Question) -> Answer:
        answer = inner(question)
        if isinstance(answer, bool):
            return not answer
        return lambda target: not answer(target)

    return plan


def _conjunction(parts: Sequence[Plan]) -> Plan:
    def plan(question: Question) -> Answer:
        left = []
        for part in parts:
            answer = part(question)
            if answer is False:
                return False
            if answer is not True:
                left.append(answer)
        return _left(left, empty=True)

    return plan


def _disjunction(parts: Sequence[Plan]) -> Plan:
    def plan(question: Question) -> Answer:
        left = []
        for part in parts:
            answer = part(question)
            if answer is True:
                return True
            if answer is not False:
                left.append(answer)
        return _left(left, empty=False)

    return plan


def _left(answers: list[Callable[[Any], bool]], *, empty: bool) -> Answer:
    """Join what is left to ask of the target: all of it for ``and``, any of it for ``or``.

    :param empty: the answer when nothing is left, ``True`` for ``and``.
    """
    if len(answers) < 2:
        return answers[0] if answers else empty

    def ask(target: Any) -> bool:
        # Loops of our own: all() and any() would take twice as long.
        for answer in answers:
            if answer(target) is not empty:
                return not empty
        return empty

    return ask


def _comparison(name: str, literal: str | None, template: str, *, fold: bool = False) -> Plan:
    """Compare a credential or a literal with a text that the target's attributes are filled in.

    :param name: of the credential.
    :param literal: what is compared instead, if anything is.
    :param fold: whether the text is compared in lower case, in which roles are.
    """
    read = _reading(template)

    def plan(question: Question) -> Answer:
        if literal is not None:
            wanted = frozenset([literal])
        else:
            value = question.credentials.get(name)
            if value is None:
                return False
            wanted = frozenset(value if isinstance(value, list) else [str(value)])
        text = read(question)
        if text is None:
            return False
        if isinstance(text, str):
            return (text.lower() if fold else text) in wanted
        if fold:
            return lambda target: (value := text(target)) is not None and value.lower() in wanted
        if len(wanted) == 1:
            (only,) = wanted
            return lambda target: text(target) == only
        return lambda target: text(target) in wanted

    return plan


def _reading(template: str) -> Callable[[Question], Getter | str | None]:
    """Read a text such as ``%(owner)s``: what it is depends on the target."""
    pieces = [
        ("%" if found[0] == "%%" else found[0], found[1]) for found in _PIECE.finditer(template)
    ]
    if all(name is None for _, name in pieces):
        constant = "".join([text for text, _ in pieces])
        return lambda question: constant
    if len(pieces) == 1:
        only = pieces[0][1]
        return lambda question: question.kind.attribute(only, question.project_id)
    return lambda question: _joined(
        [
            text if name is None else question.kind.attribute(name, question.project_id)
            for text, name in pieces
        ]
    )


def _joined(pieces: Sequence[Getter | str | None]) -> Getter:
    def read(target: Any) -> str | None:
        texts = [piece(target) if callable(piece) else piece for piece in pieces]
        return None if None in texts else "".join(texts)  # type: ignore[arg-type]

    return read


def _delegation(check: Any) -> Plan:
    """Leave a check of an unknown kind to itself."""
    names_rule = len(inspect.signature(check).parameters) > 3

    def plan(question: Question) -> Answer:
        more = (question.rule,) if names_rule else ()

        def ask(target: Any) -> bool:
            attributes = dict(question.kind.mapping(target, question.project_id))
            return bool(check(attributes, dict(question.credentials), question.enforcer, *more))

        return ask

    return plan
