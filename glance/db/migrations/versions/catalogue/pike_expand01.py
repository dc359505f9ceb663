"""Pike has nothing to add."""

revision = "pike_expand01"
down_revision = "ocata_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
