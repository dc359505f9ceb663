"""Find out, before a reactor runs, whether the catalogue's database can be worked on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from glance.config import Loaded

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def log_warning(text: str) -> None:
    """Log what an operator should know of."""
    # Only now: it is not in the way of a program that has nothing to say.
    from twisted.logger import Logger

    Logger(__name__).warn("{text}", text=text)


def thd_check_database(loaded: Loaded, warn: Callable[[str], None] = log_warning) -> None:
    """Check that the schema is this release's; the embedded default's is made so.

    :param warn: told of what the embedded default has to do without.
    :raises ConfigError: it is not.
    :raises Unavailable: the database cannot be reached.
    """
    from glance.db import schema
    from glance.db.engine import make_configured_engine

    engine = make_configured_engine(loaded.conf.database)
    try:
        if loaded.embedded:
            thd_make_embedded(engine, warn)
        else:
            schema.thd_status(engine).check_usable()
    finally:
        engine.dispose()


def thd_make_embedded(engine: Engine, warn: Callable[[str], None] = log_warning) -> bool:
    """Make the embedded default's database, with metadata definitions, or bring it up to date.

    :param warn: told of definitions that cannot be loaded.
    :returns: whether there was something to do.
    """
    from glance.db import schema

    def thd_fill(connection: Connection) -> None:
        # Only now: it happens once.
        from glance.db.metadef_loading import thd_fill_shipped

        thd_fill_shipped(connection, warn)

    return schema.thd_sync(engine, thd_fill=thd_fill)
