"""Xena has nothing to add."""

revision = "xena_expand01"
down_revision = "wallaby_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
