"""The identifier that ties a request to its reply and its log lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import getrandbits
from uuid import UUID

from glance.domain.errors import GlanceError

_PREFIX = "req-"
#: What may be repeated in a header and in a log line: visible ASCII, so no line ends either.
_VISIBLE = re.compile("[!-~]+")


class RequestIdTooLong(GlanceError):
    """The caller's own request identifier exceeds ``max_request_id_length``."""


def _new_id() -> UUID:
    # Unique is enough: nobody gains by guessing it, and asking the kernel costs every request.
    return UUID(int=getrandbits(128), version=4)


def request_id(
    header: str | None, max_length: int = 64, new_id: Callable[[], object] = _new_id
) -> str:
    """Return the identifier of a request.

    :param header: value of ``X-Openstack-Request-ID`` that the caller sent; one with anything but
        visible ASCII in it is as good as none.
    :param max_length: longest value taken from a caller, 0 for any (``max_request_id_length``).
    :param new_id: makes the unique part when the caller sent nothing usable.
    :raises RequestIdTooLong: the caller's value is too long.
    """
    if header:
        if 0 < max_length < len(header):
            raise RequestIdTooLong(
                f"The header X-Openstack-Request-ID is {len(header)} characters long;"
                f" at most {max_length} are allowed (max_request_id_length)."
            )
        if _VISIBLE.fullmatch(header):
            return header if header.startswith(_PREFIX) else _PREFIX + header
    return f"{_PREFIX}{new_id()}"
