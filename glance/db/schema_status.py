"""How a database's schema stands towards this release.

Read with plain queries and compared with constants: a service that starts on an up-to-date
database does not load alembic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    inspect,
    select,
)

from glance.db.exclusive import SchemaError
from glance.db.revisions import CATALOGUE_CHAIN, CHAINS, OWN_CHAIN, Chain, expanded_by_newer
from glance.db.tables import CATALOGUE

#: Stands in the own chain's version table while a new database is being filled.
INCOMPLETE = "incomplete"
#: The tables that record revisions, shaped as alembic makes them.
REVISIONS = {
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
    def recorded(self) -> dict[Chain, tuple[str, ...]]:
        """Return the recorded revisions by chain."""
        return {CATALOGUE_CHAIN: self.catalogue, OWN_CHAIN: self.own}

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
            raise SchemaError("The database's schema is not up to date; run: glance-manage db sync")

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


def thd_read_status(connection: Connection) -> SchemaStatus:
    """Say how the schema stands that a connection sees."""
    present = set(inspect(connection).get_table_names())
    recorded = {
        chain: tuple(sorted(connection.scalars(select(table.c.version_num))))
        if table.name in present
        else ()
        for chain, table in REVISIONS.items()
    }
    catalogue, own = recorded[CATALOGUE_CHAIN], recorded[OWN_CHAIN]
    if INCOMPLETE in own:
        return SchemaStatus(State.INCOMPLETE, catalogue, needs_expand=True, needs_contract=True)
    if not catalogue:
        state = State.UNVERSIONED if present & set(CATALOGUE.tables) else State.FRESH
        return SchemaStatus(state, catalogue, own, needs_expand=True, needs_contract=True)
    places = {chain: chain.place(recorded[chain]) for chain in CHAINS}
    unknown = tuple(name for place in places.values() for name in place.unknown)
    if unknown:
        state = State.AHEAD if expanded_by_newer(unknown) else State.UNKNOWN
        return SchemaStatus(state, catalogue, own, unknown)
    needs_expand = any(place.expand < len(chain.steps) for chain, place in places.items())
    needs_contract = any(place.contract < len(chain.steps) for chain, place in places.items())
    return SchemaStatus(
        State.BEHIND if needs_contract else State.CURRENT,
        catalogue,
        own,
        needs_expand=needs_expand,
        needs_migrate=needs_contract and not needs_expand and _thd_rows_wait(connection, recorded),
        needs_contract=needs_contract,
    )


def _thd_rows_wait(connection: Connection, recorded: dict[Chain, tuple[str, ...]]) -> bool:
    from glance.db.migrations.data import due

    return any(migration.thd_pending(connection) for migration in due(recorded))
