"""2023.1 has nothing to remove."""

revision = "2023_1_contract01"
down_revision = "zed_contract01"
branch_labels = None
depends_on = "2023_1_expand01"


def upgrade() -> None:
    pass
