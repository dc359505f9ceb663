"""Access rules: an application credential may be good for some requests only.

Keystone hands the rules out with the token; the service that is asked compares them with the
request. Patterns are those of the Identity API reference, "application credentials": ``*`` and
``{name}`` stand for one segment of the path, ``**`` for any number of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

_WILDCARD = re.compile(r"\*\*|\*|\{[^{}/]*\}")
_VERSION = re.compile(r"v2(?:\.\d+)?(?=/|$)")


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One kind of request that is allowed.

    :param service: type of the service, such as ``image``.
    :param method: in capitals.
    :param path: a pattern.
    """

    service: str
    method: str
    path: str


def allowed(rules: Iterable[AccessRule], service: str, method: str, path: str) -> bool:
    """Tell whether a request is among those that rules allow.

    :param service: the type of the service that is asked.
    :param method: of the request.
    :param path: of the request, as it came: percent-encoded, without query.
    """
    forms: set[str] | None = None
    for rule in rules:
        if rule.service != service or rule.method != method:
            continue
        if forms is None:
            forms = _forms(path)
        pieces = _pieces(rule.path)
        if any(_matches(pieces, form) for form in forms):
            return True
    return False


def _forms(path: str) -> set[str]:
    """Return the ways in which a path may stand in a rule.

    It is compared decoded, since that is how it is routed: ``/v2/images/x%2Ffile`` is a file. The
    minor version does not matter, nor that a version was named by a header and not in the path.
    """
    plain = "/" + unquote(path).lstrip("/")
    rest = plain[1:]
    version = _VERSION.match(rest)
    rest = rest if version is None else rest[version.end() :].lstrip("/")
    return {plain, f"/v2/{rest}"}


@lru_cache(maxsize=1024)
def _pieces(pattern: str) -> tuple[str, ...]:
    """Split a pattern into wildcards, ``*`` and ``**``, and what stands between them."""
    pieces, end = [], 0
    for wildcard in _WILDCARD.finditer(pattern):
        pieces += [pattern[end : wildcard.start()], "**" if wildcard[0] == "**" else "*"]
        end = wildcard.end()
    return tuple(filter(None, [*pieces, pattern[end:]]))


def _matches(pieces: Iterable[str], text: str) -> bool:
    """Match without going back: users write the patterns and the paths, and both can be long.

    All places that the pieces so far may end at are known at once, as the bits of a number.

    :param pieces: of the pattern.
    """
    inside = _where(text, lambda character: character != "/")
    at: dict[str, int] = {}
    ends = 1
    for piece in pieces:
        if piece == "**":
            # From the first of them on.
            ends = (1 << len(text) + 1) - (ends & -ends)
        elif piece == "*":
            ends = (ends & inside) << 1
            # The sum's carries run from each end to the end of its segment.
            ends |= ((ends & inside) + inside) ^ inside
        else:
            for character in piece:
                if character not in at:
                    at[character] = _where(text, character.__eq__)
                ends = (ends & at[character]) << 1
        if not ends:
            return False
    return bool(ends >> len(text))


def _where(text: str, wanted: Callable[[str], bool]) -> int:
    """Return a number whose bits tell which characters are wanted, the first being the lowest."""
    return int("0" + "".join("1" if wanted(character) else "0" for character in text[::-1]), 2)
