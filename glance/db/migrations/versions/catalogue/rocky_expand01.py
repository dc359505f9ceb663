"""Images can be hidden from lists."""

from glance.db.migrations.operations import add_flag, add_index

revision = "rocky_expand01"
down_revision = "queens_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_flag("images", "os_hidden")
    add_index("os_hidden_image_idx", "images", "os_hidden")
