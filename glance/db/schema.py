"""Bring a database's schema up to date.

Used by ``glance-manage`` and by a service when it starts. A new database gets the newest schema in
one go, straight from the table descriptions; only an older database goes through revisions, and
only then is alembic loaded. Whatever is called, calling it again does no harm.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, delete, insert
from sqlalchemy.exc import NoSuchTableError

from glance.db.exclusive import Say, SchemaError, silent, thd_connected, thd_exclusively
from glance.db.own_tables import OWN, own_indexes
from glance.db.revisions import CATALOGUE_CHAIN, CHAINS, OWN_CHAIN, Chain
from glance.db.schema_status import (
    INCOMPLETE,
    REVISIONS,
    SchemaStatus,
    State,
    thd_read_status,
)
from glance.db.tables import CATALOGUE

__all__ = [
    "SchemaError",
    "SchemaStatus",
    "State",
    "thd_contract",
    "thd_expand",
    "thd_migrate",
    "thd_status",
    "thd_sync",
    "thd_upgrade",
    "thd_version",
    "thd_version_control",
]

#: Called with the connection, in the transaction that made the schema.
Fill = Callable[[Connection], None]

_RESUME = "The schema's creation broke off; first run: glance-manage db sync"


def thd_status(engine: Engine) -> SchemaStatus:
    """Say how a database's schema stands.

    :raises Unavailable: the database cannot be reached.
    """
    with thd_connected(engine) as connection:
        return thd_read_status(connection)


def thd_version(engine: Engine) -> tuple[str, ...]:
    """Return the recorded revisions of the catalogue, none for an unversioned database.

    :raises Unavailable: the database cannot be reached.
    """
    return thd_status(engine).catalogue


def thd_sync(engine: Engine, say: Say = silent, thd_fill: Fill | None = None) -> bool:
    """Make the schema this release's, with all that needs; do nothing when it is.

    :param say: called with lines of progress.
    :param thd_fill: puts into a database that was empty what it is to have from the beginning. On
        PostgreSQL and SQLite there is either all of it or no schema.
    :returns: whether there was something to do.
    :raises SchemaError: the schema is not one that can be brought up to date.
    :raises Unavailable: the database cannot be reached.
    """
    if thd_status(engine).up_to_date:
        return False
    with thd_exclusively(engine, say) as connection:
        # Another process may have been faster.
        status = _thd_known(connection)
        if status.up_to_date:
            return False
        if status.state in {State.FRESH, State.INCOMPLETE}:
            _thd_create(connection, say, resumed=status.state is State.INCOMPLETE)
            if thd_fill is not None:
                thd_fill(connection)
        else:
            _thd_expand(connection, say)
            _thd_migrate(connection, say)
            _thd_contract(connection, say)
    return True


def thd_expand(engine: Engine, say: Say = silent) -> SchemaStatus:
    """Add what is missing, while services of the previous release may run.

    :param say: called with lines of progress.
    :returns: the status afterwards.
    :raises SchemaError: the schema is not one that can be brought up to date.
    :raises Unavailable: the database cannot be reached.
    """
    with thd_exclusively(engine, say) as connection:
        status = _thd_known(connection)
        if status.state is State.INCOMPLETE:
            _thd_create(connection, say, resumed=True)
        elif status.needs_expand:
            _thd_expand(connection, say)
        return thd_read_status(connection)


def thd_migrate(engine: Engine, say: Say = silent) -> int:
    """Change the rows that wait for it.

    :param say: called with lines of progress.
    :returns: how many were changed.
    :raises SchemaError: the schema is not expanded yet.
    :raises Unavailable: the database cannot be reached.
    """
    with thd_exclusively(engine, say) as connection:
        _check_expanded(_thd_known(connection))
        return _thd_migrate(connection, say)


def thd_contract(engine: Engine, say: Say = silent) -> SchemaStatus:
    """Remove what is no longer needed, once no service of the previous release runs.

    :param say: called with lines of progress.
    :returns: the status afterwards.
    :raises SchemaError: the schema is not expanded or its rows are not migrated yet.
    :raises Unavailable: the database cannot be reached.
    """
    with thd_exclusively(engine, say) as connection:
        status = _thd_known(connection)
        _check_expanded(status)
        if status.needs_migrate:
            raise SchemaError("Rows wait to be migrated; first run: glance-manage db migrate")
        if status.needs_contract:
            _thd_contract(connection, say)
        return thd_read_status(connection)


def thd_upgrade(engine: Engine, revision: str = "heads", say: Say = silent) -> SchemaStatus:
    """Lead the catalogue to one of its revisions, with the data migrations on the way.

    :param revision: a revision of the catalogue, or ``heads`` for what :func:`thd_sync` does.
    :param say: called with lines of progress.
    :returns: the status afterwards.
    :raises SchemaError: there is no such revision, the schema is beyond it, or cannot be brought up
        to date.
    :raises Unavailable: the database cannot be reached.
    """
    revision = _catalogue_revision(revision)
    if revision == CATALOGUE_CHAIN.head:
        thd_sync(engine, say)
        return thd_status(engine)
    with thd_exclusively(engine, say) as connection:
        status = _thd_known(connection)
        if status.state is State.INCOMPLETE:
            raise SchemaError(_RESUME)
        _check_forwards(status, revision)
        if revision in CATALOGUE_CHAIN.contract:
            step = CATALOGUE_CHAIN.contract.index(revision)
            _thd_revise(connection, CATALOGUE_CHAIN, CATALOGUE_CHAIN.expand[step], say)
            _thd_migrate(connection, say)
        _thd_revise(connection, CATALOGUE_CHAIN, revision, say)
        return thd_read_status(connection)


def thd_version_control(
    engine: Engine, revision: str = CATALOGUE_CHAIN.linear[0], say: Say = silent
) -> str:
    """Record the revision of a catalogue whose tables are there already.

    :param revision: what the tables correspond to.
    :param say: called with lines of progress.
    :returns: the revision recorded.
    :raises SchemaError: there is no such revision, one is recorded already, or there are no tables.
    :raises Unavailable: the database cannot be reached.
    """
    revision = _catalogue_revision(revision)
    with thd_exclusively(engine, say) as connection:
        status = thd_read_status(connection)
        if status.state is State.INCOMPLETE:
            raise SchemaError(_RESUME)
        if status.state is State.FRESH:
            raise SchemaError(
                "The database has no tables whose revision could be recorded; run: glance-manage "
                "db sync"
            )
        if status.catalogue:
            recorded = ", ".join(status.catalogue)
            raise SchemaError(f"The database is under version control already, at {recorded}.")
        _thd_record(connection, CATALOGUE_CHAIN, revision)
    return revision


def _catalogue_revision(revision: str) -> str:
    if revision in {"head", "heads"}:
        return CATALOGUE_CHAIN.head
    if revision not in CATALOGUE_CHAIN.revisions:
        raise SchemaError(
            f"There is no revision {revision!r}; the newest is {CATALOGUE_CHAIN.head}."
        )
    return revision


def _check_forwards(status: SchemaStatus, revision: str) -> None:
    recorded = status.catalogue
    if revision in CATALOGUE_CHAIN.applied(recorded) and revision not in recorded:
        raise SchemaError(
            f"The database is at revision {', '.join(recorded)}, which comes after {revision}. A "
            "downgrade is not possible; to go back, restore a copy of the database from before the "
            "upgrade."
        )


def _check_expanded(status: SchemaStatus) -> None:
    if status.needs_expand:
        raise SchemaError("The schema is not expanded; first run: glance-manage db expand")


def _thd_known(connection: Connection) -> SchemaStatus:
    status = thd_read_status(connection)
    status.check_known()
    return status


def _thd_record(connection: Connection, chain: Chain, revision: str) -> None:
    table = REVISIONS[chain]
    table.create(connection, checkfirst=True)
    connection.execute(delete(table))
    connection.execute(insert(table).values(version_num=revision))


def _thd_create(connection: Connection, say: Say, *, resumed: bool) -> None:
    say("Creating the schema.")
    # Where each change commits by itself, the mark tells a creation that broke off from tables of
    # unknown origin.
    _thd_record(connection, OWN_CHAIN, INCOMPLETE)
    for metadata in (CATALOGUE, OWN):
        metadata.create_all(connection, checkfirst=resumed)
        for table in metadata.sorted_tables if resumed else ():
            for index in table.indexes:
                index.create(connection, checkfirst=True)
    for index in own_indexes(connection.dialect.name):
        index.create(connection, checkfirst=resumed)
    _thd_record(connection, CATALOGUE_CHAIN, CATALOGUE_CHAIN.head)
    _thd_record(connection, OWN_CHAIN, OWN_CHAIN.head)


def _thd_revise(connection: Connection, chain: Chain, revision: str, say: Say) -> None:
    status = thd_read_status(connection)
    if revision not in chain.applied(status.recorded[chain]):
        from glance.db.migrations.runner import thd_apply

        try:
            thd_apply(connection, chain, revision, say)
        except NoSuchTableError as error:
            recorded = ", ".join(status.recorded[chain])
            raise SchemaError(
                f"The database says that it is at revision {recorded}, but lacks the table "
                f"{error}; see: glance-status upgrade check"
            ) from None


def _thd_expand(connection: Connection, say: Say) -> None:
    for chain in CHAINS:
        _thd_revise(connection, chain, chain.expand[-1], say)


def _thd_migrate(connection: Connection, say: Say) -> int:
    from glance.db.migrations.data import due

    total = 0
    for migration in due(thd_read_status(connection).recorded):
        # Its columns may be gone already where a contraction broke off.
        if not migration.thd_pending(connection):
            continue
        changed = 0
        for rows in migration.thd_migrate(connection):
            changed += rows
            say(f"{migration.name}: {changed} rows migrated.")
        total += changed
    return total


def _thd_contract(connection: Connection, say: Say) -> None:
    for chain in CHAINS:
        _thd_revise(connection, chain, chain.head, say)
