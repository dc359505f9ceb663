"""Making text fit for a log: no secrets in it, and one line that cannot pass for two."""

from __future__ import annotations

import re

#: Longer messages are cut: nobody reads them, and syslog and the journal would drop them.
LONGEST = 32768
# Looked at beyond that, so that a secret which the cut would halve is still seen as one.
_MARGIN = 8192

_HIDDEN = "***"

# Every repetition has a bound, and nothing is matched before the word that gives a secret away:
# what is logged may come from outside, and must not make the search slow.
_SECRETS = re.compile(
    # password=value, 'x-auth-token': 'value', b'X-Auth-Token': [b'value'], authorization: Basic x
    r"""(?P<name>(?:passw(?:or)?d|passphrase|secret|token|credential|authorization
          |(?:access|secret|store|auth|api|encryption)[_-]key)(?:[_-][\w-]{0,40})?
          \\?["']?\s{0,8}[=:]\s{0,8}[\[(]?\s{0,8})
        (?:\\"(?:[^"\\]|\\[^"]){0,4096}\\?"?
          |b?"(?:[^"\\]|\\.){0,4096}"?
          |b?'(?:[^'\\]|\\.){0,4096}'?
          |(?:bearer|basic)\s{1,8}[^\s,;]+
          |[^\s,;&'"\])}]+)"""
    # scheme://user:password@ and scheme://user@; a password may hold a bare slash or at sign.
    r"""|(?P<scheme>://)
        (?:[^\s/?\#@'"]{0,256}@|[^\s/?\#@:'"]{0,256}:[^\s@]{0,256}@)(?:[^\s/?\#@'"]{0,256}@){0,8}"""
    # A Fernet token, wherever it stands.
    r"|gAAAAA[\w-]{20,}={0,2}",
    re.IGNORECASE | re.VERBOSE,
)
_HINTS = ("token", "passw", "passphrase", "secret", "credential", "authorization", "gaaaaa")
# Control characters, line and paragraph separators, direction overrides, halves of surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHORT = {"\n": r"\n", "\r": r"\r"}


def mask(text: str) -> str:
    """Blot out what looks like a token, a password or the credentials in a URL."""
    lower = text.lower()
    # Most lines hold none of these words, and looking for them is far cheaper than the search.
    if ("@" in text and "://" in text) or "_key" in lower or "-key" in lower:
        return _SECRETS.sub(_blot, text)
    for hint in _HINTS:
        if hint in lower:
            return _SECRETS.sub(_blot, text)
    return text


def one_line(text: str) -> str:
    """Write line ends and control characters as escapes."""
    return _UNPRINTABLE.sub(_escape, text)


def clean(text: str) -> str:
    """Return text as it may stand in a log line."""
    if len(text) <= LONGEST:
        return one_line(mask(text))
    seen = mask(text[: LONGEST + _MARGIN])
    return f"{one_line(seen[: len(seen) - _MARGIN])}… (cut; {len(text)} characters)"


def _blot(match: re.Match[str]) -> str:
    return (match["name"] or "") + (f"://{_HIDDEN}@" if match["scheme"] else _HIDDEN)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
