"""What is this service's own in the database, beside the catalogue it shares with other software.

Nothing here has a foreign key into the catalogue, so other software may delete an image without
knowing that these tables exist.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Index, MetaData, String, Table, UniqueConstraint

from glance.db.columns import big_integer, catalogue_table

OWN = MetaData()
"""Tables with a chain of revisions of their own."""

transfer_leases = catalogue_table(
    "transfer_leases",
    Column("id", String(36), primary_key=True),
    Column("image_id", String(36), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("node", String(255), nullable=False),
    Column("worker", String(64), nullable=False),
    Column("store_id", String(255)),
    Column("started_at", DateTime, nullable=False),
    Column("heartbeat_at", DateTime, nullable=False),
    Column("bytes_done", big_integer(), nullable=False, default=0, server_default="0"),
    Column("bytes_reserved", big_integer(), nullable=False, default=0, server_default="0"),
    UniqueConstraint("image_id", name="uq_transfer_leases_image_id"),
    Index("ix_transfer_leases_heartbeat_at", "heartbeat_at"),
    metadata=OWN,
)
"""Work in progress on an image (an upload, a removal) and who does it, with a heartbeat.

What an upload of known size reserves of its owner's quota stands here too, and so ends with it,
however that comes.
"""

quota_owners = catalogue_table(
    "quota_owners",
    Column("owner", String(255), primary_key=True),
    Column("turns", big_integer(), nullable=False, server_default="0"),
    metadata=OWN,
)
"""A row for each owner whose quota was asked for: who counts what that owner has locks it."""

image_tombstones = catalogue_table(
    "image_tombstones",
    Column("id", String(36), primary_key=True),
    metadata=OWN,
)
"""Identifiers of deleted images, which stay when the images' rows are purged: none is used again.

Whoever holds a deleted image's identifier must never find another's data under it (OSSN-0075).
"""

# Apart from the catalogue's own description of the table, which stays as others know it.
_images = Table(
    "images",
    MetaData(),
    Column("id", String(36)),
    Column("name", String(255)),
    Column("status", String(30)),
    Column("visibility", String),
    Column("owner", String(255)),
    Column("os_hidden", Boolean),
    Column("created_at", DateTime),
    Column("deleted", Boolean),
)
_members = Table(
    "image_members",
    MetaData(),
    Column("image_id", String(36)),
    Column("member", String(255)),
    Column("status", String(20)),
    Column("deleted", Boolean),
)

listing_index = Index(
    "ix_txglance_images_deleted_created_at_id",
    _images.c.deleted,
    _images.c.created_at,
    _images.c.id,
)
"""Makes a page of the newest images cheap, however deep in the list and however many are deleted.

MariaDB does without: InnoDB keeps the primary key in ``created_at_image_idx``, and with two indexes
that serve, its optimizer picks the wrong one.
"""

LISTING_INDEX_ENGINES = frozenset({"sqlite", "postgresql"})

name_index = Index("ix_txglance_images_name", _images.c.name)
"""Finds an image by its name, which is how most people ask for one, without reading them all."""

# All that decides on what is listed and in which order: so the images themselves need not be read.
_listed = tuple(_images.c[n] for n in ("deleted", "os_hidden", "created_at", "id", "status"))

owner_index = Index("ix_txglance_images_owner", _images.c.owner, *_listed)
"""Leads to a project's own images in the order in which they were made."""

visibility_index = Index("ix_txglance_images_visibility", _images.c.visibility, *_listed)
"""Leads to public images in the order in which they were made."""

member_index = Index(
    "ix_txglance_image_members_member",
    _members.c.member,
    _members.c.deleted,
    _members.c.status,
    _members.c.image_id,
)
"""Finds the images that are shared with a project."""


def own_indexes(engine: str) -> list[Index]:
    """Return what is added to the catalogue's tables.

    :param engine: SQLAlchemy's name of the dialect.
    """
    everywhere = [name_index, owner_index, visibility_index, member_index]
    return [listing_index, *everywhere] if engine in LISTING_INDEX_ENGINES else everywhere
