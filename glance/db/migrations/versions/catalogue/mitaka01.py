"""Images are listed by time: index the columns."""

from glance.db.migrations.operations import add_index

revision = "mitaka01"
down_revision = "liberty"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_index("created_at_image_idx", "images", "created_at")
    add_index("updated_at_image_idx", "images", "updated_at")
