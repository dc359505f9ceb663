"""Migrations of rows, between an expanding and a contracting revision.

Each module has ``thd_pending(connection)``, which says whether rows wait, and
``thd_migrate(connection)``, which yields the number of rows changed, batch after batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from glance.db.migrations.data import ocata_migrate01, own_1_0_migrate02, train_migrate01
from glance.db.revisions import CATALOGUE_CHAIN, OWN_CHAIN, Chain


@dataclass(frozen=True, slots=True)
class DataMigration:
    """A migration of rows and when it is due.

    :param name: as operators know it.
    :param chain: the chain of revisions that it belongs to.
    :param before: the contracting revision that must not come first.
    :param thd_pending: says whether rows wait; asked when the chain is expanded.
    :param thd_migrate: changes them.
    """

    name: str
    chain: Chain
    before: str
    thd_pending: Callable[[Connection], bool]
    thd_migrate: Callable[[Connection], Iterator[int]]


DATA_MIGRATIONS = (
    DataMigration(
        "ocata_migrate01",
        CATALOGUE_CHAIN,
        "ocata_contract01",
        ocata_migrate01.thd_pending,
        ocata_migrate01.thd_migrate,
    ),
    DataMigration(
        "train_migrate01",
        CATALOGUE_CHAIN,
        "train_contract01",
        train_migrate01.thd_pending,
        train_migrate01.thd_migrate,
    ),
    # Other software may have passed the Train release without renaming the keys.
    DataMigration(
        "1_0_migrate01",
        OWN_CHAIN,
        "1_0_contract01",
        train_migrate01.thd_pending,
        train_migrate01.thd_migrate,
    ),
    DataMigration(
        "1_0_migrate02",
        OWN_CHAIN,
        "1_0_contract02",
        own_1_0_migrate02.thd_pending,
        own_1_0_migrate02.thd_migrate,
    ),
)
"""In the order in which they run."""


def due(recorded: Mapping[Chain, tuple[str, ...]]) -> list[DataMigration]:
    """Return the migrations whose step is expanded and not contracted.

    :param recorded: the revisions that a database recorded, by chain.
    """
    found = []
    for migration in DATA_MIGRATIONS:
        applied = migration.chain.applied(recorded[migration.chain])
        expanded = migration.before.replace("contract", "expand") in applied
        if expanded and migration.before not in applied:
            found.append(migration)
    return found
