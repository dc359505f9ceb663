"""Quotas are counted under a lock and with reservations, and identifiers are never used again."""

from sqlalchemy import Column, MetaData, String

from glance.db.columns import big_integer, catalogue_table
from glance.db.migrations.operations import add_column, add_tables

revision = "1_0_expand02"
down_revision = "1_0_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column(
        "transfer_leases",
        Column("bytes_reserved", big_integer(), nullable=False, server_default="0"),
    )
    added = MetaData()
    catalogue_table(
        "quota_owners",
        Column("owner", String(255), primary_key=True),
        Column("turns", big_integer(), nullable=False, server_default="0"),
        metadata=added,
    )
    catalogue_table(
        "image_tombstones",
        Column("id", String(36), primary_key=True),
        metadata=added,
    )
    add_tables(added)
