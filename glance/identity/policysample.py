"""The sample policy file: every rule with its default, commented out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from glance.identity.rule import Rule
from glance.identity.rules import RULES

#: The file's name.
NAME = "policy.yaml"

HEAD = """\
# Sample policy file of the image service.
#
# Every rule stands here with its default, commented out. Put those that are to be different, and
# only those, into a file of this name beside the configuration files. Made from the declarations
# by `python -m glance.services.samples`; do not edit it, copy it.
#
# Checks are those of oslo.policy, apart from http: and https:, which are not supported. "@" lets
# everybody, "!" nobody.
"""


def sample() -> str:
    """Return the file's text."""
    return "\n".join([HEAD, *("\n".join(_lines(rule)) + "\n" for rule in RULES.values())])


def _lines(rule: Rule) -> Iterator[str]:
    removed = rule.since is not None and rule.old_check is None
    if removed:
        yield "# DEPRECATED"
        yield from _comment(f'"{rule.name}" is deprecated since {rule.since}. {rule.reason}')
    yield from _comment(rule.description)
    for operation in rule.operations:
        method, path = operation.split(" ")
        yield f"# {method}  {path}"
    if rule.scope_types:
        yield f"# Intended scope(s): {', '.join(rule.scope_types)}"
    yield f'#"{rule.name}": "{rule.check}"'
    if rule.old_check not in (None, rule.check):
        yield "# DEPRECATED"
        yield from _comment(
            f'"{rule.name}": "{rule.old_check}" was the default before {rule.since}, and counts as'
            f" well while enforce_new_defaults is off. {rule.reason}"
        )


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        width=99,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
