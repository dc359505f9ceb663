"""Namespaces of metadata definitions in the catalogue: reading, making, changing, deleting.

Functions named ``thd_…`` block and run in a thread, inside an interaction of
``glance.db.txdbapi``. Whoever changes anything in a namespace reads that one under lock first, so
that it is neither deleted nor protected meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    String,
    Text,
    bindparam,
    case,
    delete,
    insert,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from glance.db import metadef_types
from glance.db.columns import utcnow
from glance.db.metadef_parts import OBJECTS, PROPERTIES, TAGS, read_json
from glance.db.prepared import Exactly, Prepared
from glance.db.tables_metadefs import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_objects,
    metadef_properties,
    metadef_resource_types,
    metadef_tags,
)
from glance.domain.errors import Duplicate
from glance.domain.metadefs.model import (
    PRIVATE,
    PUBLIC,
    Association,
    Namespace,
    Object,
    Property,
    Tag,
    no_such_namespace,
    ordered,
)
from glance.domain.metadefs.names import split_required
from glance.domain.text import is_storable, shorten
from glance.domain.viewer import Viewer

_n = metadef_namespaces.c

#: Columns of a namespace, in the order of :func:`read_row`.
COLUMNS = (
    _n.id, _n.namespace, _n.owner, _n.visibility, _n.protected, _n.display_name, _n.description,
    _n.created_at, _n.updated_at,
)  # fmt: skip

_NAMED = Exactly(_n.namespace, bindparam("name", type_=String))

#: What the viewer sees who is no administrator.
SEEN = or_(_n.visibility == PUBLIC, _n.owner == bindparam("project_id", type_=String))


def read_row(row: Sequence[Any]) -> Namespace:
    """Make a namespace of a row of its columns."""
    number, name, owner, visibility, protected, title, text, created, updated = row
    return Namespace(
        name, owner, visibility or PRIVATE, bool(protected), title, text, created, updated, number
    )  # fmt: skip


def thd_get(connection: Connection, name: str, viewer: Viewer, *, lock: bool = False) -> Namespace:
    """Read one namespace, without what it defines.

    :param lock: keep other transactions from changing it until this one ends.
    :raises NotFound: there is none, or the viewer does not see it.
    """
    _check_name(name)
    statement = _one(viewer.is_admin, lock and connection.dialect.name != "sqlite")
    for row in statement.thd_rows(connection, _named(name, viewer)):
        return read_row(row)
    raise no_such_namespace(name)


@lru_cache
def _one(is_admin: bool, lock: bool) -> Prepared:
    statement = select(*COLUMNS).where(*_found(is_admin))
    return Prepared(statement.with_for_update() if lock else statement)


def _check_name(name: str) -> None:
    if not is_storable(name):
        # Some databases refuse to compare with what they cannot store.
        raise no_such_namespace(name)


def _named(name: str, viewer: Viewer) -> dict[str, Any]:
    return {"name": name} if viewer.is_admin else {"name": name, "project_id": viewer.project_id}


def _found(is_admin: bool) -> list[Any]:
    return [_NAMED] if is_admin else [_NAMED, SEEN]


# A namespace with all that it defines is read by one statement: rows of a kind, a number, a name,
# four texts and the times.
_IS_NAMESPACE, _IS_ASSOCIATION, _IS_PROPERTY, _IS_OBJECT, _IS_TAG = range(5)


def _kind(kind: int) -> Any:
    return literal_column(str(kind), Integer)


@lru_cache
def _whole(is_admin: bool) -> Prepared:
    a, t = metadef_namespace_resource_types.c, metadef_resource_types.c
    p, o, g = metadef_properties.c, metadef_objects.c, metadef_tags.c
    it = select(_n.id).where(*_found(is_admin)).scalar_subquery()
    protected = case((_n.protected == true(), 1), else_=0)
    rows = (
        select(
            _kind(_IS_NAMESPACE), _n.id, _n.namespace, _n.display_name, _n.description,
            _n.visibility, _n.owner, protected, _n.created_at, _n.updated_at,
        ).where(*_found(is_admin)),
        select(
            _kind(_IS_ASSOCIATION), t.id, t.name, a.prefix, a.properties_target, null(), null(),
            _kind(0), a.created_at, a.updated_at,
        )
        .join_from(metadef_namespace_resource_types, metadef_resource_types)
        .where(a.namespace_id == it),
        select(
            _kind(_IS_PROPERTY), p.id, p.name, type_coerce(p.json_schema, Text), null(), null(),
            null(), _kind(0), p.created_at, p.updated_at,
        ).where(p.namespace_id == it),
        select(
            _kind(_IS_OBJECT), o.id, o.name, o.description, o.required,
            type_coerce(o.json_schema, Text), null(), _kind(0), o.created_at, o.updated_at,
        ).where(o.namespace_id == it),
        select(
            _kind(_IS_TAG), g.id, g.name, null(), null(), null(), null(), _kind(0),
            g.created_at, g.updated_at,
        ).where(g.namespace_id == it),
    )  # fmt: skip
    return Prepared(union_all(*rows))


def thd_get_whole(connection: Connection, name: str, viewer: Viewer) -> Namespace:
    """Read one namespace with all that it defines.

    :raises NotFound: there is none, or the viewer does not see it.
    """
    _check_name(name)
    rows = _whole(viewer.is_admin).thd_rows(connection, _named(name, viewer))
    found: Namespace | None = None
    properties: list[Property] = []
    objects: list[Object] = []
    tags: list[tuple[Any, int, Tag]] = []
    associations: list[Association] = []
    for kind, number, title, a, b, c, d, flag, created, updated in rows:
        if kind == _IS_PROPERTY:
            properties.append(Property(title, ordered(read_json(a)), created, updated))
        elif kind == _IS_OBJECT:
            inner = {key: ordered(schema) for key, schema in read_json(c).items()}
            objects.append(Object(title, a, split_required(b), inner, created, updated))
        elif kind == _IS_TAG:
            tags.append((created, number, Tag(title, created, updated)))
        elif kind == _IS_ASSOCIATION:
            associations.append(Association(title, a, b, created, updated))
        else:
            found = Namespace(
                title, d, c or PRIVATE, bool(flag), a, b, created, updated, id=number
            )  # fmt: skip
    if found is None:
        raise no_such_namespace(name)
    # Databases sort names by rules of their own.
    found.associations = sorted(associations, key=lambda item: item.name)
    found.properties = sorted(properties, key=lambda item: item.name)
    found.objects = sorted(objects, key=lambda item: item.name)
    found.tags = [tag for _, _, tag in sorted(tags, key=lambda item: item[:2], reverse=True)]
    return found


def thd_insert(connection: Connection, namespace: Namespace) -> Namespace:
    """Save a new namespace with all that it defines.

    :raises Duplicate: a namespace of that name exists, or the database takes two names in it for
        the same.
    """
    now = utcnow()
    row = {**_values(namespace), "created_at": now, "updated_at": now}
    try:
        made = connection.execute(insert(metadef_namespaces), row)
    except IntegrityError:
        raise _taken(namespace.name) from None
    (namespace.id,) = made.inserted_primary_key or (0,)
    # In order, so that two who make the same resource types do not wait in a circle.
    for association in sorted(namespace.associations, key=lambda item: item.name):
        metadef_types.thd_associate(connection, namespace, association)
    PROPERTIES.thd_insert(connection, namespace, namespace.properties)
    OBJECTS.thd_insert(connection, namespace, namespace.objects)
    TAGS.thd_insert(connection, namespace, namespace.tags)
    namespace.created_at = namespace.updated_at = now
    return namespace


def thd_update(connection: Connection, before: Namespace, change: Namespace) -> Namespace:
    """Save what a namespace is to become, without what it defines.

    :param before: the namespace as it was read under lock.
    :param change: what it is to become; it stays with its owner if that is empty.
    :raises Duplicate: its new name is another's.
    """
    after = replace(
        change,
        id=before.id,
        owner=change.owner or before.owner,
        created_at=before.created_at,
        updated_at=utcnow(),
    )
    try:
        connection.execute(
            update(metadef_namespaces)
            .where(_n.id == after.id)
            .values(**_values(after), updated_at=after.updated_at)
        )
    except IntegrityError:
        raise _taken(after.name) from None
    return after


def thd_delete(connection: Connection, namespace: Namespace) -> None:
    """Delete a namespace that was read under lock, with all that it defines."""
    for table in (
        metadef_tags,
        metadef_objects,
        metadef_properties,
        metadef_namespace_resource_types,
    ):
        connection.execute(delete(table).where(table.c.namespace_id == namespace.id))
    connection.execute(delete(metadef_namespaces).where(_n.id == namespace.id))


def _taken(name: str) -> Duplicate:
    """Return the error for a namespace whose name is another's."""
    return Duplicate(f"A namespace {shorten(name)} exists already.")


def _values(namespace: Namespace) -> dict[str, Any]:
    return {
        "namespace": namespace.name,
        "owner": namespace.owner,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        "display_name": namespace.display_name,
        "description": namespace.description,
    }
