"""The queries of lists of metadata definitions: parsed and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from glance.domain.errors import Invalid
from glance.domain.metadefs.names import VISIBILITIES
from glance.domain.text import check_storable, shorten

Direction = Literal["asc", "desc"]

#: What namespaces may be sorted by: all that they have of their own.
NAMESPACE_SORT_KEYS = (
    "namespace", "display_name", "description", "visibility", "protected", "owner", "created_at",
    "updated_at", "id",
)  # fmt: skip
#: What tags may be sorted by.
TAG_SORT_KEYS = ("name", "created_at", "updated_at", "id")

#: The most resource types that a list is asked for at once.
MOST_RESOURCE_TYPES = 50

_KNOWN = ("limit", "marker", "sort_key", "sort_dir", "visibility", "resource_types")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One page asked of a list.

    :param limit: the most entries wanted, ``None`` for all.
    :param marker: name of the entry after which the page starts.
    :param sort: columns and directions; together they order every entry.
    :param visibility: of namespaces, one visibility.
    :param resource_types: of namespaces, those that are for one of these.
    """

    limit: int | None = None
    marker: str | None = None
    sort: tuple[tuple[str, Direction], ...] = (("created_at", "desc"), ("id", "desc"))
    visibility: str | None = None
    resource_types: tuple[str, ...] | None = None


def parse_namespaces_query(
    pairs: Iterable[tuple[str, str]], *, limit_default: int, limit_max: int
) -> ListQuery:
    """Read the query of a request for the list of namespaces. What is not known has no effect.

    :param pairs: decoded names and values in the order given.
    :param limit_default: page size when the query has no ``limit``.
    :param limit_max: largest page; a larger ``limit`` is lowered to it.
    :raises Invalid: a value is wrong; the message says which.
    """
    single = _single(pairs)
    limit = _limit(single)
    types = single.get("resource_types")
    names = None if types is None else tuple(dict.fromkeys(n for n in types.split(",") if n))
    if names is not None and len(names) > MOST_RESOURCE_TYPES:
        raise Invalid(
            f"Query parameter resource_types has {len(names)} names;"
            f" at most {MOST_RESOURCE_TYPES} are allowed."
        )
    return ListQuery(
        min(limit_default if limit is None else limit, limit_max),
        single.get("marker"),
        _sort(single, NAMESPACE_SORT_KEYS, "Namespaces"),
        _visibility(single, VISIBILITIES),
        names,
    )


def parse_tags_query(pairs: Iterable[tuple[str, str]]) -> ListQuery:
    """Read the query of a request for a namespace's tags; all are listed unless it has a limit."""
    single = _single(pairs)
    return ListQuery(_limit(single), single.get("marker"), _sort(single, TAG_SORT_KEYS, "Tags"))


def check_objects_query(pairs: Iterable[tuple[str, str]]) -> None:
    """Check the query of a request for a namespace's objects, of which nothing has an effect.

    :raises Invalid: a value is wrong; the message says which.
    """
    single = _single(pairs)
    _visibility(single, (*VISIBILITIES, "shared"))
    if _limit(single) == 0:
        raise Invalid("Query parameter limit must be positive.")


def _single(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    single: dict[str, str] = {}
    for name, value in pairs:
        if name not in _KNOWN:
            continue
        check_storable(value, f"Query parameter {name}")
        if single.setdefault(name, value) != value:
            raise Invalid(f"Query parameter {name} has two different values; give it once.")
    return single


def _limit(single: dict[str, str]) -> int | None:
    text = single.get("limit")
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise Invalid("Query parameter limit must be an integer of at most 64 bits.")
    limit = int(text)
    if limit < 0:
        raise Invalid("Query parameter limit must not be negative.")
    # No database's own integers need to hold more.
    return min(limit, 2**31 - 1)


def _visibility(single: dict[str, str], choices: Sequence[str]) -> str | None:
    visibility = single.get("visibility")
    if visibility is not None and visibility not in choices:
        raise Invalid(f"Query parameter visibility must be one of {', '.join(choices)}.")
    return visibility


def _sort(
    single: dict[str, str], keys: Sequence[str], what: str
) -> tuple[tuple[str, Direction], ...]:
    key, direction = single.get("sort_key", "created_at"), single.get("sort_dir", "desc")
    if key not in keys:
        raise Invalid(f"{what} can be sorted by {', '.join(keys)}, not by {shorten(key)}.")
    if direction not in ("asc", "desc"):
        raise Invalid(f"A sort direction is asc or desc, not {shorten(direction)}.")
    way: Direction = "asc" if direction == "asc" else "desc"
    # An id is unique: the order is total, and a page can start after any entry.
    columns = dict.fromkeys((key, "created_at", "id")) if key != "id" else ("id",)
    return tuple((column, way) for column in columns)
