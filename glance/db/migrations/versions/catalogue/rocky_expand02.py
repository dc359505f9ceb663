"""Images carry a hash whose algorithm is named."""

from sqlalchemy import Column, String

from glance.db.migrations.operations import add_column, add_index

revision = "rocky_expand02"
down_revision = "rocky_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column("images", Column("os_hash_algo", String(64)))
    add_column("images", Column("os_hash_value", String(128)))
    add_index("os_hash_value_image_idx", "images", "os_hash_value")
