"""Visibility of four kinds comes to stand beside the public flag.

The triggers with which services older than this could share an expanded database are not made:
stop those services before expanding.
"""

from alembic import op
from sqlalchemy import Column, Enum

from glance.db.migrations.operations import add_column, add_index

revision = "ocata_expand01"
down_revision = "mitaka02"
branch_labels = ("expand",)
depends_on = None


def upgrade() -> None:
    visibility = Enum("private", "public", "shared", "community", name="image_visibility")
    # Adding a column does not make its type, which PostgreSQL wants made.
    visibility.create(op.get_bind(), checkfirst=True)
    add_column("images", Column("visibility", visibility))
    add_index("visibility_image_idx", "images", "visibility")
