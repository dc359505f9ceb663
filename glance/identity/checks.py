"""Check strings of policy rules: from text to oslo.policy's trees, or to what is wrong with them.

oslo.policy takes a check that it does not understand for "nobody", and tells the log. An operator
should rather be told before the service starts; and the checks that ask another server over HTTP
cannot be had at all, since every request would wait for it.
"""

from __future__ import annotations

import ast
import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

from oslo_policy import policy

from glance.domain.text import shorten

#: A check string, or the older form: lists of lists of single checks.
CheckText = str | list[Any]

#: oslo.policy's kinds of single checks, which it gives no public names.
TRUE: Any
FALSE: Any
ROLE: Any
CREDENTIAL: Any
TRUE, FALSE, ROLE, CREDENTIAL = (
    type(policy.RuleDefault("", text).check) for text in ("@", "!", "role:a", "a:b")
)

#: What a check may fill in from the target.
VARIABLE = re.compile(r"%\(([^)]*)\)s")
_PERCENT = re.compile(r"%(?:%|\([^)]*\)s)?")

_OPERATORS = frozenset({"and", "or", "not"})
_REMOTE = frozenset({"http", "https"})


def parse(text: CheckText) -> Any:
    """Parse a check.

    :raises ValueError: it cannot be used; the message says why, as the end of a sentence.
    """
    for word in _words(text):
        if word not in ("!", "@") and ":" not in word:
            raise ValueError(
                f"{shorten(word)} is neither kind:value nor @ (everybody) nor ! (nobody)"
            )
    with _complaints() as complaints:
        check = policy.RuleDefault("", text).check  # type: ignore[arg-type] # takes lists too
    if complaints or not callable(check):
        # Older releases took a lone word for a check.
        raise ValueError("its and, or, not and parentheses do not add up")
    for part in walk(check):
        _check_part(part)
    return check


def walk(check: Any) -> Iterator[Any]:
    """Yield a tree's checks, those that hold others included, but not what ``rule:`` refers to."""
    yield check
    if isinstance(check, policy.NotCheck):
        yield from walk(check.rule)
    for part in getattr(check, "rules", ()):
        yield from walk(part)


def literal(kind: str) -> str | None:
    """Return the text of a literal such as ``'public'`` or ``True``; ``None`` for a credential.

    :raises SyntaxError: it is neither.
    """
    try:
        return str(ast.literal_eval(kind))
    except ValueError:
        return None


def _words(text: CheckText) -> Iterator[str]:
    """Yield the single checks of a text."""
    if isinstance(text, str):
        for word in text.split():
            bare = word.lstrip("(").rstrip(")")
            if bare and bare.lower() not in _OPERATORS:
                yield bare
        return
    for inner in text:
        for word in [inner] if isinstance(inner, str) else inner:
            if not isinstance(word, str):
                raise ValueError("a list holds checks or lists of checks, all of them text")
            yield word


def _check_part(part: Any) -> None:
    kind = getattr(part, "kind", None)
    if kind in _REMOTE:
        raise ValueError(
            f"checks of the kind {kind}: are not supported, for every request would have to wait"
            " for another server"
        )
    if not isinstance(part, (ROLE, CREDENTIAL)):
        return
    text = f"{kind}:{part.match}"
    if not all(found == "%%" or len(found) > 2 for found in _PERCENT.findall(part.match)):
        raise ValueError(f"{shorten(text)} has a % that is neither %(name)s nor %%")
    if isinstance(part, CREDENTIAL):
        try:
            literal(part.kind)
        except SyntaxError:
            raise ValueError(
                f"{shorten(text)} begins neither with a credential nor with a literal"
            ) from None


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """Keep what the parser tells the log: that is its only way to tell of an error."""
    kept: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        kept.append(record.getMessage())
        return False

    logger = logging.getLogger("oslo_policy._parser")
    logger.addFilter(keep)
    try:
        yield kept
    finally:
        logger.removeFilter(keep)
