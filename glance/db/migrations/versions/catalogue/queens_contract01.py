"""Queens has nothing to remove."""

revision = "queens_contract01"
down_revision = "pike_contract01"
branch_labels = None
depends_on = "queens_expand01"


def upgrade() -> None:
    pass
