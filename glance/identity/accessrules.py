"""Access rules: an application credential may be good for some requests only.

Keystone hands the rules out with the token; the service that is asked compares them with the
request. Patterns are those of the Identity API reference, "application credentials": ``*`` and
``{name}`` stand for one segment of the path, ``**`` for any number of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
        pattern = _compile(rule.path)
        if any(pattern.fullmatch(form) for form in forms):
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
def _compile(path: str) -> re.Pattern[str]:
    parts, end = [], 0
    for wildcard in _WILDCARD.finditer(path):
        parts.append(re.escape(path[end : wildcard.start()]))
        parts.append(".*" if wildcard[0] == "**" else "[^/]+")
        end = wildcard.end()
    parts.append(re.escape(path[end:]))
    return re.compile("".join(parts), re.DOTALL)
