"""Whole namespaces in the catalogue: read, brought to what they should be, removed.

Everything of one kind is one statement, however much there is of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, insert, select, update

from glance.db.tables_metadefs import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_objects,
    metadef_properties,
    metadef_resource_types,
    metadef_tags,
)
from glance.domain.metadefs.changes import Changes, Mode, compare
from glance.domain.metadefs.definition import (
    OWN_FIELDS,
    Association,
    Definition,
    Kind,
    Object,
)
from glance.domain.metadefs.names import join_required, split_required

#: Children before those whom they refer to.
TABLES = (
    metadef_properties,
    metadef_objects,
    metadef_tags,
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_resource_types,
)
_NAMED = {
    Kind.PROPERTY: metadef_properties,
    Kind.OBJECT: metadef_objects,
    Kind.TAG: metadef_tags,
}


def thd_names(connection: Connection) -> list[str]:
    """Return the names of all namespaces, the oldest first."""
    query = select(metadef_namespaces.c.namespace).order_by(metadef_namespaces.c.id)
    return list(connection.scalars(query))


def thd_read(connection: Connection, name: str) -> Definition | None:
    """Return a namespace, ``None`` if there is none of that name."""
    found = _thd_find(connection, name)
    return None if found is None else _thd_read(connection, found)


def thd_load(connection: Connection, wanted: Definition, mode: Mode) -> Changes | None:
    """Make a namespace what a file and a mode want.

    :returns: what was changed, ``None`` if the namespace was left alone because it is there.
    """
    found = _thd_find(connection, wanted.name, lock=True)
    if found is not None and mode is Mode.SKIP:
        return None
    present = None if found is None else _thd_read(connection, found)
    changes = compare(present, wanted, mode)
    if not changes.nothing:
        _thd_apply(connection, wanted.name, None if found is None else found["id"], changes)
    return changes


def thd_unload(connection: Connection) -> dict[str, int]:
    """Remove all metadata definitions.

    :returns: how many rows there were, by table, in the order in which they went.
    """
    return {table.name: connection.execute(delete(table)).rowcount for table in TABLES}


def _thd_find(connection: Connection, name: str, *, lock: bool = False) -> RowMapping | None:
    query = select(metadef_namespaces).where(metadef_namespaces.c.namespace == name)
    if lock:
        query = query.with_for_update()
    found = connection.execute(query).mappings().first()
    # To MariaDB names that differ in case, accents or spaces at the end are the same.
    return found if found is not None and found["namespace"] == name else None


def _thd_read(connection: Connection, row: RowMapping) -> Definition:
    types = metadef_resource_types
    links = metadef_namespace_resource_types
    associations = connection.execute(
        select(types.c.name, links.c.prefix, links.c.properties_target)
        .join(links, links.c.resource_type_id == types.c.id)
        .where(links.c.namespace_id == row["id"])
    ).all()
    kept = {
        kind: connection.execute(
            select(table).where(table.c.namespace_id == row["id"]).order_by(table.c.id)
        ).mappings()
        for kind, table in _NAMED.items()
    }
    return Definition(
        row["namespace"],
        {name: row[name] for name in OWN_FIELDS if row[name] is not None},
        {
            # Resource types are shared, so their keys tell no order.
            Kind.RESOURCE_TYPE: {
                one.name: Association(*one[1:]) for one in sorted(associations, key=itemgetter(0))
            },
            Kind.PROPERTY: {one["name"]: one["json_schema"] or {} for one in kept[Kind.PROPERTY]},
            Kind.OBJECT: {
                one["name"]: Object(
                    one["description"],
                    tuple(split_required(one["required"])),
                    one["json_schema"] or {},
                )
                for one in kept[Kind.OBJECT]
            },
            Kind.TAG: {one["name"]: None for one in kept[Kind.TAG]},
        },
    )


def _thd_apply(
    connection: Connection, name: str, namespace_id: int | None, changes: Changes
) -> None:
    if namespace_id is None:
        made = connection.execute(insert(metadef_namespaces).values(namespace=name, **changes.own))
        assert made.inserted_primary_key is not None
        namespace_id = int(made.inserted_primary_key[0])
    elif changes.own:
        connection.execute(
            update(metadef_namespaces)
            .where(metadef_namespaces.c.id == namespace_id)
            .values(**changes.own)
        )
    _thd_apply_associations(connection, namespace_id, changes)
    for kind, table in _NAMED.items():
        removed, changed, added = (
            parts[kind] for parts in (changes.removed, changes.changed, changes.added)
        )
        mine = and_(table.c.namespace_id == namespace_id, table.c.name == bindparam("b_name"))
        _thd_run(connection, delete(table).where(mine), [{"b_name": one} for one in removed])
        _thd_run(
            connection,
            update(table).where(mine),
            [{"b_name": one, **_columns(value)} for one, value in changed.items()],
        )
        _thd_run(
            connection,
            insert(table),
            [
                {"namespace_id": namespace_id, "name": one, **_columns(value)}
                for one, value in added.items()
            ],
        )


def _columns(value: Any) -> dict[str, Any]:
    """Return the columns that a property, an object or a tag has of its own."""
    if isinstance(value, Object):
        return {
            "description": value.description,
            "required": join_required(value.required),
            "json_schema": value.properties,
        }
    return {} if value is None else {"json_schema": value}


def _thd_apply_associations(connection: Connection, namespace_id: int, changes: Changes) -> None:
    links = metadef_namespace_resource_types
    removed, changed, added = (
        parts[Kind.RESOURCE_TYPE] for parts in (changes.removed, changes.changed, changes.added)
    )
    if not (removed or changed or added):
        return
    if added:
        _thd_make_resource_types(connection, added)
    ids = _thd_resource_types(connection, [*removed, *changed, *added])
    mine = and_(
        links.c.namespace_id == namespace_id, links.c.resource_type_id == bindparam("b_type")
    )
    _thd_run(connection, delete(links).where(mine), [{"b_type": ids[one]} for one in removed])
    _thd_run(
        connection,
        update(links).where(mine),
        [{"b_type": ids[one], **_link(value)} for one, value in changed.items()],
    )
    _thd_run(
        connection,
        insert(links),
        [
            {"namespace_id": namespace_id, "resource_type_id": ids[one], **_link(value)}
            for one, value in added.items()
        ],
    )


def _link(value: Association) -> dict[str, Any]:
    return {"prefix": value.prefix, "properties_target": value.properties_target}


def _thd_make_resource_types(connection: Connection, names: Iterable[str]) -> None:
    known = _thd_resource_types(connection, list(names))
    missing = [{"name": name, "protected": True} for name in names if name not in known]
    _thd_run(connection, insert(metadef_resource_types), missing)


def _thd_resource_types(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    types = metadef_resource_types
    query = select(types.c.name, types.c.id).where(types.c.name.in_(names))
    return {name: number for name, number in connection.execute(query)}  # noqa: C416 - rows


def _thd_run(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)
