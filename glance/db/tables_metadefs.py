"""The catalogue's metadata definition tables: namespaces and what they define.

Rows here have no soft delete: what is removed is gone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Text, UniqueConstraint

from glance.db.columns import CATALOGUE, Json, boolean, catalogue_table, key, timestamps


def _namespace_id() -> Column[Any]:
    return Column("namespace_id", Integer, ForeignKey("metadef_namespaces.id"), nullable=False)


def _json_schema() -> Column[Any]:
    return Column("json_schema", Json, nullable=False, default=dict)


metadef_namespaces = catalogue_table(
    "metadef_namespaces",
    key(),
    Column("namespace", String(80), nullable=False),
    Column("display_name", String(80)),
    Column("description", Text),
    Column("visibility", String(32)),
    Column("protected", boolean()),
    Column("owner", String(255), nullable=False),
    *timestamps(),
    UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
    Index("ix_metadef_namespaces_owner", "owner"),
    metadata=CATALOGUE,
)

metadef_resource_types = catalogue_table(
    "metadef_resource_types",
    key(),
    Column("name", String(80), nullable=False),
    Column("protected", boolean(), nullable=False, default=False),
    *timestamps(),
    UniqueConstraint("name", name="uq_metadef_resource_types_name"),
    metadata=CATALOGUE,
)

metadef_namespace_resource_types = catalogue_table(
    "metadef_namespace_resource_types",
    Column("resource_type_id", Integer, ForeignKey("metadef_resource_types.id"), primary_key=True),
    Column("namespace_id", Integer, ForeignKey("metadef_namespaces.id"), primary_key=True),
    Column("properties_target", String(80)),
    Column("prefix", String(80)),
    *timestamps(),
    Index("ix_metadef_ns_res_types_namespace_id", "namespace_id"),
    metadata=CATALOGUE,
)

metadef_objects = catalogue_table(
    "metadef_objects",
    key(),
    _namespace_id(),
    Column("name", String(80), nullable=False),
    Column("description", Text),
    Column("required", Text),
    _json_schema(),
    *timestamps(),
    UniqueConstraint("namespace_id", "name", name="uq_metadef_objects_namespace_id_name"),
    Index("ix_metadef_objects_name", "name"),
    metadata=CATALOGUE,
)

metadef_properties = catalogue_table(
    "metadef_properties",
    key(),
    _namespace_id(),
    Column("name", String(80), nullable=False),
    _json_schema(),
    *timestamps(),
    UniqueConstraint("namespace_id", "name", name="uq_metadef_properties_namespace_id_name"),
    Index("ix_metadef_properties_name", "name"),
    metadata=CATALOGUE,
)

metadef_tags = catalogue_table(
    "metadef_tags",
    key(),
    _namespace_id(),
    Column("name", String(80), nullable=False),
    *timestamps(),
    UniqueConstraint("namespace_id", "name", name="uq_metadef_tags_namespace_id_name"),
    Index("ix_metadef_tags_name", "name"),
    metadata=CATALOGUE,
)
