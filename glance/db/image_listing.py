"""One page of the list of images.

Pages are cut by keys, not by offsets: a page starts after the marker's place in the sort order, so
that the last page of a large catalogue costs what the first one does. A page takes three
statements at most, whatever its length: the marker, the images, and all that belongs to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, false, func, literal, or_, select

from glance.db.images import COLUMNS, thd_fill
from glance.db.tables import image_members, image_properties, image_tags, images
from glance.domain.errors import Invalid
from glance.domain.image import COMMUNITY, KILLED, PUBLIC, SHARED, Image
from glance.domain.listing import (
    Compare,
    Equals,
    Filter,
    HasProperty,
    HasTag,
    ListQuery,
    OneOf,
)
from glance.domain.viewer import Viewer

_i = images.c

#: What a missing value counts as in the sort order.
_MISSING: dict[str, Any] = {
    "name": "", "container_format": "", "disk_format": "", "size": 0,
}  # fmt: skip


def thd_list(connection: Connection, query: ListQuery, viewer: Viewer) -> list[Image]:
    """Read one page of the images that a viewer sees, whole.

    :raises Invalid: the marker is no image that the viewer sees.
    """
    if not query.limit:
        return []
    statement = (
        select(*COLUMNS)
        .where(_i.deleted == false(), _i.os_hidden == query.os_hidden, _i.status != KILLED)
        .where(*_seen(query, viewer))
        .where(*(_condition(f) for f in query.filters))
        .order_by(*_order(query.sort))
        .limit(query.limit)
    )
    if query.marker is not None:
        statement = statement.where(_thd_after_marker(connection, query, viewer))
    page = [Image(*row) for row in connection.execute(statement)]
    thd_fill(connection, page)
    return page


def _shared_with(viewer: Viewer, member_status: str | None) -> ColumnElement[bool]:
    m = image_members.c
    mine = select(m.image_id).where(m.member == viewer.project_id, m.deleted == false())
    if member_status not in (None, "all"):
        mine = mine.where(m.status == member_status)
    return and_(_i.visibility == SHARED, _i.id.in_(mine))


def _visible(viewer: Viewer, member_status: str | None) -> list[ColumnElement[bool]]:
    """Say which images a viewer may see at all."""
    if viewer.is_admin:
        return []
    ways = [_i.visibility.in_((PUBLIC, COMMUNITY))]
    if viewer.project_id is not None:
        ways += [_i.owner == viewer.project_id, _shared_with(viewer, member_status)]
    return [or_(*ways)]


def _seen(query: ListQuery, viewer: Viewer) -> list[ColumnElement[bool]]:
    """Say which images belong in this list."""
    conditions = _visible(viewer, query.member_status)
    if query.visibility is None:
        # Other projects' community images are found by who asks for them only.
        if viewer.project_id is None:
            conditions.append(_i.visibility != COMMUNITY)
        else:
            conditions.append(or_(_i.visibility != COMMUNITY, _i.owner == viewer.project_id))
    elif query.visibility != "all":
        conditions.append(_i.visibility == query.visibility)
    return conditions


def _condition(wanted: Filter) -> ColumnElement[bool]:
    match wanted:
        case Equals(column, value):
            return _i[column] == value
        case OneOf(column, values):
            return _i[column].in_(values)
        case Compare(column, op, value):
            return _COMPARE[op](_i[column], value)
        case HasTag(tag):
            t = image_tags.c
            return _i.id.in_(select(t.image_id).where(t.value == tag, t.deleted == false()))
        case HasProperty(name, value):
            p = image_properties.c
            return _i.id.in_(
                select(p.image_id).where(p.name == name, p.value == value, p.deleted == false())
            )


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


def _thd_after_marker(
    connection: Connection, query: ListQuery, viewer: Viewer
) -> ColumnElement[bool]:
    keys = [key for key, _ in query.sort]
    row = connection.execute(
        select(*(_sortable(key) for key in keys))
        .where(_i.id == query.marker, _i.deleted == false())
        .where(*_visible(viewer, None))
    ).first()
    if row is None:
        raise Invalid(f"The marker {query.marker!r} is not an image that you can see.")
    return after(query.sort, tuple(row))


def after(sort: Sequence[tuple[str, str]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Say that an image comes after a place in a sort order.

    :param sort: keys and directions, in order of weight; together they order every image.
    :param values: the place, a value for each key.
    """
    (key, direction), value = sort[0], values[0]
    column = _sortable(key)
    beyond = column > value if direction == "asc" else column < value
    if len(sort) == 1:
        return beyond
    # Written so that the first key alone bounds the range: that is what an index can use.
    bound = column >= value if direction == "asc" else column <= value
    return and_(bound, or_(beyond, after(sort[1:], values[1:])))
