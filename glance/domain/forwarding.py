"""What a proxy in front says about the request that it hands on.

Both forms are understood: ``Forwarded`` (RFC 7239) and, where that is missing, the older
``X-Forwarded-…``. Of several proxies the first one counts, which is nearest to the client. What
these headers say goes into URLs and log lines, so only what looks as it must is taken at all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

#: A host's name or address with or without a port, as it may become part of a URL.
HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")

#: One pair of an element of ``Forwarded``, with what must follow it.
_PAIR = re.compile(
    r"""[ \t]* ([!#$%&'*+.^_`|~0-9A-Za-z-]+) = (?: ([!#$%&'*+.^_`|~0-9A-Za-z-]+)
        | "((?:[^"\\]|\\.)*)" ) [ \t]* (;|,|$)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The request as the client made it; ``None`` for what nobody said.

    :param scheme: ``http`` or ``https``.
    :param host: name or address, with the port if there is one.
    :param client: the client's IP address.
    :param prefix: what the proxy took off the front of the path, without a slash at its end.
    """

    scheme: str | None = None
    host: str | None = None
    client: str | None = None
    prefix: str = ""


#: Where no proxy is trusted, or none said anything.
NOTHING = Forwarded()


def parse(values: Callable[[str], list[str]]) -> Forwarded:
    """Read a request's headers.

    :param values: returns all values of a header, in order.
    """
    forwarded = values("Forwarded")
    if forwarded:
        said = _first_element(", ".join(forwarded))
    else:
        said = {
            "proto": _first(values("X-Forwarded-Proto")),
            "host": _first(values("X-Forwarded-Host")),
            "for": _first(values("X-Forwarded-For")),
        }
    scheme = said.get("proto", "").lower()
    host = said.get("host", "")
    prefix = _first(values("X-Forwarded-Prefix")).rstrip("/")
    return Forwarded(
        scheme=scheme if scheme in ("http", "https") else None,
        host=host if HOST.fullmatch(host) else None,
        client=_address(said.get("for", "")),
        prefix=prefix if _PREFIX.fullmatch(prefix) and not _climbs(prefix) else "",
    )


def _first(values: list[str]) -> str:
    return values[0].partition(",")[0].strip() if values else ""


def _first_element(text: str) -> dict[str, str]:
    """Return the pairs of the first element, or none at all if it breaks the rules."""
    found: dict[str, str] = {}
    position = 0
    while (match := _PAIR.match(text, position)) is not None:
        name, token, quoted, end = match.groups()
        value = token if token is not None else re.sub(r"\\(.)", r"\1", quoted)
        if name.lower() in found:
            return {}
        found[name.lower()] = value
        if end != ";":
            return found
        position = match.end()
    return {}


def _address(text: str) -> str | None:
    """Return an IP address without brackets and port; ``None`` for "unknown" and aliases."""
    if "%" in text:
        # The scope of an address means nothing on another machine.
        return None
    if text.startswith("["):
        text, closed, _ = text[1:].partition("]")
        if not closed:
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _climbs(path: str) -> bool:
    return any(part in (".", "..") for part in path.split("/"))
