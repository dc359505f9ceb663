"""Artifacts left the service: drop their tables."""

from alembic import op

from glance.db.migrations.liberty_tables import ARTIFACT_TABLES

revision = "pike_contract01"
down_revision = "ocata_contract01"
branch_labels = None
depends_on = "pike_expand01"


def upgrade() -> None:
    for table in reversed(ARTIFACT_TABLES):
        op.drop_table(table, if_exists=True)
