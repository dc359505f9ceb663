"""What a node's cache knows of its copies, and which of them go when room is needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

#: What the cache makes in its directory.
DIRECTORIES: Final = ("incomplete", "invalid", "queue", "locks")

_IMAGE_ID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def can_be_named(image_id: str) -> bool:
    """Tell whether an image can be in the cache: its id becomes a file's name."""
    return _IMAGE_ID.fullmatch(image_id) is not None


@dataclass(frozen=True, slots=True)
class CachedImage:
    """A complete copy, as the index has it.

    :param size: bytes.
    :param hits: how often it was sent to the end.
    :param last_accessed: when it was sent last, or made; seconds since the epoch.
    :param last_modified: when it was made; seconds since the epoch.
    :param checksum: MD5 in hexadecimal digits, where it was noted.
    :param number: the entry's own, where the index numbers its entries.
    """

    image_id: str
    size: int
    hits: int
    last_accessed: float
    last_modified: float
    checksum: str | None = None
    number: int | None = field(default=None, compare=False)


def by_age(entries: Iterable[CachedImage]) -> list[str]:
    """Return the images' ids, those first that have not been asked for longest."""
    return [e.image_id for e in sorted(entries, key=lambda e: (e.last_accessed, e.image_id))]


def in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Sort names by a known order; those that it has not come first, since nobody knows of them."""
    place = {name: index for index, name in enumerate(order)}
    return sorted(names, key=lambda name: (place.get(name, -1), name))
