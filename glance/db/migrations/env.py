"""Run revisions on the connection that ``glance.db.migrations.runner`` hands over.

Alembic executes this file by its path; it is not imported.
"""

from typing import Any

from alembic import context

_attributes = context.config.attributes
_say = _attributes["say"]


def _applied(*, step: Any, **_kwargs: Any) -> None:
    _say(f"Applied revision {step.up_revision_id}.")


context.configure(
    connection=_attributes["connection"],
    version_table=_attributes["version_table"],
    on_version_apply=_applied,
)
with context.begin_transaction():
    context.run_migrations()
