"""The tables of the ``liberty`` revision, which never change again.

They are written out, and not derived from ``glance.db.tables``, because that module goes on
changing. Of the artifact tables, which a later revision drops, only what holds them together is
here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
)

from glance.db.columns import big_integer, boolean, catalogue_table, key, soft_delete, timestamps

LIBERTY = MetaData()

ARTIFACT_TABLES = (
    "artifacts",
    "artifact_tags",
    "artifact_properties",
    "artifact_dependencies",
    "artifact_blobs",
    "artifact_blob_locations",
)
"""Parents first."""


def _table(name: str, *parts: Any) -> None:
    catalogue_table(name, *parts, metadata=LIBERTY)


def _text(name: str, length: int, *, nullable: bool = True, **options: Any) -> Column[Any]:
    return Column(name, String(length), nullable=nullable, **options)


def _bool(name: str) -> Column[Any]:
    return Column(name, boolean(), nullable=False)


def _refers(name: str, target: str) -> Column[Any]:
    table = target.partition(".")[0]
    type_ = String(36) if table in {"images", "tasks", "artifacts", "artifact_blobs"} else Integer
    return Column(name, type_, ForeignKey(target), nullable=False)


_table(
    "images",
    _text("id", 36, nullable=False, primary_key=True),
    _text("name", 255),
    Column("size", big_integer()),
    _text("status", 30, nullable=False),
    _bool("is_public"),
    _text("checksum", 32),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    _text("owner", 255),
    Column("protected", boolean(), nullable=False, server_default=false()),
    Column("virtual_size", big_integer()),
    _text("disk_format", 20),
    _text("container_format", 20),
    *timestamps(),
    *soft_delete(),
    Index("checksum_image_idx", "checksum"),
    Index("ix_images_deleted", "deleted"),
    Index("ix_images_is_public", "is_public"),
    Index("owner_image_idx", "owner"),
)
_table(
    "image_properties",
    key(),
    _refers("image_id", "images.id"),
    _text("name", 255, nullable=False),
    Column("value", Text),
    *timestamps(),
    *soft_delete(),
    UniqueConstraint("image_id", "name", name="ix_image_properties_image_id_name"),
    Index("ix_image_properties_deleted", "deleted"),
    Index("ix_image_properties_image_id", "image_id"),
)
_table(
    "image_tags",
    key(),
    _refers("image_id", "images.id"),
    _text("value", 255, nullable=False),
    *timestamps(),
    *soft_delete(),
    Index("ix_image_tags_image_id", "image_id"),
    Index("ix_image_tags_image_id_tag_value", "image_id", "value"),
)
_table(
    "image_locations",
    key(),
    _refers("image_id", "images.id"),
    Column("value", Text, nullable=False),
    Column("meta_data", Text),
    _text("status", 30, nullable=False, server_default="active"),
    *timestamps(),
    *soft_delete(),
    Index("ix_image_locations_deleted", "deleted"),
    Index("ix_image_locations_image_id", "image_id"),
)
_table(
    "image_members",
    key(),
    _refers("image_id", "images.id"),
    _text("member", 255, nullable=False),
    _bool("can_share"),
    _text("status", 20, nullable=False, server_default="pending"),
    *timestamps(),
    *soft_delete(),
    UniqueConstraint(
        "image_id", "member", "deleted_at", name="image_members_image_id_member_deleted_at_key"
    ),
    Index("ix_image_members_deleted", "deleted"),
    Index("ix_image_members_image_id", "image_id"),
    Index("ix_image_members_image_id_member", "image_id", "member"),
)
_table(
    "tasks",
    _text("id", 36, nullable=False, primary_key=True),
    _text("type", 30, nullable=False),
    _text("status", 30, nullable=False),
    _text("owner", 255, nullable=False),
    Column("expires_at", DateTime),
    *timestamps(),
    *soft_delete(),
    *(
        Index(f"ix_tasks_{column}", column)
        for column in ("deleted", "owner", "status", "type", "updated_at")
    ),
)
_table(
    "task_info",
    Column("task_id", String(36), ForeignKey("tasks.id"), primary_key=True),
    Column("input", Text),
    Column("result", Text),
    Column("message", Text),
)

_table(
    "metadef_namespaces",
    key(),
    _text("namespace", 80, nullable=False),
    _text("display_name", 80),
    Column("description", Text),
    _text("visibility", 32),
    Column("protected", boolean()),
    _text("owner", 255, nullable=False),
    *timestamps(),
    UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
    Index("ix_metadef_namespaces_owner", "owner"),
)
_table(
    "metadef_resource_types",
    key(),
    _text("name", 80, nullable=False),
    _bool("protected"),
    *timestamps(),
    UniqueConstraint("name", name="uq_metadef_resource_types_name"),
)
_table(
    "metadef_namespace_resource_types",
    Column("resource_type_id", Integer, ForeignKey("metadef_resource_types.id"), primary_key=True),
    Column("namespace_id", Integer, ForeignKey("metadef_namespaces.id"), primary_key=True),
    _text("properties_target", 80),
    _text("prefix", 80),
    *timestamps(),
    Index("ix_metadef_ns_res_types_namespace_id", "namespace_id"),
)
for _kind, _columns in {
    "objects": (
        Column("description", Text),
        Column("required", Text),
        Column("json_schema", Text, nullable=False),
    ),
    "properties": (Column("json_schema", Text, nullable=False),),
    "tags": (),
}.items():
    _table(
        f"metadef_{_kind}",
        key(),
        _refers("namespace_id", "metadef_namespaces.id"),
        _text("name", 80, nullable=False),
        *_columns,
        *timestamps(),
        UniqueConstraint("namespace_id", "name", name=f"uq_metadef_{_kind}_namespace_id_name"),
        Index(f"ix_metadef_{_kind}_name", "name"),
    )

_table("artifacts", _text("id", 36, nullable=False, primary_key=True), *timestamps())
for _child in ("tags", "properties", "dependencies", "blobs"):
    _table(
        f"artifact_{_child}",
        _text("id", 36, nullable=False, primary_key=True),
        _refers("source_id" if _child == "dependencies" else "artifact_id", "artifacts.id"),
    )
_table(
    "artifact_blob_locations",
    _text("id", 36, nullable=False, primary_key=True),
    _refers("blob_id", "artifact_blobs.id"),
)
