"""Pages of what a project sees become cheap, however few images of a large catalogue these are."""

from glance.db.migrations.operations import add_index

revision = "1_0_expand03"
down_revision = "1_0_expand02"
branch_labels = None
depends_on = None


def upgrade() -> None:
    order = ("deleted", "os_hidden", "created_at", "id", "status")
    add_index("ix_txglance_images_owner", "images", "owner", *order)
    add_index("ix_txglance_images_visibility", "images", "visibility", *order)
    members = ("member", "deleted", "status", "image_id")
    add_index("ix_txglance_image_members_member", "image_members", *members)
