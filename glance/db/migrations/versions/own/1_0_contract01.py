"""The first release has nothing to remove."""

revision = "1_0_contract01"
down_revision = None
branch_labels = ("contract",)
depends_on = "1_0_expand01"


def upgrade() -> None:
    pass
