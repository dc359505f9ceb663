"""Whether the database can be used as it is, or be brought to where it can: a look at its schema.

That includes databases that the OpenStack Glance project's service left, at any revision from
``liberty`` on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from glance.checks.results import Finding, doubt, fault, note, some
from glance.checks.setting import Setting

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from glance.db.schema_status import SchemaStatus

#: What the catalogue has only since a revision: tables, and columns of tables that are older.
SINCE = {
    "images.visibility": "ocata_expand01",
    "images.os_hidden": "rocky_expand01",
    "images.os_hash_algo": "rocky_expand02",
    "images.os_hash_value": "rocky_expand02",
    "tasks.image_id": "wallaby_expand01",
    "tasks.request_id": "wallaby_expand01",
    "tasks.user_id": "wallaby_expand01",
    "node_reference": "2024_1_expand01",
    "cached_images": "2024_1_expand01",
}

_SYNC = "glance-manage db sync"


def thd_schema(setting: Setting) -> Iterator[Finding]:
    """Look how the schema stands towards this release, and whether it is what it says it is."""
    from glance.db.schema_status import State, thd_read_status

    path = setting.sqlite_file
    if path is not None and not path.exists():
        yield _none_yet(setting, f"There is no file {path}.")
        return
    with setting.thd_connected() as connection:
        status = setting.schema = thd_read_status(connection)
        if status.state is State.FRESH:
            yield _none_yet(setting, "The database is empty.")
            return
        if status.state in {State.BEHIND, State.CURRENT, State.AHEAD}:
            missing = list(lacking(status, _thd_columns(connection)))
            if missing:
                # To go on from what it is not would help nobody.
                yield from missing
                return
        yield from standing(status, connection.dialect.name)


def _none_yet(setting: Setting, what: str) -> Finding:
    if setting.loaded.embedded:
        return note(f"{what} The service makes the database when it starts.")
    return doubt(f"{what} Make the schema with: {_SYNC}")


def standing(status: SchemaStatus, dialect: str) -> Iterator[Finding]:
    """Say where a schema stands and what the next step is.

    :param dialect: SQLAlchemy's name of the kind of database.
    """
    from glance.db.exclusive import SchemaError
    from glance.db.schema_status import State

    at = ", ".join(status.catalogue)
    try:
        status.check_known()
    except SchemaError as error:
        yield fault(error.message)
        return
    if status.state is State.CURRENT:
        yield note(f"The database is at revision {at}, this release's.")
    elif status.state is State.AHEAD:
        yield doubt(
            f"A newer release has expanded the database ({', '.join(status.unknown)}). This "
            "release can go on working with it until that one contracts it."
        )
    elif status.state is State.INCOMPLETE:
        yield doubt(f"The schema's creation broke off. Finish it with: {_SYNC}")
    else:
        yield from _behind(status, at, dialect)


def _behind(status: SchemaStatus, at: str, dialect: str) -> Iterator[Finding]:
    from glance.db.revisions import CATALOGUE_CHAIN

    adopted = not status.own
    whose = "left by the OpenStack Glance project's service" if adopted else "of an older release"
    rolling = dialect != "postgresql" or CATALOGUE_CHAIN.head in status.catalogue
    if status.needs_expand:
        step, what = "expand", "tables and columns have to be added"
    elif status.needs_migrate:
        step, what = "migrate", "rows have to be changed"
    else:
        step, what = "contract", "what is no longer used has to be removed"
    text = (
        f"The database is at revision {at}, {whose}; this release can bring it up to date: {what}. "
        f"Make a backup, stop the services, and run: {_SYNC}"
    )
    if rolling:
        text += f" (or, while they run: glance-manage db {step})"
    yield doubt(f"{text}.")


def lacking(status: SchemaStatus, present: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Say what a schema of its revision should have and has not.

    :param present: the names of columns by table.
    """
    from glance.db.own_tables import OWN
    from glance.db.revisions import CATALOGUE_CHAIN, OWN_CHAIN
    from glance.db.tables import CATALOGUE

    applied = set(CATALOGUE_CHAIN.applied(status.catalogue))
    tables = list(CATALOGUE.tables.values())
    if OWN_CHAIN.expand[-1] in OWN_CHAIN.applied(status.own):
        tables += OWN.tables.values()
    missing = []
    for table in tables:
        if SINCE.get(table.name, "liberty") not in applied | {"liberty"}:
            continue
        if table.name not in present:
            missing.append(table.name)
            continue
        for column in table.columns:
            name = f"{table.name}.{column.name}"
            since = SINCE.get(name, "liberty")
            if since in applied | {"liberty"} and column.name not in present[table.name]:
                missing.append(name)
    if missing:
        yield fault(
            f"The database says that it is at revision {', '.join(status.catalogue)}, but lacks "
            f"{some(missing)}. Either the revision was recorded by hand, or a migration was "
            "undone in part: restore a backup, or empty the table "
            f"{CATALOGUE_CHAIN.version_table} and record the revision that the tables are of, with "
            "glance-manage db version_control."
        )


def _thd_columns(connection: Connection) -> dict[str, set[str]]:
    from sqlalchemy import inspect

    found = inspect(connection).get_multi_columns()
    return {table: {column["name"] for column in columns} for (_, table), columns in found.items()}
