"""Run revisions on the connection that ``glance.db.migrations.runner`` hands over.

Alembic executes this file by its path; it is not imported.
"""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

_attributes = context.config.attributes
_say = _attributes["say"]


def _applied(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]
) -> None:
    _say(f"Applied revision {step.up_revision_id}.")


context.configure(
    connection=_attributes["connection"],
    version_table=_attributes["version_table"],
    on_version_apply=_applied,
)
with context.begin_transaction():
    context.run_migrations()
