"""Work in progress on images is recorded, and pages of the image list become cheap."""

from alembic import op
from sqlalchemy import Column, DateTime, Index, MetaData, String, UniqueConstraint

from glance.db.columns import big_integer, catalogue_table
from glance.db.migrations.operations import add_index, add_tables

revision = "1_0_expand01"
down_revision = None
branch_labels = ("expand",)
depends_on = None


def upgrade() -> None:
    added = MetaData()
    catalogue_table(
        "transfer_leases",
        Column("id", String(36), primary_key=True),
        Column("image_id", String(36), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("node", String(255), nullable=False),
        Column("worker", String(64), nullable=False),
        Column("store_id", String(255)),
        Column("started_at", DateTime, nullable=False),
        Column("heartbeat_at", DateTime, nullable=False),
        Column("bytes_done", big_integer(), nullable=False, server_default="0"),
        UniqueConstraint("image_id", name="uq_transfer_leases_image_id"),
        Index("ix_transfer_leases_heartbeat_at", "heartbeat_at"),
        metadata=added,
    )
    add_tables(added)
    if op.get_bind().dialect.name in {"sqlite", "postgresql"}:
        add_index(
            "ix_txglance_images_deleted_created_at_id", "images", "deleted", "created_at", "id"
        )
    add_index("ix_txglance_images_name", "images", "name")
