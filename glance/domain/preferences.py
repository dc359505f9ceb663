"""What a client would like of an answer (RFC 7240). A wish that nobody understands is none."""

from __future__ import annotations

import re

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WORD = rf'(?:{_TOKEN}|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~\x80-\xff])*")'
_PAIR = rf"({_TOKEN})(?:[ \t]*=[ \t]*({_WORD}))?"
_PREFERENCE = re.compile(
    rf"[ \t]*(?:{_PAIR}[ \t]*(?:;[ \t]*(?:{_TOKEN}(?:[ \t]*=[ \t]*{_WORD})?[ \t]*)?)*)?(?:,|\Z)"
)
_ESCAPED = re.compile(r"\\(.)")

#: What includes the members of shared images in answers about images.
INCLUDE_MEMBERS = ("include", "members")


def parse_prefer(text: str) -> dict[str, str]:
    """Return the preferences of a request: values, empty where there is none, by small names.

    Of one that comes again the first counts. What comes after something unreadable does not.

    :param text: the header ``Prefer``; of several lines, these with commas between them.
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        preference = _PREFERENCE.match(text, at)
        if preference is None:
            break
        at = preference.end()
        name, value = preference.groups()
        if name is not None:
            found.setdefault(name.lower(), _bare(value or ""))
    return found


def _bare(word: str) -> str:
    return _ESCAPED.sub(r"\1", word[1:-1]) if word.startswith('"') else word
