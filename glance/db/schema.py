"""Bring a database's schema up to date, and say how it stands.

Used by ``glance-manage`` and by a service when it starts. A service on an up-to-date database pays
for a few short queries; a new database gets the newest schema in one go, straight from the table
descriptions; only an older database goes through revisions, and only then is alembic loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    delete,
    insert,
    inspect,
    select,
)

from glance.db.exclusive import SchemaError, address, thd_connected, thd_exclusively
from glance.db.own_tables import LISTING_INDEX_ENGINES, OWN, listing_index
from glance.db.revisions import CATALOGUE_CHAIN, CHAINS, OWN_CHAIN, Chain, expanded_by_newer
from glance.db.tables import CATALOGUE

Say = Callable[[str], None]

#: Stands in the version table while a new database is being filled.
_INCOMPLETE = "incomplete"
_REVISIONS = {
    chain: Table(
        chain.version_table,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{chain.version_table}_pkc"),
    )
    for chain in CHAINS
}


class State(Enum):
    """How a database's schema stands towards this release."""

    FRESH = "fresh"
    """There is none."""
    INCOMPLETE = "incomplete"
    """Its creation broke off; it can be resumed."""
    UNVERSIONED = "unversioned"
    """There are tables, but no record of their revision."""
    BEHIND = "behind"
    """It is older."""
    CURRENT = "current"
    """It is this release's."""
    AHEAD = "ahead"
    """A newer release expanded it: everything this release needs is there."""
    UNKNOWN = "unknown"
    """It has revisions that this release does not know and that may have removed things."""


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """How a database's schema stands.

    :param state: in a word.
    :param catalogue: recorded revisions of the catalogue, sorted.
    :param own: recorded revisions of what this service adds, sorted.
    :param unknown: those of them that this release does not know.
    :param needs_expand: something is to be added.
    :param needs_migrate: rows are to be changed; known once the schema is expanded.
    :param needs_contract: something is to be removed.
    """

    state: State
    catalogue: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    needs_expand: bool = False
    needs_migrate: bool = False
    needs_contract: bool = False

    @property
    def up_to_date(self) -> bool:
        """Say whether nothing is left to do."""
        return self.state in {State.CURRENT, State.AHEAD}

    def check_usable(self) -> None:
        """Check that a service of this release can work with the schema.

        An expanded schema will do: rows are migrated and old columns removed while services run.

        :raises SchemaError: it cannot; the message says what to do.
        """
        self.check_known()
        old = "ocata_contract01" not in CATALOGUE_CHAIN.applied(self.catalogue)
        if not self.up_to_date and (self.needs_expand or old):
            raise SchemaError(
                "The database's schema is not up to date; run: glance-manage db sync"
            )

    def check_known(self) -> None:
        """Check that this release can tell what the schema is.

        :raises SchemaError: it cannot.
        """
        if self.state is State.UNKNOWN:
            raise SchemaError(
                f"The database is at revision {', '.join(self.unknown)}, which this release does "
                "not know; it was probably made by a newer release. Install that release."
            )
        if self.state is State.UNVERSIONED:
            raise SchemaError(
                "The database has tables but no record of their revision. If they are complete, "
                "run: glance-manage db version_control REVISION, then: glance-manage db sync"
            )


def thd_status(engine: Engine) -> SchemaStatus:
    """Say how a database's schema stands.

    :raises Unavailable: the database cannot be reached.
    """
    with thd_connected(engine) as connection:
        return _thd_status(connection)


def thd_version(engine: Engine) -> tuple[str, ...]:
    """Return the recorded revisions of the catalogue, none for an unversioned database.

    :raises Unavailable: the database cannot be reached.
    """
    return thd_status(engine).catalogue


def thd_sync(engine: Engine, say: Say = lambda line: None) -> bool:
    """Make the schema this release's, with everything that needs; do nothing when it is.

    :param say: called with lines of progress.
    :returns: whether there was something to do.
    :raises SchemaError: the schema is not one that can be brought up to date.
    :raises Unavailable: the database cannot be reached.
    """
    if thd_status(engine).up_to_date:
        return False
    with thd_exclusively(engine) as connection:
        # Another process may have been faster.
        status = _thd_status(connection)
        status.check_known()
        if status.up_to_date:
            return False
        if status.state in {State.FRESH, State.INCOMPLETE}:
            say("Creating the schema.")
            _thd_create(connection)
        else:
            _thd_expand(connection, status, say)
            _thd_migrate(connection, say)
            _thd_contract(connection, say)
    return True


def thd_expand(engine: Engine, say: Say = lambda line: None) -> SchemaStatus:
    """Add what is missing, while services of the previous release may run.

    :returns: the status afterwards.
    :raises SchemaError: the schema is not one that can be brought up to date.
    """
    with thd_exclusively(engine) as connection:
        status = _thd_known(connection)
        if status.needs_expand:
            _thd_expand(connection, status, say)
        return _thd_status(connection)


def thd_migrate(engine: Engine, say: Say = lambda line: None) -> int:
    """Change the rows that wait for it.

    :returns: how many were changed.
    :raises SchemaError: the schema is not expanded yet.
    """
    with thd_exclusively(engine) as connection:
        _check_expanded(_thd_known(connection))
        return _thd_migrate(connection, say)


def thd_contract(engine: Engine, say: Say = lambda line: None) -> SchemaStatus:
    """Remove what is no longer needed, once no service of the previous release runs.

    :returns: the status afterwards.
    :raises SchemaError: the schema is not expanded or its rows are not migrated yet.
    """
    with thd_exclusively(engine) as connection:
        status = _thd_known(connection)
        _check_expanded(status)
        if status.needs_migrate:
            raise SchemaError("Rows wait to be migrated; first run: glance-manage db migrate")
        if status.needs_contract:
            _thd_contract(connection, say)
        return _thd_status(connection)
