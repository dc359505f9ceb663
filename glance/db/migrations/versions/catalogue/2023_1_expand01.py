"""2023.1 has nothing to add."""

revision = "2023_1_expand01"
down_revision = "zed_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
