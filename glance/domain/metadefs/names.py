"""The limits that every namespace keeps, however it came into the catalogue."""

from __future__ import annotations

from collections.abc import Iterable

#: Characters of the name of a namespace, object, property, tag or resource type, and of a display
#: name, prefix or properties target.
LONGEST_NAME = 80
#: Characters of a namespace's description, as clients may give it.
LONGEST_DESCRIPTION = 500
LONGEST_OWNER = 255

VISIBILITIES = ("public", "private")

#: What a property, or an item of one, may be.
TYPES = ("array", "boolean", "integer", "number", "object", "string")

#: Between the names of an object's required properties, where the catalogue keeps them.
SEPARATOR = ","


def fits_path(name: str) -> bool:
    """Return whether a name can be a part of a path, so that the API can be asked for it."""
    return "/" not in name and name not in (".", "..")


def join_required(names: Iterable[str]) -> str | None:
    """Return the names of an object's required properties as the catalogue keeps them.

    :param names: without the separator in them.
    """
    return SEPARATOR.join(names) or None


def split_required(kept: str | None) -> list[str]:
    """Return the names that :func:`join_required` joined."""
    return kept.split(SEPARATOR) if kept else []
