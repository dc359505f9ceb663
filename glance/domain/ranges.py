"""Which bytes of an image a download asks for.

Stricter than RFC 9110 where the API is: a range that cannot be read is refused, not ignored, for a
client that meant to resume would otherwise append the whole image to what it has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from glance.domain.errors import Invalid, RangeNotSatisfiable

# The digits are bounded because Python refuses to convert very long ones.
_SPEC = re.compile("([0-9]{0,20})-([0-9]{0,20})")
_CONTENT_RANGE = re.compile(r"bytes[ \t]+([0-9]{1,20})-([0-9]{1,20})/([0-9]{1,20}|\*)", re.I)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A stretch of an image's data, both ends included.

    :param first: offset of the first byte.
    :param last: offset of the last byte.
    :param total: bytes of the whole.
    """

    first: int
    last: int
    total: int

    @property
    def length(self) -> int:
        """Bytes of the stretch."""
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """Value of the reply's ``Content-Range`` header."""
        return f"bytes {self.first}-{self.last}/{self.total}"


def parse_range(
    range_header: str | None, content_range_header: str | None, total: int
) -> ByteRange | None:
    """Return the bytes asked for, ``None`` for the whole image.

    :param range_header: value of the request's ``Range``.
    :param content_range_header: value of the request's ``Content-Range``, which old clients send
        instead; ``Range`` wins.
    :param total: size of the image.
    :raises Invalid: several ranges are asked for.
    :raises RangeNotSatisfiable: the range cannot be read or lies outside the data.
    """
    if range_header is not None:
        return _range(range_header, total)
    if content_range_header is not None:
        return _content_range(content_range_header, total)
    return None


def _range(header: str, total: int) -> ByteRange:
    unit, _, listed = header.partition("=")
    specs = [spec.strip(" \t") for spec in listed.split(",")]
    specs = [spec for spec in specs if spec]
    if unit.strip(" \t").lower() != "bytes" or not specs:
        raise _unreadable("Range", "bytes=0-1023")
    if len(specs) > 1:
        raise Invalid("Ask for one range of bytes at a time.")
    found = _SPEC.fullmatch(specs[0])
    if found is None or found[0] == "-":
        raise _unreadable("Range", "bytes=0-1023")
    if not found[1]:
        first, last = max(total - int(found[2]), 0), total - 1
    else:
        first = int(found[1])
        last = min(int(found[2]), total - 1) if found[2] else total - 1
        if found[2] and int(found[2]) < first:
            raise _unreadable("Range", "bytes=0-1023")
    if first >= total:
        raise RangeNotSatisfiable(f"The range starts beyond the image's {total} bytes.")
    return ByteRange(first, last, total)


def _content_range(header: str, total: int) -> ByteRange:
    found = _CONTENT_RANGE.fullmatch(header.strip(" \t"))
    if found is None or (found[3] != "*" and int(found[3]) != total):
        raise _unreadable("Content-Range", "bytes 0-1023/*")
    first, last = int(found[1]), int(found[2])
    if last < first:
        raise _unreadable("Content-Range", "bytes 0-1023/*")
    if last >= total:
        raise RangeNotSatisfiable(f"The range ends beyond the image's {total} bytes.")
    return ByteRange(first, last, total)


def _unreadable(header: str, example: str) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(
        f"The header {header} must hold one range within the image's bytes, such as {example}."
    )
