"""Tasks tell the image, the request and the user they belong to."""

from sqlalchemy import Column, String

from glance.db.migrations.operations import add_column, add_index

revision = "wallaby_expand01"
down_revision = "ussuri_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column("tasks", Column("image_id", String(36)))
    add_column("tasks", Column("request_id", String(64)))
    add_column("tasks", Column("user_id", String(64)))
    add_index("ix_tasks_image_id", "tasks", "image_id")
