"""Records of cached images come into the catalogue, by node."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
)

from glance.db.columns import big_integer, catalogue_table
from glance.db.migrations.operations import add_tables

revision = "2024_1_expand01"
down_revision = "2023_1_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    added = MetaData()
    catalogue_table(
        "node_reference",
        Column("node_reference_id", big_integer(), primary_key=True),
        Column("node_reference_url", String(255), nullable=False),
        UniqueConstraint("node_reference_url", name="uq_node_reference_node_reference_url"),
        metadata=added,
    )
    catalogue_table(
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
        metadata=added,
    )
    add_tables(added)
