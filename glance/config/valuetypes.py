"""Value types that oslo.config lacks, and words for all of them.

A wrong value is told to the operator in the words of :func:`describe`, which the sample files use
too, so that the two never disagree.
"""

from __future__ import annotations

import hashlib
import logging
import re
from typing import Any

from oslo_config import cfg, types

_QUOTA = re.compile(r"(\d+)([KMGT]?B)?", re.IGNORECASE)
_BASE_URL = re.compile(
    r"https?://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*",
    re.IGNORECASE,
)
_OCTAL = re.compile(r"-?[0-7]{1,4}")
_FACILITIES = frozenset(
    ["auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user"]
    + ["uucp", *(f"local{number}" for number in range(8))]
)


class BracketList(types.List):
    """A comma list that may stand in square brackets.

    Some options were documented with brackets and some without; nobody remembers which, so every
    list takes both.
    """

    def __call__(self, value: Any) -> list[Any]:
        """Split the text, or check the items of a sequence."""
        if isinstance(value, str):
            text = value.strip()
            if text.startswith("[") and text.endswith("]"):
                value = text[1:-1]
        return list(super().__call__(value))


class LevelPair(types.String):
    """One ``logger=LEVEL`` entry of ``default_log_levels``."""

    def __call__(self, value: Any) -> str:
        """Check that both halves are there and that the level is one that logging knows."""
        text = str(value).strip()
        name, equals, level = text.partition("=")
        if not (name and equals and level.upper() in logging.getLevelNamesMapping()):
            raise ValueError(f"{text!r} is not of the form logger=LEVEL")
        return text


class Facility(types.String):
    """A syslog facility, with or without ``LOG_`` before it, in any case; kept in lower case."""

    def __call__(self, value: Any) -> str:
        """Bring the name to the form that logging.handlers wants."""
        name = str(value).strip().lower().removeprefix("log_")
        if name not in _FACILITIES:
            raise ValueError(f"{name!r} is not a syslog facility")
        return name


class HashAlgorithm(types.String):
    """A digest with a fixed length that this Python's hashlib can compute."""

    def __call__(self, value: Any) -> str:
        """Try the algorithm out, so that a typing error is found before the first upload."""
        name = str(value).strip()
        try:
            fixed = hashlib.new(name).digest_size > 0
        except (ValueError, TypeError):
            fixed = False
        if not fixed:
            raise ValueError(f"hashlib has no algorithm {name!r} of fixed length")
        return name


class Quota(types.String):
    """A number of bytes with an optional unit."""

    def __call__(self, value: Any) -> str:
        """Check the form; the unit is worked out where the quota is applied."""
        text = str(value).strip()
        if not _QUOTA.fullmatch(text):
            raise ValueError(f"{text!r} is not a number of bytes")
        return text


class BaseUrl(types.String):
    """The URL below which a service is reached."""

    def __call__(self, value: Any) -> str:
        """Refuse what links could not be made from by adding a path."""
        text = str(value).strip()
        if text and not _BASE_URL.fullmatch(text):
            raise ValueError(f"{text!r} is not the base of URLs")
        return text


class EncryptionKey(types.String):
    """A key for AES, as text."""

    def __call__(self, value: Any) -> str:
        """Refuse a length that AES does not take; the key is never repeated."""
        text = str(value)
        if text and len(text.encode()) not in (16, 24, 32):
            raise ValueError("the key has a wrong length")
        return text


class FileMode(types.Integer):
    """A file mode, written in octal digits as ``chmod`` takes it; kept as those digits."""

    def __call__(self, value: Any) -> Any:
        """Refuse what would not be a mode."""
        text = str(value).strip()
        if text and not _OCTAL.fullmatch(text):
            raise ValueError(f"{text!r} is not an octal file mode")
        return super().__call__(value)


def describe(opt: cfg.Opt) -> str:
    """Say in words what values an option takes.

    :param opt: the declaration.
    """
    kind = opt.type
    text = _SPECIAL.get(type(kind))
    if text is None and isinstance(kind, types.Port):
        text = f"a port number from {kind.min} to {kind.max}"
    elif text is None and isinstance(kind, types.Number):
        text = ("an integer" if kind.num_type is int else "a number") + _bounds(kind)
    elif text is None and isinstance(kind, types.String) and kind.choices:
        text = "one of " + ", ".join(repr(choice) for choice in kind.choices)
    elif text is None:
        text = "text"
    return f"{text}; may be given several times" if opt.multi else text


_SPECIAL: dict[type, str] = {
    BracketList: "a list separated by commas",
    types.Boolean: "true or false",
    types.Dict: "a list of name:value pairs separated by commas",
    types.HostAddress: "a host name or an IP address",
    LevelPair: "logger=LEVEL",
    Facility: "a syslog facility, such as LOG_USER, LOG_DAEMON or LOG_LOCAL0",
    HashAlgorithm: "the name of a hash algorithm of fixed length, such as sha256 or sha512",
    BaseUrl: "a URL such as https://images.example.org, without a question mark",
    EncryptionKey: "a text of 16, 24 or 32 bytes",
    Quota: "a number of bytes, with or without a unit of B, KB, MB, GB or TB",
    FileMode: "a file mode in octal digits, such as 640; 0 for none",
}


def _bounds(kind: types.Number) -> str:
    """Word the limits of a number."""
    if kind.min is not None and kind.max is not None:
        return f" from {kind.min} to {kind.max}"
    if kind.min is not None:
        return f" of at least {kind.min}"
    if kind.max is not None:
        return f" of at most {kind.max}"
    return ""
