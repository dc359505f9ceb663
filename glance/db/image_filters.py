"""The filters of the list of images, as conditions on a row of ``images``.

A filter's shape (its kind and column) decides the words; its values are parameters, ``f0`` and on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    String,
    and_,
    bindparam,
    case,
    false,
    func,
    select,
)

from glance.db.prepared import Exactly, among
from glance.db.tables import image_properties, image_tags, images
from glance.domain.listing import Compare, Equals, Filter, HasProperty, HasTag, OneOf

_i = images.c

#: Filters by tag or property that become joins. PostgreSQL's planner tries the orders of all: it
#: takes 0.02 s for 10, half a second for 30 and half a minute for 200.
_MOST_JOINS = 4

#: Columns of which a value leads to few images, by an index.
_LEADING = frozenset({"id", "name", "checksum", "os_hash_value"})

Condition = ColumnElement[bool]
FilterShape = tuple[Any, ...]


def filter_shape(wanted: Filter) -> FilterShape:
    """Return all of a filter but its values: what decides the statement's words."""
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


def filter_values(filters: Sequence[Filter]) -> dict[str, Any]:
    """Name the values that a statement with these filters is run with."""
    values: dict[str, Any] = {}
    for n, wanted in enumerate(filters):
        match wanted:
            case Equals(_, value) | Compare(_, _, value) | HasTag(value):
                values[f"f{n}"] = value
            case OneOf(_, several):
                values |= {f"f{n}_{m}": value for m, value in enumerate(several)}
            case HasProperty(name, value):
                values |= {f"f{n}_name": name, f"f{n}_value": value}
    return values


def leads(filters: Sequence[FilterShape]) -> bool:
    """Say whether a filter leads to few images, so that all else is best looked at in these."""
    return any(kind in (Equals, OneOf) and rest[0] in _LEADING for kind, *rest in filters)


def leads_in_order(filters: Sequence[FilterShape]) -> bool:
    """Say whether a filter leads to images in the order in which they were made."""
    return (Equals, "owner") in filters


def depend_on_values(filters: Sequence[FilterShape]) -> bool:
    """Say whether the values decide what had better be looked at first."""
    columns = ("owner", "created_at", "updated_at")
    return not leads(filters) and any(
        kind in (HasTag, HasProperty) or rest[0] in columns for kind, *rest in filters
    )


def has_index(filters: Sequence[FilterShape]) -> bool:
    """Say whether an index leads to what a filter leaves, which may be much or little."""
    return any(kind is Compare and rest[0] == "updated_at" for kind, *rest in filters)


def conditions(filters: Sequence[FilterShape]) -> list[Condition]:
    """Say what an image must be to pass all filters."""
    plain, looked_at, joins = [], [], 0
    for n, (kind, *details) in enumerate(filters):
        if kind is not HasTag and kind is not HasProperty:
            plain.append(_comparison(f"f{n}", kind, *details))
            continue
        column, had = _having(f"f{n}", kind)
        if joins < _MOST_JOINS:
            joins += 1
            plain.append(select(column).where(column == _i.id, *had).exists())
        else:
            own = select(func.count()).where(column == _i.id, *had).scalar_subquery()
            looked_at.append(own > 0)
    if looked_at:
        # One condition, since each would make databases expect a third of the images.
        plain.append(case((and_(*looked_at), 1), else_=0) > 0)
    return plain


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
