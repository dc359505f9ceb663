"""The schema as it stood when the chain of revisions began."""

from glance.db.migrations.liberty_tables import LIBERTY
from glance.db.migrations.operations import add_tables

revision = "liberty"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_tables(LIBERTY)
