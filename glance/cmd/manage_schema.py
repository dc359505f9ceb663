"""The actions of ``glance-manage`` on the schema: how it stands, and bringing it up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from glance.cmd.manage_action import Action, make_engine_of, no_arguments, say
from glance.config import Loaded
from glance.domain.errors import GlanceError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from glance.db.revisions import Chain
    from glance.db.schema import SchemaStatus

UP_TO_DATE = 0
NEEDS_EXPAND = 3
NEEDS_MIGRATE = 4
NEEDS_CONTRACT = 5

_NOTHING_TO_DO = "Database is up to date. No migrations needed."
_ROLLING_REFUSED = (
    "Rolling upgrades are currently supported only for MySQL and Sqlite. "
    "Stop the services and run: glance-manage db sync"
)


def thd_version(engine: Engine, revision: str | None) -> int:
    """Print the revision that the catalogue is at."""
    from glance.db import schema

    revisions = schema.thd_version(engine)
    print(
        ", ".join(revisions)
        or "The database is not under version control. If it is empty, run: glance-manage db sync; "
        "otherwise: glance-manage db version_control VERSION"
    )
    return 0


def thd_check(engine: Engine, revision: str | None) -> int:
    """Print whether the schema is up to date, and the next step if it is not."""
    from glance.db import schema

    status = schema.thd_status(engine)
    status.check_known()
    if status.up_to_date:
        print("Database is up to date. No upgrades needed.")
        return UP_TO_DATE
    for needed, step, code in (
        (status.needs_expand, "expand", NEEDS_EXPAND),
        (status.needs_migrate, "migrate", NEEDS_MIGRATE),
        (status.needs_contract, "contract", NEEDS_CONTRACT),
    ):
        if needed:
            print(f"Your database is not up to date. The next step is to {step} it.")
            print(f"To do so, run: glance-manage db {step if can_roll(engine, status) else 'sync'}")
            return code
    raise AssertionError("a schema that is behind needs something")


def thd_sync(engine: Engine, revision: str | None) -> int:
    """Bring the schema up to date in one go, services being stopped."""
    from glance.db import schema

    try:
        changed = schema.thd_sync(engine, say)
    except GlanceError as error:
        print(f"Failed to sync database: ERROR: {error.message}", file=sys.stderr)
        return 1
    print("Database is synced successfully." if changed else _NOTHING_TO_DO)
    return 0


def thd_upgrade(engine: Engine, revision: str | None) -> int:
    """Lead the schema to a revision, or to the newest one."""
    from glance.db import schema

    status = schema.thd_upgrade(engine, revision or "heads", say)
    target = f" to: {revision}" if revision else ""
    print(f"Upgraded database{target}, current revision(s): {', '.join(status.catalogue)}")
    return 0


def thd_version_control(engine: Engine, revision: str | None) -> int:
    """Record the revision of tables that are there already."""
    from glance.db import schema
    from glance.db.revisions import CATALOGUE_CHAIN

    recorded = schema.thd_version_control(engine, revision or CATALOGUE_CHAIN.linear[0], say)
    print(f"Placed database under migration control at revision: {recorded}")
    return 0


def thd_expand(engine: Engine, revision: str | None) -> int:
    """Add to the schema what this release needs; services of the release before may run."""
    from glance.db import schema

    before = thd_rolling(engine)
    if before.up_to_date:
        print(_NOTHING_TO_DO)
    elif not before.needs_expand:
        print("Database expansion is up to date. No expansion needed.")
    else:
        print_moved(before, schema.thd_expand(engine, say), lambda chain: chain.expand[-1])
    return 0


def thd_migrate(engine: Engine, revision: str | None) -> int:
    """Change the rows that are kept otherwise in this release; services may run."""
    from glance.db import schema

    if thd_rolling(engine).up_to_date:
        print(_NOTHING_TO_DO)
        return 0
    rows = schema.thd_migrate(engine, say)
    print(
        f"Migrated {rows} rows"
        if rows
        else "Database migration is up to date. No migration needed."
    )
    return 0


def thd_contract(engine: Engine, revision: str | None) -> int:
    """Remove from the schema what no service needs, once all are of this release."""
    from glance.db import schema

    before = thd_rolling(engine)
    if before.up_to_date:
        print(_NOTHING_TO_DO)
    else:
        print_moved(before, schema.thd_contract(engine, say), lambda chain: chain.head)
    return 0


def can_roll(engine: Engine, status: SchemaStatus) -> bool:
    """Say whether the schema can be upgraded in steps.

    The catalogue's shared revisions were not made for that on PostgreSQL; our own are.
    """
    from glance.db.revisions import CATALOGUE_CHAIN

    return engine.dialect.name != "postgresql" or CATALOGUE_CHAIN.head in status.catalogue


def thd_rolling(engine: Engine) -> SchemaStatus:
    """Return the schema's status before a step.

    :raises SchemaError: the schema cannot be upgraded in steps.
    """
    from glance.db import schema

    status = schema.thd_status(engine)
    status.check_known()
    if not can_roll(engine, status):
        raise schema.SchemaError(_ROLLING_REFUSED)
    return status


def print_moved(before: SchemaStatus, after: SchemaStatus, target: Callable[[Chain], str]) -> None:
    """Print which chain of revisions moved, the shared one before our own."""
    from glance.db.revisions import CATALOGUE_CHAIN, OWN_CHAIN

    chain = CATALOGUE_CHAIN if before.catalogue != after.catalogue else OWN_CHAIN
    revisions = ", ".join(after.recorded[chain])
    print(f"Upgraded database to: {target(chain)}, current revision(s): {revisions}")


def _action(
    summary: str, thd_work: Callable[[Engine, str | None], int], version_help: str = ""
) -> Action:
    """Make an action on the schema.

    :param thd_work: does it, given the engine and a revision; returns the exit code.
    :param version_help: what naming a revision does, if that is possible.
    """

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("version", nargs="?", metavar="VERSION", help=version_help)
        parser.add_argument("--version", dest="given_version", help=argparse.SUPPRESS)

    def run(loaded: Loaded, arguments: argparse.Namespace) -> int:
        revision = getattr(arguments, "given_version", None) or getattr(arguments, "version", None)
        engine = make_engine_of(loaded)
        try:
            return thd_work(engine, revision)
        finally:
            engine.dispose()

    return Action(summary, run, add_arguments if version_help else no_arguments)


ACTIONS: dict[str, Action] = {
    "version": _action("Print the revision of the database.", thd_version),
    "check": _action("Say whether the database is up to date and what to do next.", thd_check),
    "sync": _action(
        "Create the schema or bring it up to date.",
        thd_sync,
        "Accepted for old scripts; the result is this release's schema in any case.",
    ),
    "upgrade": _action(
        "Bring the schema to a revision.", thd_upgrade, "The revision; the newest if left out."
    ),
    "version_control": _action(
        "Record the revision of a database that has tables but no record of it.",
        thd_version_control,
        "The revision that the tables correspond to; the oldest if left out.",
    ),
    "expand": _action("First step of a rolling upgrade: add to the schema.", thd_expand),
    "migrate": _action("Second step of a rolling upgrade: change rows.", thd_migrate),
    "contract": _action("Last step of a rolling upgrade: remove from the schema.", thd_contract),
}
