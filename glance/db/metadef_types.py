"""Resource types in the catalogue, and which namespaces are for which of them.

Functions named ``thd_…`` block and run in a thread, inside an interaction of ``glance.db.txdbapi``
that has read the namespace, under lock where anything changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Integer, String, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from glance.db.columns import utcnow
from glance.db.once import insert_once
from glance.db.prepared import Exactly, Prepared
from glance.db.tables_metadefs import metadef_namespace_resource_types, metadef_resource_types
from glance.domain.errors import Duplicate, NotFound
from glance.domain.metadefs.model import Association, Namespace, ResourceType
from glance.domain.text import is_storable, shorten

_a, _t = metadef_namespace_resource_types.c, metadef_resource_types.c

_all = Prepared(select(_t.name, _t.protected, _t.created_at, _t.updated_at))
_known = Prepared(select(_t.id, _t.name).where(_t.name == bindparam("name", type_=String)))
_of_namespace = select(
    _t.name, _a.prefix, _a.properties_target, _a.created_at, _a.updated_at, _t.id
).join_from(metadef_namespace_resource_types, metadef_resource_types).where(
    _a.namespace_id == bindparam("of_id", type_=Integer)
)  # fmt: skip
_associations = Prepared(_of_namespace)
_association = Prepared(_of_namespace.where(Exactly(_t.name, bindparam("of_name", type_=String))))


def thd_list_all(connection: Connection) -> list[ResourceType]:
    """Read all resource types, in the order of their names."""
    # Databases sort names by rules of their own.
    found = [ResourceType(*row) for row in _all.thd_rows(connection, {})]
    return sorted(found, key=lambda item: item.name)


def thd_list(connection: Connection, namespace: Namespace) -> list[Association]:
    """Read what a namespace is for, in the order of names."""
    rows = _associations.thd_rows(connection, {"of_id": namespace.id})
    return sorted((Association(*row[:-1]) for row in rows), key=lambda item: item.name)


def thd_get(connection: Connection, namespace: Namespace, name: str) -> Association:
    """Read a namespace's association with a resource type.

    :raises NotFound: the namespace is not for it.
    """
    return Association(*_thd_row(connection, namespace, name)[:-1])


def _thd_row(connection: Connection, namespace: Namespace, name: str) -> Sequence[Any]:
    # Some databases refuse to compare with what they cannot store.
    if is_storable(name):
        values = {"of_id": namespace.id, "of_name": name}
        for row in _association.thd_rows(connection, values):
            return row
    raise NotFound(
        f"Namespace {shorten(namespace.name)} is not for the resource type {shorten(name)}."
    )


def thd_associate(
    connection: Connection, namespace: Namespace, association: Association
) -> Association:
    """Say that a namespace is for a resource type, which need not be known yet.

    :returns: the association, with the name that the resource type is known by.
    :raises Duplicate: it is for that one already.
    """
    now = utcnow()
    made = {"name": association.name, "protected": False, "created_at": now, "updated_at": now}
    connection.execute(insert_once(connection, metadef_resource_types, [made]))
    # To some databases names that differ in case only are the same, and then it is that one.
    ((number, name),) = _known.thd_rows(connection, {"name": association.name})
    row = {
        "resource_type_id": number,
        "namespace_id": namespace.id,
        "prefix": association.prefix,
        "properties_target": association.properties_target,
        "created_at": now,
        "updated_at": now,
    }
    try:
        connection.execute(insert(metadef_namespace_resource_types), row)
    except IntegrityError:
        raise Duplicate(
            f"Namespace {shorten(namespace.name)} is for the resource type"
            f" {shorten(association.name)} already."
        ) from None
    return replace(association, name=name, created_at=now, updated_at=now)


def thd_dissociate(connection: Connection, namespace: Namespace, name: str) -> None:
    """Say that a namespace is no longer for a resource type, which stays known.

    :raises NotFound: it was not for it.
    """
    *_, number = _thd_row(connection, namespace, name)
    connection.execute(
        delete(metadef_namespace_resource_types).where(
            _a.namespace_id == namespace.id, _a.resource_type_id == number
        )
    )
