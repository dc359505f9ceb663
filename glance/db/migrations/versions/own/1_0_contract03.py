"""Nothing to remove: all of it is new."""

revision = "1_0_contract03"
down_revision = "1_0_contract02"
branch_labels = None
depends_on = "1_0_expand03"


def upgrade() -> None:
    pass
