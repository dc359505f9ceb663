"""The resource type of compute instances was renamed in the field."""

from alembic import op

revision = "mitaka02"
down_revision = "mitaka01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE metadef_resource_types SET name = 'OS::Nova::Server' "
        "WHERE name = 'OS::Nova::Instance' AND NOT EXISTS (SELECT 1 FROM "
        "(SELECT name FROM metadef_resource_types) present WHERE name = 'OS::Nova::Server')"
    )
