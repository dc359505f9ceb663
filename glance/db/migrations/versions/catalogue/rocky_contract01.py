"""Rocky has nothing to remove."""

revision = "rocky_contract01"
down_revision = "queens_contract01"
branch_labels = None
depends_on = "rocky_expand01"


def upgrade() -> None:
    pass
