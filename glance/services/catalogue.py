"""The catalogue's database, as the services use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glance.db.txdbapi import Database


def make_database(conf: Any, reactor: Any) -> Database:
    """Make the catalogue's database of the group ``[database]``."""
    # Only now: programs that mostly do without are to start fast.
    from glance.db.engine import make_configured_engine
    from glance.db.txdbapi import Database

    options = conf.database
    engine = make_configured_engine(options, conf.metadata_encryption_key)
    return Database(engine, reactor, threads=options.max_pool_size or 5)
