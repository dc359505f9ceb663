"""The query of ``GET /v2/images``: parsed, checked, put into terms a database layer can translate.

The filters are a closed set of small values (:data:`Filter`), so that whoever builds the statement
handles each kind once and never sees a caller's text anywhere but as a bound value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urlencode

from glance.domain.errors import Invalid
from glance.domain.image import VISIBILITIES
from glance.domain.text import check_storable, shorten

Direction = Literal["asc", "desc"]
Comparison = Literal["gt", "gte", "lt", "lte", "eq", "neq"]

#: Columns that a list may be sorted by.
SORT_KEYS = (
    "name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at",
)  # fmt: skip

_MEMBER_STATUSES = ("accepted", "pending", "rejected", "all")
_OPERATOR_COLUMNS = frozenset({"name", "id", "status", "container_format", "disk_format"})
_TIME_COLUMNS = frozenset({"created_at", "updated_at"})
_INT_COLUMNS = frozenset({"size", "virtual_size", "min_disk", "min_ram"})
_TEXT_COLUMNS = frozenset({"checksum", "os_hash_algo", "os_hash_value", "owner"})
_BOUNDS: dict[str, tuple[str, Comparison]] = {
    **{f"{column}_min": (column, "gte") for column in _INT_COLUMNS},
    **{f"{column}_max": (column, "lte") for column in _INT_COLUMNS},
}

_COMPARISONS: dict[str, Comparison] = {
    "gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte", "eq": "eq", "neq": "neq",
}  # fmt: skip
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_OPERATOR = re.compile(r"([A-Za-z]+):(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r'((?:[^",\\]|\\"|\\)+)')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_INT64_MAX = 2**63 - 1

#: The most conditions of a list: the time that databases take to plan a query grows fast with them.
MOST_FILTERS = 30
#: The most values of all ``in:`` filters together: more ids than a line of a request has room for.
MOST_VALUES = 500


@dataclass(frozen=True, slots=True)
class Equals:
    """A column of the image has this value."""

    column: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column of the image has one of these values; none match when there are none."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """A column of the image stands in this relation to a number or a time (naive UTC)."""

    column: str
    op: Comparison
    value: int | datetime


@dataclass(frozen=True, slots=True)
class HasTag:
    """The image has this tag."""

    tag: str


@dataclass(frozen=True, slots=True)
class HasProperty:
    """The image has a custom property of this name and value."""

    name: str
    value: str


Filter = Equals | OneOf | Compare | HasTag | HasProperty


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One page asked of the list of images.

    :param limit: the most images wanted; 0 asks for none.
    :param marker: id of the image after which the page starts.
    :param sort: columns and directions, the tie-breaks ``created_at`` and ``id`` at the end.
    :param filters: conditions that all hold.
    :param visibility: one visibility, ``"all"``, or ``None`` for what the caller sees by default.
    :param member_status: of images shared with the caller, those with this answer, or ``"all"``.
    :param os_hidden: whether hidden images are listed; they alone are, then.
    """

    limit: int
    marker: str | None = None
    sort: tuple[tuple[str, Direction], ...] = (("created_at", "desc"), ("id", "desc"))
    filters: tuple[Filter, ...] = ()
    visibility: str | None = None
    member_status: str = "accepted"
    os_hidden: bool = False

    @property
    def properties(self) -> list[str]:
        """Names of the custom properties that the filters ask about."""
        return [wanted.name for wanted in self.filters if isinstance(wanted, HasProperty)]


def parse_list_query(
    pairs: Iterable[tuple[str, str]], *, limit_default: int = 25, limit_max: int = 1000
) -> ListQuery:
    """Read the query of a request for the list of images.

    :param pairs: decoded names and values in the order given.
    :param limit_default: page size when the query has no ``limit`` (``limit_param_default``).
    :param limit_max: largest page (``api_limit_max``); a larger ``limit`` is lowered to it.
    :raises Invalid: a name, operator or value is wrong, or there are too many; the message says
        which.
    """
    single: dict[str, str] = {}
    sort_keys: list[str] = []
    sort_dirs: list[str] = []
    filters: list[Filter] = []
    for name, value in pairs:
        check_storable(name, "The name of a query parameter")
        check_storable(value, f"Query parameter {shorten(name)}")
        if name == "tag":
            filters.append(HasTag(value))
        elif name == "sort_key":
            sort_keys.append(value)
        elif name == "sort_dir":
            sort_dirs.append(value)
        elif single.setdefault(name, value) != value:
            raise Invalid(
                f"Query parameter {shorten(name)} has two different values; give it once."
            )
    sort_text = single.pop("sort", None)
    if sort_text is not None and (sort_keys or sort_dirs):
        raise Invalid("Use either sort or sort_key and sort_dir, not both.")
    limit = limit_default
    marker = visibility = None
    member_status = "accepted"
    os_hidden = False
    for name, value in single.items():
        if name == "limit":
            limit = _integer(name, value)
            if limit < 0:
                raise Invalid("Query parameter limit must not be negative.")
        elif name == "marker":
            marker = value
        elif name == "visibility":
            visibility = _choice(name, value, (*VISIBILITIES, "all"))
        elif name == "member_status":
            member_status = _choice(name, value, _MEMBER_STATUSES)
        elif name == "os_hidden":
            os_hidden = _choice(name, value.lower(), ("true", "false")) == "true"
        else:
            filters += _filter(name, value)
    filters = list(dict.fromkeys(filters))
    _check_bounds(filters)
    sort = _pair_sort(sort_keys, sort_dirs) if sort_text is None else _split_sort(sort_text)
    return ListQuery(
        min(limit, limit_max), marker, _with_tie_breaks(sort), tuple(filters),
        visibility, member_status, os_hidden,
    )  # fmt: skip


def _check_bounds(filters: Sequence[Filter]) -> None:
    if len(filters) > MOST_FILTERS:
        raise Invalid(f"The query has {len(filters)} filters; at most {MOST_FILTERS} are allowed.")
    values = sum(len(wanted.values) for wanted in filters if isinstance(wanted, OneOf))
    if values > MOST_VALUES:
        raise Invalid(
            f"The query's in: filters have {values} values; at most {MOST_VALUES} are allowed."
        )


def page_links(
    pairs: Sequence[tuple[str, str]], last_id: str | None, path: str = "/v2/images"
) -> tuple[str, str | None]:
    """Return the links to the first and to the next page of a list.

    :param pairs: decoded names and values of this page's own query, in order.
    :param last_id: id of the last image of this page, ``None`` when no page follows.
    :param path: what is listed.
    """
    kept = [pair for pair in pairs if pair[0] != "marker"]
    first = f"{path}?{urlencode(kept)}" if kept else path
    if last_id is None:
        return first, None
    return first, f"{path}?{urlencode([*kept, ('marker', last_id)])}"


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text) or abs(number := int(text)) > _INT64_MAX:
        raise Invalid(f"Query parameter {name} must be an integer of at most 64 bits.")
    return number


def _choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise Invalid(f"Query parameter {name} must be one of {', '.join(choices)}.")
    return value


def _filter(name: str, value: str) -> list[Filter]:
    if name in _OPERATOR_COLUMNS:
        return [_text_filter(name, value)]
    if name in _TIME_COLUMNS:
        return _time_filter(name, value)
    if name in _BOUNDS:
        column, op = _BOUNDS[name]
        return [Compare(column, op, _integer(name, value))]
    if name in _INT_COLUMNS:
        return [Equals(name, _integer(name, value))]
    if name in _TEXT_COLUMNS:
        return [Equals(name, value)]
    if name == "protected":
        return [Equals(name, _choice(name, value, ("true", "false")) == "true")]
    if name == "changes-since":
        raise Invalid(
            "Query parameter changes-since is not supported; use updated_at=gte:<time> instead."
        )
    if name in ("deleted", "deleted_at"):
        return []  # known and without effect: no list has deleted images
    return [HasProperty(name, value)]


def _text_filter(column: str, expression: str) -> Filter:
    operator, colon, value = expression.partition(":")
    if not colon:
        return Equals(column, expression)
    if operator == "eq":
        return Equals(column, value)
    if operator == "in":
        return OneOf(column, tuple(dict.fromkeys(_split_values(column, value))))
    raise Invalid(
        f"Query parameter {column} knows the operators eq and in, not {shorten(operator)};"
        " write eq: in front of a value that contains a colon."
    )


def _split_values(column: str, text: str) -> Iterable[str]:
    r"""Split the list of an ``in:`` filter.

    Commas part the values. A value in double quotes may contain them, and in it a backslash makes
    the character after it an ordinary one. Outside quotes only ``\"`` is special, and empty values
    are skipped; ``""`` is the empty string.
    """
    position, end = 0, len(text)
    while position < end:
        if text[position] == ",":
            position += 1
            continue
        pattern = _QUOTED if text[position] == '"' else _BARE
        found = pattern.match(text, position)
        if found is None or (found.end() < end and text[found.end()] != ","):
            raise Invalid(
                f"The quotes in query parameter {column} do not add up: a quoted value starts and"
                ' ends at a comma or at the end of the list, and \\" is a quote within it.'
            )
        value = found[1]
        yield _ESCAPED.sub(r"\1", value) if pattern is _QUOTED else value.replace('\\"', '"')
        position = found.end() + 1


def _time_filter(column: str, expression: str) -> list[Filter]:
    op: Comparison = "eq"
    found = _OPERATOR.fullmatch(expression)
    if found:
        if found[1] not in _COMPARISONS:
            raise Invalid(
                f"Query parameter {column} knows the operators {', '.join(_COMPARISONS)},"
                f" not {shorten(found[1])}."
            )
        op, expression = _COMPARISONS[found[1]], found[2]
    try:
        moment = datetime.fromisoformat(expression)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        # Replies show whole seconds: a time read from one must find its image again, whatever
        # fraction the catalogue keeps.
        if op == "eq" and moment.microsecond == 0:
            beyond = moment + timedelta(seconds=1)
            return [Compare(column, "gte", moment), Compare(column, "lt", beyond)]
    except (ValueError, OverflowError):
        raise Invalid(
            f"Query parameter {column} must hold an ISO 8601 time such as 2026-01-31T12:00:00Z."
        ) from None
    return [Compare(column, op, moment)]


def _direction(text: str) -> Direction:
    if text == "asc":
        return "asc"
    if text == "desc":
        return "desc"
    raise Invalid(f"A sort direction is asc or desc, not {shorten(text)}.")


def _sort_key(text: str) -> str:
    if text not in SORT_KEYS:
        raise Invalid(f"Images can be sorted by {', '.join(SORT_KEYS)}, not by {shorten(text)}.")
    return text


def _split_sort(text: str) -> list[tuple[str, Direction]]:
    sort = []
    for part in text.split(","):
        key, colon, direction = part.strip().partition(":")
        sort.append((_sort_key(key), _direction(direction) if colon else "desc"))
    return sort


def _pair_sort(keys: list[str], directions: list[str]) -> list[tuple[str, Direction]]:
    keys = keys or ["created_at"]
    directions = directions or ["desc"]
    if len(directions) == 1:
        directions *= len(keys)
    if len(directions) != len(keys):
        raise Invalid("Give one sort_dir for all sort_key parameters or one for each of them.")
    return [(_sort_key(k), _direction(d)) for k, d in zip(keys, directions, strict=True)]


def _with_tie_breaks(sort: list[tuple[str, Direction]]) -> tuple[tuple[str, Direction], ...]:
    """Make the order total, so that a page can start after any image; the first of a key counts."""
    last = sort[-1][1]
    ordered: dict[str, Direction] = {}
    for key, direction in [*sort, ("created_at", last), ("id", last)]:
        ordered.setdefault(key, direction)
    return tuple(ordered.items())
