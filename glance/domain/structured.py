"""Headers that are dictionaries of structured fields (RFC 9651).

Read to the letter: of a header that is malformed nothing counts, for two readers that each make the
best of it would understand different things.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_ITEM = re.compile(
    r"""
      : (?P<bytes> [A-Za-z0-9+/=]* ) :
    | " (?P<string> (?: [ !\x23-\x5b\x5d-\x7e] | \\["\\] )* ) "
    | %" (?P<display> (?: [ !\x23\x24\x26-\x7e] | %[0-9a-f]{2} )* ) "
    | \? (?P<boolean> [01] )
    | @ (?P<date> -? [0-9]{1,15} )
    | (?P<decimal> -? [0-9]{1,12} \. [0-9]{1,3} )
    | (?P<integer> -? [0-9]{1,15} )
    | (?P<token> [A-Za-z*] [A-Za-z0-9!\#$%&'*+.^_`|~:/-]* )
    """,
    re.VERBOSE,
)
_SPACES = re.compile(" *")
_GAP = re.compile("[ \t]*")


class Malformed(Exception):
    """A text is not what RFC 9651 says."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, which is no string."""

    name: str


@dataclass(frozen=True, slots=True)
class Date:
    """A moment.

    :param seconds: since 1970-01-01T00:00:00Z.
    """

    seconds: int


def parse_dictionary(text: str) -> dict[str, Any]:
    """Return the members of a dictionary by their keys (RFC 9651, section 4.2.2).

    Byte sequences are ``bytes``, strings ``str``, inner lists ``tuple``. Parameters are checked and
    left out.

    :param text: the header's value; of several lines, these with ``", "`` between them.
    :raises Malformed: it is no dictionary.
    """
    return _Reader(text).dictionary()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def dictionary(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self._skip(_SPACES)
        while not self._ended():
            key = self._take(_KEY)[0]
            # Of a key that comes again, the last value counts.
            members[key] = self._member() if self._next("=") else True
            self._parameters()
            self._skip(_GAP)
            if self._ended():
                break
            if not self._next(","):
                raise Malformed
            self._skip(_GAP)
            if self._ended():
                raise Malformed
        return members

    def _member(self) -> Any:
        return self._inner_list() if self._next("(") else self._item()

    def _inner_list(self) -> tuple[Any, ...]:
        items = []
        self._skip(_SPACES)
        while not self._next(")"):
            items.append(self._item())
            self._parameters()
            if not self._skip(_SPACES) and self._text[self._at : self._at + 1] != ")":
                raise Malformed
        return tuple(items)

    def _parameters(self) -> None:
        while self._next(";"):
            self._skip(_SPACES)
            self._take(_KEY)
            if self._next("="):
                self._item()

    def _item(self) -> Any:
        found = self._take(_ITEM)
        kind = found.lastgroup
        assert kind is not None
        return _VALUES[kind](found[kind])

    def _ended(self) -> bool:
        return self._at == len(self._text)

    def _next(self, sign: str) -> bool:
        """Go past a sign, if it comes next."""
        found = self._text.startswith(sign, self._at)
        self._at += found
        return found

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        return bool(self._take(pattern)[0])

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise Malformed
        self._at = found.end()
        return found


def _bytes(text: str) -> bytes:
    # All of the padding may be missing (section 4.2.7), but nothing else may be odd.
    padding = "" if "=" in text else "=" * (-len(text) % 4)
    try:
        return binascii.a2b_base64(text + padding, strict_mode=True)
    except binascii.Error:
        raise Malformed from None


def _display(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise Malformed from None


_VALUES: dict[str, Any] = {
    "bytes": _bytes,
    "string": lambda text: re.sub(r"\\(.)", r"\1", text),
    "display": _display,
    "boolean": lambda text: text == "1",
    "date": lambda text: Date(int(text)),
    "decimal": float,
    "integer": int,
    "token": Token,
}
