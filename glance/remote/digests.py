"""Stating the digest of data that is sent (RFC 9530), to services that compare it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from glance.domain.digests import ALGORITHMS

#: The header that states it.
HEADER = "Content-Digest"

#: What the header calls the algorithms of Python's hashlib, and bytes of their digests.
_ALGORITHMS = {known: (name, length) for name, (known, length) in ALGORITHMS.items()}

_UPLOAD = "/v2/images/{image_id}/file"


def content_digest(algorithm: str, value: str) -> str | None:
    """Return the header's value, or ``None`` for a digest that it cannot state.

    :param algorithm: as Python's hashlib calls it.
    :param value: hexadecimal digits.
    """
    name, length = _ALGORITHMS.get(algorithm, ("", 0))
    try:
        digest = binascii.unhexlify(value)
    except ValueError:
        return None
    if not name or len(digest) != length:
        return None
    return f"{name}=:{base64.b64encode(digest).decode()}:"


def states_digests(description: Mapping[str, Any]) -> bool:
    """Tell whether a service compares what the header of an upload says.

    :param description: of its API (OpenAPI Specification 3).
    """
    try:
        operation = description["paths"][_UPLOAD]["put"]
        return any(
            one.get("in") == "header" and str(one.get("name")).lower() == HEADER.lower()
            for one in _parameters(description, operation)
        )
    except (TypeError, KeyError, AttributeError):
        return False


def _parameters(description: Mapping[str, Any], operation: Any) -> Iterator[Mapping[str, Any]]:
    for one in operation["parameters"]:
        reference = one.get("$ref")
        if reference is not None:
            prefix, _, name = reference.rpartition("/")
            if prefix != "#/components/parameters":
                continue
            one = description["components"]["parameters"][name]
        yield one
