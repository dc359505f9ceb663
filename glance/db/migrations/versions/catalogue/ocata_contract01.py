"""The public flag goes, now that every image has a visibility."""

from alembic import op
from sqlalchemy import CheckConstraint, Connection, Enum, text

from glance.db.migrations.operations import has_column, has_index

revision = "ocata_contract01"
down_revision = "mitaka02"
branch_labels = ("contract",)
depends_on = "ocata_expand01"

IMAGES = "images"
# Triggers by which other software kept flag and visibility in step during a rolling upgrade.
TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' "
    "AND tbl_name IN ('images', 'image_members') AND sql LIKE '%visibility%'",
    "mysql": "SELECT trigger_name FROM information_schema.triggers "
    "WHERE event_object_schema = DATABASE() "
    "AND event_object_table IN ('images', 'image_members') "
    "AND action_statement LIKE '%visibility%'",
}


def upgrade() -> None:
    bind = op.get_bind()
    drop_triggers(bind)
    if bind.dialect.name == "sqlite":
        # The table is made anew, for which its checks must be said again; the expanding revisions
        # of later releases have run by now.
        flags = [name for name in ("protected", "deleted", "os_hidden") if has_column(IMAGES, name)]
        checks = tuple(CheckConstraint(f"{name} IN (0, 1)") for name in flags)
        batching = op.batch_alter_table(IMAGES, recreate="always", table_args=checks)
    else:
        batching = op.batch_alter_table(IMAGES)
    with batching as batch:
        if has_index(IMAGES, "ix_images_is_public"):
            batch.drop_index("ix_images_is_public")
        batch.alter_column(
            "visibility",
            existing_type=Enum("private", "public", "shared", "community", name="image_visibility"),
            nullable=False,
            server_default="shared",
        )
        if has_column(IMAGES, "is_public"):
            batch.drop_column("is_public")


def drop_triggers(bind: Connection) -> None:
    query = TRIGGERS.get(bind.dialect.name)
    for name in bind.execute(text(query)).scalars().all() if query else ():
        bind.exec_driver_sql(f"DROP TRIGGER {bind.dialect.identifier_preparer.quote(name)}")
