"""One page of the list of images.

Pages are cut by keys, not by offsets: a page starts after the marker's place in the sort order, so
that the last page of a large catalogue costs what the first one does. And images are found by what
makes the viewer see them, so that it makes no difference how many there are besides. A page takes
three statements at most, whatever its length: where the marker is and how many images the viewer
sees by which way, the images, and all that belongs to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    union,
)

from glance.db.hints import as_it_is, unindexed, word
from glance.db.image_filters import (
    FilterShape,
    conditions,
    depend_on_values,
    filter_shape,
    filter_values,
    has_index,
    leads,
    leads_in_order,
)
from glance.db.image_parts import thd_fill
from glance.db.image_sight import Amount, Sight, Way
from glance.db.images import COLUMNS
from glance.db.own_tables import owner_index
from glance.db.prepared import Prepared
from glance.db.tables import images
from glance.domain.errors import Invalid
from glance.domain.image import KILLED, Image
from glance.domain.listing import ListQuery
from glance.domain.text import shorten
from glance.domain.viewer import Viewer

_i = images.c

_END_OF_TIME = literal_column("'9999-01-01'", DateTime)

#: What a missing value counts as in the sort order.
_MISSING: dict[str, Any] = {
    "name": "", "container_format": "", "disk_format": "", "size": 0,
}  # fmt: skip

#: How many images are seen by which way, where that makes no difference.
_NOT_ASKED = (0, 0)


def thd_list(connection: Connection, query: ListQuery, viewer: Viewer) -> list[Image]:
    """Read one page of the images that a viewer sees, whole.

    :raises Invalid: the marker is no image that the viewer sees.
    """
    if not query.limit:
        return []
    shape = _shape(query, viewer)
    values: dict[str, Any] = {
        "limit": query.limit, "os_hidden": query.os_hidden, **filter_values(query.filters),
    }  # fmt: skip
    if viewer.project_id is not None:
        values["project_id"] = viewer.project_id
    amounts: Sequence[int] = _NOT_ASKED
    if query.marker is not None:
        place = _marker_statement(shape).thd_rows(connection, {**values, "marker": query.marker})
        if not place:
            raise Invalid(f"The marker {shorten(query.marker)} is not an image that you can see.")
        amounts, keys = place[0][:2], place[0][2:]
        values |= {f"k{n}": value for n, value in enumerate(keys)}
    elif shape.is_surveyed:
        (amounts,) = _survey_statement(shape).thd_rows(connection, values)
    statement = _page_statement(shape, Amount(amounts[0]), bool(amounts[1]))
    page = [Image(*row) for row in statement.thd_rows(connection, values)]
    thd_fill(connection, page)
    return page


@dataclass(frozen=True, slots=True)
class _Shape:
    """All of a query but its values: what decides the statement's words."""

    sight: Sight
    sort: tuple[tuple[str, str], ...]
    filters: tuple[FilterShape, ...]
    has_marker: bool

    @property
    def in_order(self) -> bool:
        """Say whether the indexes that lead to what is seen have it in this order."""
        return self.sort in _INDEXED

    @property
    def is_surveyed(self) -> bool:
        """Say whether the best statement depends on how many images are seen by which way."""
        if leads(self.filters) or leads_in_order(self.filters):
            return False
        return self.sight.has_members or (self.sight.has_several and not self.in_order)


_INDEXED = tuple((("created_at", direction), ("id", direction)) for direction in ("asc", "desc"))


def _shape(query: ListQuery, viewer: Viewer) -> _Shape:
    # An id is unique: what is sorted by after it has no effect but on the choice of an index.
    keys = [key for key, _ in query.sort]
    return _Shape(
        Sight(
            viewer.is_admin, viewer.project_id is not None, query.visibility, query.member_status
        ),
        query.sort[: keys.index("id") + 1] if "id" in keys else query.sort,
        tuple([filter_shape(wanted) for wanted in query.filters]),
        query.marker is not None,
    )


@lru_cache(maxsize=256)
def _survey_statement(shape: _Shape) -> Prepared:
    return Prepared(select(*_survey(shape)), by_values=not shape.in_order)


def _survey(shape: _Shape) -> list[ColumnElement[int]]:
    """Tell how many images are shared with the viewer, and whether many are seen otherwise."""
    none = literal_column("0", Integer)
    if not shape.is_surveyed:
        return [none, none]
    shared = shape.sight.amount_shared()
    if shape.in_order:
        return [shared, none]
    return [shared, shape.sight.amount_else(*_is_listed(as_it_is)[:2])]


@lru_cache(maxsize=256)
def _marker_statement(shape: _Shape) -> Prepared:
    """Read the marker's place in the sort order, behind the survey."""
    everything = Sight(shape.sight.is_admin, shape.sight.has_project)
    place = (
        select(*_survey(shape), *(_sortable(key) for key, _ in shape.sort))
        .where(_i.id == bindparam("marker"), _i.deleted == false())
        .where(everything.looked_at(found=True))
    )
    return Prepared(place, by_values=shape.is_surveyed and not shape.in_order)


@lru_cache(maxsize=256)
def _page_statement(shape: _Shape, shared: Amount, many: bool) -> Prepared:
    """Read a page.

    :param shared: how many images are shared with the viewer.
    :param many: whether many images are seen otherwise, if that matters.
    """
    ways = _ways(shape, shared, many)
    by_values = depend_on_values(shape.filters)
    if len(ways) == 1:
        # Some projects have few images and some have very many.
        by_values = by_values or ways[0].index == owner_index.name
        return Prepared(_found(COLUMNS, shape, ways[0]), by_values=by_values)
    # As many images of each way as fit the page, of which one may be seen by several. In the usual
    # order their indexes tell all that this takes, so that other plans seem worse, whoever looks.
    # Only the images of the page are read.
    by_values = by_values or not shape.in_order
    keys = [_i[key] for key, _ in shape.sort]
    found = union(*(select(_found(keys, shape, way).subquery()) for way in ways)).subquery()
    page = select(found).order_by(*_order(shape.sort, found.c)).limit(_limit()).subquery()
    whole = select(*COLUMNS).join(page, page.c.id == _i.id).order_by(*_order(shape.sort, page.c))
    return Prepared(whole, by_values=by_values)


def _ways(shape: _Shape, shared: Amount, many: bool) -> list[Way]:
    if leads(shape.filters):
        return [Way(shape.sight.looked_at(found=True), leads=True)]
    if leads_in_order(shape.filters):
        return [Way(shape.sight.looked_at(found=True), owner_index.name)]
    if not shape.in_order and (many or shared is Amount.MANY):
        # What comes first is not known before all was looked at.
        return [Way(shape.sight.looked_at(found=False))]
    return shape.sight.ways(shared)


def _found(columns: Sequence[Any], shape: _Shape, way: Way) -> Select[Any]:
    """Select the first images of a way."""
    column = unindexed if way.leads else as_it_is
    statement = (
        select(*columns)
        .where(*_is_listed(column), way.condition, *conditions(shape.filters))
        .order_by(*_order(shape.sort, _i))
        .limit(_limit())
    )
    if way.index and shape.in_order and not has_index(shape.filters):
        # Where more than half of the images are seen, MariaDB reads all from the newest to the
        # marker instead of beginning there.
        statement = statement.with_hint(images, f"FORCE INDEX ({way.index})", "mysql")
    if shape.has_marker:
        return statement.where(_after(shape.sort))
    if shape.sort[0] == ("created_at", "desc"):
        # Always true, but without a bound MariaDB sorts the whole table for a first page.
        return statement.where(column(_i.created_at) <= _END_OF_TIME)
    return statement


def _limit() -> Any:
    return bindparam("limit", type_=Integer)


def _is_listed(column: Callable[[Any], Any]) -> list[ColumnElement[bool]]:
    hidden = column(_i.os_hidden) == bindparam("os_hidden")
    return [column(_i.deleted) == false(), hidden, _i.status != word(KILLED)]


def _sortable(key: str, columns: Any = _i) -> ColumnElement[Any]:
    column: ColumnElement[Any] = columns[key]
    return func.coalesce(column, literal(_MISSING[key])) if key in _MISSING else column


def _order(sort: Sequence[tuple[str, str]], columns: Any) -> list[ColumnElement[Any]]:
    return [
        _sortable(key, columns).asc() if direction == "asc" else _sortable(key, columns).desc()
        for key, direction in sort
    ]


def _after(sort: Sequence[tuple[str, str]], n: int = 0) -> ColumnElement[bool]:
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
