"""Nothing to remove: all of it is new."""

revision = "1_0_contract02"
down_revision = "1_0_contract01"
branch_labels = None
depends_on = "1_0_expand02"


def upgrade() -> None:
    pass
