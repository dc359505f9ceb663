"""Tables that are this service's own, beside the catalogue it shares with other software.

They carry no foreign key into the catalogue, so other software may delete an image without knowing
that they exist.
"""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, MetaData, String, UniqueConstraint

from glance.db.columns import big_integer, catalogue_table

OWN = MetaData()
"""Tables with a migration chain of their own."""

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
    UniqueConstraint("image_id", name="uq_transfer_leases_image_id"),
    Index("ix_transfer_leases_heartbeat_at", "heartbeat_at"),
    metadata=OWN,
)
"""Work in progress on an image (an upload, a removal) and who does it, with a heartbeat."""
