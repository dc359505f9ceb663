"""One page of the list of images.

Pages are cut by keys, not by offsets: a page starts after the marker's place in the sort order, so
that the last page of a large catalogue costs what the first one does. A page takes three
statements at most, whatever its length: the marker, the images, and all that belongs to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    String,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from glance.db.image_parts import thd_fill
from glance.db.images import COLUMNS
from glance.db.prepared import Exactly, Prepared, among
from glance.db.tables import image_members, image_properties, image_tags, images
from glance.domain.errors import Invalid
from glance.domain.image import COMMUNITY, KILLED, PRIVATE, PUBLIC, SHARED, Image
from glance.domain.listing import (
    Compare,
    Equals,
    Filter,
    HasProperty,
    HasTag,
    ListQuery,
    OneOf,
)
from glance.domain.text import shorten
from glance.domain.viewer import Viewer

_i = images.c

_END_OF_TIME = datetime(9999, 1, 1)

#: What a missing value counts as in the sort order.
_MISSING: dict[str, Any] = {
    "name": "", "container_format": "", "disk_format": "", "size": 0,
}  # fmt: skip

#: Filters by tag or property that become joins. PostgreSQL's planner tries the orders of all: it
#: takes 0.02 s for 10, half a second for 30 and half a minute for 200.
_MOST_JOINS = 4

Condition = ColumnElement[bool]


def thd_list(connection: Connection, query: ListQuery, viewer: Viewer) -> list[Image]:
    """Read one page of the images that a viewer sees, whole.

    :raises Invalid: the marker is no image that the viewer sees.
    """
    if not query.limit:
        return []
    shape = _shape(query, viewer)
    values = _values(query, viewer)
    if query.marker is not None:
        place = _marker_statement(shape).thd_rows(connection, {**values, "marker": query.marker})
        if not place:
            raise Invalid(f"The marker {shorten(query.marker)} is not an image that you can see.")
        values |= {f"k{n}": value for n, value in enumerate(place[0])}
    page = [Image(*row) for row in _page_statement(shape).thd_rows(connection, values)]
    thd_fill(connection, page)
    return page


@dataclass(frozen=True, slots=True)
class _Shape:
    """All of a query but its values: what decides the statement's words."""

    sort: tuple[tuple[str, str], ...]
    filters: tuple[tuple[Any, ...], ...]
    visibility: str | None
    member_status: str
    is_admin: bool
    has_project: bool
    has_marker: bool


def _shape(query: ListQuery, viewer: Viewer) -> _Shape:
    # An id is unique: what is sorted by after it has no effect but on the choice of an index.
    keys = [key for key, _ in query.sort]
    return _Shape(
        query.sort[: keys.index("id") + 1] if "id" in keys else query.sort,
        tuple([_filter_shape(wanted) for wanted in query.filters]),
        query.visibility,
        query.member_status,
        viewer.is_admin,
        viewer.project_id is not None,
        query.marker is not None,
    )


def _filter_shape(wanted: Filter) -> tuple[Any, ...]:
    match wanted:
        case Equals(column, _):
            return (Equals, column)
        case OneOf(column, values):
            return (OneOf, column, len(values))
        case Compare(column, op, _):
            return (Compare, column, op)
        case HasTag():
            return (HasTag,)
        case HasProperty():
            return (HasProperty,)


def _values(query: ListQuery, viewer: Viewer) -> dict[str, Any]:
    """Name the values that a statement of the query's shape is run with."""
    values: dict[str, Any] = {"limit": query.limit, "os_hidden": query.os_hidden}
    if viewer.project_id is not None:
        values["project_id"] = viewer.project_id
    for n, wanted in enumerate(query.filters):
        match wanted:
            case Equals(_, value) | Compare(_, _, value) | HasTag(value):
                values[f"f{n}"] = value
            case OneOf(_, several):
                values |= {f"f{n}_{m}": value for m, value in enumerate(several)}
            case HasProperty(name, value):
                values |= {f"f{n}_name": name, f"f{n}_value": value}
    return values


@lru_cache(maxsize=256)
def _page_statement(shape: _Shape) -> Prepared:
    statement = (
        select(*COLUMNS)
        .where(_i.deleted == false(), _i.os_hidden == bindparam("os_hidden"))
        .where(_i.status != KILLED, _seen(shape, shape.visibility, shape.member_status))
        .where(*_conditions(shape.filters))
        .order_by(*_order(shape.sort))
        .limit(bindparam("limit", type_=Integer))
    )
    if shape.has_marker:
        statement = statement.where(_after(shape.sort))
    elif shape.sort[0] == ("created_at", "desc"):
        # Always true, but without a bound MariaDB sorts the whole table for a first page.
        statement = statement.where(_i.created_at <= _END_OF_TIME)
    return Prepared(statement)


@lru_cache(maxsize=256)
def _marker_statement(shape: _Shape) -> Prepared:
    """Read the marker's place in the sort order."""
    return Prepared(
        select(*(_sortable(key) for key, _ in shape.sort))
        .where(_i.id == bindparam("marker"), _i.deleted == false())
        .where(_seen(shape, "all", "all"))
    )


def _project() -> Any:
    return bindparam("project_id", type_=String)


def _seen(shape: _Shape, visibility: str | None, member_status: str) -> Condition:
    """Say which images a viewer sees who asks for a visibility, for ``"all"`` or for none."""
    if shape.is_admin:
        if visibility is None:
            # Other projects' community images are found by who asks for them only.
            ordinary: Condition = _i.visibility != COMMUNITY
            return or_(ordinary, _i.owner == _project()) if shape.has_project else ordinary
        return true() if visibility == "all" else _i.visibility == visibility
    # Not more than is asked for: what is left is often little, and found by an index.
    ways: list[Condition] = []
    if visibility in _OPEN:
        ways.append(among(_i.visibility, _OPEN[visibility]))
    if shape.has_project and visibility not in (PUBLIC, COMMUNITY):
        own: Condition = _i.owner == _project()
        ways.append(own if visibility in _OPEN else and_(own, _i.visibility == visibility))
        if visibility != PRIVATE:
            m = image_members.c
            shared = select(m.image_id).where(m.member == _project(), m.deleted == false())
            if member_status != "all":
                shared = shared.where(m.status == member_status)
            ways.append(and_(_i.visibility == SHARED, _i.id.in_(shared)))
    return or_(false(), *ways)


#: What everybody sees, by the visibility that is asked for.
_OPEN: dict[str | None, tuple[str, ...]] = {
    None: (PUBLIC,), "all": (PUBLIC, COMMUNITY), PUBLIC: (PUBLIC,), COMMUNITY: (COMMUNITY,),
}  # fmt: skip


def _conditions(filters: Sequence[tuple[Any, ...]]) -> list[Condition]:
    """Say what an image must be to pass all filters."""
    conditions, looked_at, joins = [], [], 0
    for n, (kind, *details) in enumerate(filters):
        if kind is not HasTag and kind is not HasProperty:
            conditions.append(_comparison(f"f{n}", kind, *details))
            continue
        column, had = _having(f"f{n}", kind)
        if joins < _MOST_JOINS:
            joins += 1
            conditions.append(_i.id.in_(select(column).where(*had)))
        else:
            own = select(func.count()).where(column == _i.id, *had).scalar_subquery()
            looked_at.append(own > 0)
    if looked_at:
        # One condition, since each would make databases expect a third of the images.
        conditions.append(case((and_(*looked_at), 1), else_=0) > 0)
    return conditions


def _having(name: str, kind: type) -> tuple[ColumnElement[Any], list[Condition]]:
    """Say which rows give their images a tag or a property, and where they name the image."""
    if kind is HasTag:
        t = image_tags.c
        return t.image_id, [t.value == bindparam(name), t.deleted == false()]
    p = image_properties.c
    # Of protected properties, the one named must be the one found.
    named = Exactly(p.name, bindparam(f"{name}_name", type_=String))
    valued = p.value == bindparam(f"{name}_value")
    return p.image_id, [named, valued, p.deleted == false()]


def _comparison(name: str, kind: type, *details: Any) -> Condition:
    column: ColumnElement[Any] = _i[details[0]]
    if kind is OneOf:
        names = [bindparam(f"{name}_{m}", type_=column.type) for m in range(details[1])]
        return among(column, names)
    op = details[1] if kind is Compare else "eq"
    # A number may be larger than any that the column holds.
    wide = BigInteger() if isinstance(column.type, Integer) else column.type
    return _COMPARE[op](column, bindparam(name, type_=wide))


_COMPARE: dict[str, Any] = {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
}


def _sortable(key: str) -> ColumnElement[Any]:
    column: ColumnElement[Any] = _i[key]
    return func.coalesce(column, literal(_MISSING[key])) if key in _MISSING else column


def _order(sort: Sequence[tuple[str, str]]) -> list[ColumnElement[Any]]:
    return [
        _sortable(key).asc() if direction == "asc" else _sortable(key).desc()
        for key, direction in sort
    ]


def _after(sort: Sequence[tuple[str, str]], n: int = 0) -> Condition:
    """Say that an image comes after the marker, whose place is the values k0, k1, …

    :param sort: keys and directions, in order of weight; together they order every image.
    """
    direction = sort[0][1]
    keys = [key for key, _ in takewhile(lambda pair: pair[1] == direction, sort)]
    columns = [_sortable(key) for key in keys]
    values = [bindparam(f"k{n + m}", type_=_i[key].type) for m, key in enumerate(keys)]
    # Compared as rows. Spelled out with OR, the condition now and then makes MariaDB merge other
    # indexes and sort all that it finds there.
    left, right = (tuple_(*columns), tuple_(*values)) if len(keys) > 1 else (columns[0], values[0])
    beyond: Any = left > right if direction == "asc" else left < right
    if len(keys) < len(sort):
        beyond = or_(beyond, and_(left == right, _after(sort[len(keys) :], n + len(keys))))
    if n:
        return beyond
    # What follows from the rest is said of the first key alone: that is what an index can use.
    bound = columns[0] >= values[0] if direction == "asc" else columns[0] <= values[0]
    return and_(bound, beyond)
