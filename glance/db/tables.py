"""The catalogue's tables: images and what belongs to them, tasks, the central cache records.

The one description of the newest schema. A fresh database is made from it; the migrations lead an
older database to the same result, and a test holds the two together. Importing this module also
declares the metadata definition tables, so that ``CATALOGUE`` is always whole.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)

from glance.db import tables_metadefs  # noqa: F401 - completes CATALOGUE
from glance.db.columns import (
    CATALOGUE,
    Json,
    big_integer,
    boolean,
    catalogue_table,
    flag,
    key,
    soft_delete,
    timestamps,
)

__all__ = [
    "CATALOGUE",
    "VISIBILITIES",
    "cached_images",
    "image_locations",
    "image_members",
    "image_properties",
    "image_tags",
    "images",
    "node_reference",
    "task_info",
    "tasks",
]

VISIBILITIES = ("private", "public", "shared", "community")


def _uuid() -> str:
    return str(uuid4())


def _image_id() -> Column[Any]:
    return Column("image_id", String(36), ForeignKey("images.id"), nullable=False)


images = catalogue_table(
    "images",
    Column("id", String(36), primary_key=True, default=_uuid),
    Column("name", String(255)),
    Column("disk_format", String(20)),
    Column("container_format", String(20)),
    Column("size", big_integer()),
    Column("virtual_size", big_integer()),
    Column("status", String(30), nullable=False),
    Column(
        "visibility",
        Enum(*VISIBILITIES, name="image_visibility"),
        nullable=False,
        server_default="shared",
    ),
    Column("checksum", String(32)),
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    Column("min_disk", Integer, nullable=False, default=0),
    Column("min_ram", Integer, nullable=False, default=0),
    Column("owner", String(255)),
    flag("protected"),
    flag("os_hidden"),
    *timestamps(),
    *soft_delete(),
    Index("checksum_image_idx", "checksum"),
    Index("created_at_image_idx", "created_at"),
    Index("ix_images_deleted", "deleted"),
    Index("os_hash_value_image_idx", "os_hash_value"),
    Index("os_hidden_image_idx", "os_hidden"),
    Index("owner_image_idx", "owner"),
    Index("updated_at_image_idx", "updated_at"),
    Index("visibility_image_idx", "visibility"),
    metadata=CATALOGUE,
)

image_properties = catalogue_table(
    "image_properties",
    key(),
    _image_id(),
    Column("name", String(255), nullable=False),
    Column("value", Text),
    *timestamps(),
    *soft_delete(),
    UniqueConstraint("image_id", "name", name="ix_image_properties_image_id_name"),
    Index("ix_image_properties_deleted", "deleted"),
    Index("ix_image_properties_image_id", "image_id"),
    metadata=CATALOGUE,
)

image_tags = catalogue_table(
    "image_tags",
    key(),
    _image_id(),
    Column("value", String(255), nullable=False),
    *timestamps(),
    *soft_delete(),
    Index("ix_image_tags_image_id", "image_id"),
    Index("ix_image_tags_image_id_tag_value", "image_id", "value"),
    metadata=CATALOGUE,
)

image_locations = catalogue_table(
    "image_locations",
    key(),
    _image_id(),
    Column("value", Text, nullable=False),
    Column("meta_data", Json, default=dict),
    Column("status", String(30), nullable=False, default="active", server_default="active"),
    *timestamps(),
    *soft_delete(),
    Index("ix_image_locations_deleted", "deleted"),
    Index("ix_image_locations_image_id", "image_id"),
    metadata=CATALOGUE,
)

image_members = catalogue_table(
    "image_members",
    key(),
    _image_id(),
    Column("member", String(255), nullable=False),
    Column("can_share", boolean(), nullable=False, default=False),
    Column("status", String(20), nullable=False, default="pending", server_default="pending"),
    *timestamps(),
    *soft_delete(),
    UniqueConstraint(
        "image_id", "member", "deleted_at", name="image_members_image_id_member_deleted_at_key"
    ),
    Index("ix_image_members_deleted", "deleted"),
    Index("ix_image_members_image_id", "image_id"),
    Index("ix_image_members_image_id_member", "image_id", "member"),
    metadata=CATALOGUE,
)

tasks = catalogue_table(
    "tasks",
    Column("id", String(36), primary_key=True, default=_uuid),
    Column("type", String(30), nullable=False),
    Column("status", String(30), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("expires_at", DateTime),
    Column("image_id", String(36)),
    Column("request_id", String(64)),
    Column("user_id", String(64)),
    *timestamps(),
    *soft_delete(),
    Index("ix_tasks_deleted", "deleted"),
    Index("ix_tasks_image_id", "image_id"),
    Index("ix_tasks_owner", "owner"),
    Index("ix_tasks_status", "status"),
    Index("ix_tasks_type", "type"),
    Index("ix_tasks_updated_at", "updated_at"),
    metadata=CATALOGUE,
)

task_info = catalogue_table(
    "task_info",
    Column("task_id", String(36), ForeignKey("tasks.id"), primary_key=True),
    Column("input", Json),
    Column("result", Json),
    Column("message", Text),
    metadata=CATALOGUE,
)

node_reference = catalogue_table(
    "node_reference",
    Column("node_reference_id", big_integer(), primary_key=True),
    Column("node_reference_url", String(255), nullable=False),
    UniqueConstraint("node_reference_url", name="uq_node_reference_node_reference_url"),
    metadata=CATALOGUE,
)

cached_images = catalogue_table(
    "cached_images",
    Column("id", big_integer(), primary_key=True),
    Column("image_id", String(36), nullable=False),
    Column("last_accessed", DateTime, nullable=False),
    Column("last_modified", DateTime, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("hits", Integer, nullable=False),
    Column("checksum", String(32)),
    Column(
        "node_reference_id",
        big_integer(),
        ForeignKey("node_reference.node_reference_id"),
        nullable=False,
    ),
    UniqueConstraint(
        "image_id", "node_reference_id", name="ix_cached_images_image_id_node_reference_id"
    ),
    metadata=CATALOGUE,
)
