"""Which text the catalogue can hold, and how to speak of a value without repeating it."""

from __future__ import annotations

import re

from glance.domain.errors import Invalid

#: Beyond U+FFFF: MySQL's three-byte UTF-8, which existing catalogues use. NUL: PostgreSQL. Lone
#: surrogates: no database, nor UTF-8 itself.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff\U00010000-\U0010ffff]")

#: Longest text that a message repeats.
_SHOWN = 64


def check_storable(text: str, what: str) -> None:
    """Check that every database in use can hold a text.

    :param text: the text.
    :param what: what the text is, for the message.
    :raises Invalid: it has a character that one of them cannot hold.
    """
    found = _UNSTORABLE.search(text)
    if found:
        raise Invalid(
            f"{what} contains the character U+{ord(found[0]):04X}, which cannot be stored;"
            " use characters from U+0001 to U+FFFF."
        )


def is_storable(text: str) -> bool:
    """Return whether every database in use can hold a text, and be asked for it."""
    return _UNSTORABLE.search(text) is None


def shorten(text: str) -> str:
    """Return a text in quotes, cut when it is long, for use in a message."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"


def printable(text: str) -> str:
    """Return a text in which what would move a terminal's cursor, or more, is escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def shape(value: object) -> str:
    """Describe a JSON value without repeating what may be long or private.

    :param value: what ``json.loads`` returns.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # The digits of a huge number are slow to make, and Python refuses beyond some thousands.
        return f"the number {value}" if value.bit_length() <= 64 else "a huge number"
    if isinstance(value, float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"a string of length {len(value)}"
    if isinstance(value, list):
        return f"a list of length {len(value)}"
    return "an object"
