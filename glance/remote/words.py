"""What a service said of an error, as a line that a terminal can show.

The Image API tells errors as JSON, as a page or as plain text, by what the client takes; proxies
have pages of their own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

import orjson

#: Most characters of it.
LONGEST = 300
#: Anything shorter is no secret of a service, but may well be a word.
_SECRET_LENGTH = 8
#: Looked at before markup is taken out.
_READ = 20_000

_HIDDEN = "***"
# What is no text, then any other markup.
_MARKUP = re.compile(r"<(head|style|script)\b.{0,5000}?</\1\s*>|<[^<>]{0,1000}>", re.S | re.I)
_HEADING = re.compile(r"<h1\b[^<>]{0,1000}>.{0,1000}?</h1\s*>", re.S | re.I)


def words(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Return what an answer says, or an empty string.

    :param body: of the answer.
    :param secrets: what must not be in it.
    """
    text = _message(body)
    for secret in secrets:
        if len(secret) >= _SECRET_LENGTH:
            text = text.replace(secret, _HIDDEN)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _message(body: bytes) -> str:
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[:_READ].decode("utf-8", "replace")
        if "<" in text:
            # The heading repeats the status.
            return _plain(_HEADING.sub(" ", text)) or _plain(text)
        return text
    for _ in range(2):
        if not isinstance(document, dict):
            break
        document = document.get("message") or document.get("error")
    return _plain(document[:_READ]) if isinstance(document, str) else ""


def _plain(text: str) -> str:
    return html.unescape(_MARKUP.sub(" ", text)).strip()
