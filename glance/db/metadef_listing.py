"""Pages of namespaces and of tags.

A page starts after the marker's place in the sort order, so that the last one costs what the first
one does. It takes two statements at most: where the marker stands, and the page, which for
namespaces has what they are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    bindparam,
    false,
    func,
    or_,
    select,
    tuple_,
)

from glance.db.metadef_namespaces import COLUMNS, SEEN, read_row
from glance.db.metadef_parts import TAGS
from glance.db.prepared import Exactly, Prepared
from glance.db.tables_metadefs import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_resource_types,
    metadef_tags,
)
from glance.domain.metadefs.listing import ListQuery
from glance.domain.metadefs.model import (
    PRIVATE,
    PUBLIC,
    Association,
    Namespace,
    Tag,
    no_such_namespace,
)
from glance.domain.text import is_storable
from glance.domain.viewer import Viewer

_n, _g = metadef_namespaces.c, metadef_tags.c
_a, _t = metadef_namespace_resource_types.c, metadef_resource_types.c

#: What a missing value counts as in the sort order.
_MISSING: dict[str, Any] = {
    "display_name": "", "description": "", "visibility": PRIVATE, "protected": false(),
}  # fmt: skip

_LIMIT = bindparam("limit", type_=Integer)


def thd_list(connection: Connection, query: ListQuery, viewer: Viewer) -> list[Namespace]:
    """Read one page of the namespaces that a viewer sees, with what they are for.

    :raises NotFound: the marker is no namespace that the viewer sees.
    """
    types = query.resource_types
    if query.limit == 0 or types == () or not all(is_storable(name) for name in types or ()):
        return []
    shape = _Shape(
        viewer.is_admin, query.sort, query.visibility, len(types or ()), query.marker is not None
    )
    values: dict[str, Any] = {"limit": query.limit}
    if not viewer.is_admin:
        values["project_id"] = viewer.project_id
    values |= {f"t{n}": name for n, name in enumerate(types or ())}
    if query.marker is not None:
        values |= _thd_place(connection, query.marker, query.sort, viewer)
    page: dict[int, Namespace] = {}
    width = len(COLUMNS)
    for row in _page(shape).thd_rows(connection, values):
        namespace = page.get(row[0])
        if namespace is None:
            namespace = page[row[0]] = read_row(row[:width])
        if row[width] is not None:
            namespace.associations.append(Association(*row[width:]))
    for namespace in page.values():
        # Databases sort names by rules of their own.
        namespace.associations.sort(key=lambda item: item.name)
    return [*page.values()]


@dataclass(frozen=True, slots=True)
class _Shape:
    """All of a query but its values: what decides the statement's words.

    :param types: how many resource types are asked for; 0 for whatever they are for.
    """

    is_admin: bool
    sort: tuple[tuple[str, str], ...]
    visibility: str | None
    types: int
    has_marker: bool


@lru_cache(maxsize=128)
def _page(shape: _Shape) -> Prepared:
    found = select(*COLUMNS).order_by(*_order(shape.sort, _n)).limit(_LIMIT)
    if not shape.is_admin:
        found = found.where(SEEN)
    if shape.visibility == PUBLIC:
        found = found.where(_n.visibility == PUBLIC)
    elif shape.visibility is not None:
        found = found.where(_sortable("visibility", _n) == shape.visibility)
    if shape.types:
        names = [bindparam(f"t{n}", type_=String) for n in range(shape.types)]
        fitting = (
            select(_a.namespace_id)
            .join_from(metadef_namespace_resource_types, metadef_resource_types)
            .where(or_(*(Exactly(_t.name, name) for name in names)))
        )
        found = found.where(_n.id.in_(fitting))
    if shape.has_marker:
        found = found.where(_after(shape.sort, _n))
    page = found.subquery("page")
    associations = (
        select(
            _a.namespace_id, _t.name, _a.prefix, _a.properties_target,
            _a.created_at, _a.updated_at,
        )
        .join_from(metadef_namespace_resource_types, metadef_resource_types)
        .subquery("associations")
    )  # fmt: skip
    return Prepared(
        select(*page.c, *list(associations.c)[1:])
        .outerjoin_from(page, associations, page.c.id == associations.c.namespace_id)
        .order_by(*_order(shape.sort, page.c))
    )


def _thd_place(
    connection: Connection, marker: str, sort: Sequence[tuple[str, str]], viewer: Viewer
) -> dict[str, Any]:
    """Return where a namespace stands in the sort order."""
    values = {"name": marker}
    if not viewer.is_admin:
        values["project_id"] = viewer.project_id  # type: ignore[assignment]
    if is_storable(marker):
        keys = tuple(key for key, _ in sort)
        for row in _place(keys, viewer.is_admin).thd_rows(connection, values):
            return _keys(row)
    raise no_such_namespace(marker)


@lru_cache(maxsize=32)
def _place(keys: tuple[str, ...], is_admin: bool) -> Prepared:
    named = Exactly(_n.namespace, bindparam("name", type_=String))
    place = select(*(_sortable(key, _n) for key in keys)).where(named)
    return Prepared(place if is_admin else place.where(SEEN))


def thd_list_tags(connection: Connection, namespace: Namespace, query: ListQuery) -> list[Tag]:
    """Read one page of a namespace's tags.

    :raises NotFound: the marker is no tag of the namespace.
    """
    if query.limit == 0:
        return []
    values: dict[str, Any] = {"of_id": namespace.id}
    if query.limit is not None:
        values["limit"] = query.limit
    if query.marker is not None:
        if not is_storable(query.marker):
            raise TAGS.missing(namespace, query.marker)
        keys = tuple(key for key, _ in query.sort)
        named = {"of_id": namespace.id, "name": query.marker}
        rows = _place_of_tag(keys).thd_rows(connection, named)
        if not rows:
            raise TAGS.missing(namespace, query.marker)
        values |= _keys(rows[0])
    statement = _tags(query.sort, query.marker is not None, query.limit is not None)
    return [TAGS.read(row) for row in statement.thd_rows(connection, values)]


@lru_cache(maxsize=32)
def _tags(sort: tuple[tuple[str, str], ...], has_marker: bool, has_limit: bool) -> Prepared:
    found = select(*TAGS.columns).where(TAGS.of_namespace).order_by(*_order(sort, _g))
    if has_marker:
        found = found.where(_after(sort, _g))
    return Prepared(found.limit(_LIMIT) if has_limit else found)


@lru_cache(maxsize=32)
def _place_of_tag(keys: tuple[str, ...]) -> Prepared:
    named = Exactly(_g.name, bindparam("name", type_=String))
    return Prepared(select(*(_sortable(key, _g) for key in keys)).where(TAGS.of_namespace, named))


def _keys(row: Sequence[Any]) -> dict[str, Any]:
    return {f"k{n}": value for n, value in enumerate(row)}


def _sortable(key: str, columns: Any) -> ColumnElement[Any]:
    column: ColumnElement[Any] = columns[key]
    if key in _MISSING:
        return func.coalesce(column, _MISSING[key], type_=column.type)
    if key == "updated_at":
        return func.coalesce(column, columns["created_at"], type_=column.type)
    return column


def _order(sort: Sequence[tuple[str, str]], columns: Any) -> list[ColumnElement[Any]]:
    return [
        _sortable(key, columns).asc() if direction == "asc" else _sortable(key, columns).desc()
        for key, direction in sort
    ]


def _after(sort: Sequence[tuple[str, str]], columns: Any) -> ColumnElement[bool]:
    """Say that a row comes after the marker, whose place is the values k0, k1, …"""
    keys = [_sortable(key, columns) for key, _ in sort]
    values = [bindparam(f"k{n}", type_=column.type) for n, column in enumerate(keys)]
    beyond: Any = tuple_(*keys) > tuple_(*values)
    return beyond if sort[0][1] == "asc" else tuple_(*keys) < tuple_(*values)
