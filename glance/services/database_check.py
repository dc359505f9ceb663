"""Find out, before a reactor runs, whether the catalogue's database can be worked on."""

from __future__ import annotations

from glance.config import Loaded


def thd_check_database(loaded: Loaded) -> None:
    """Check that the schema is this release's; the embedded default's is made so.

    :raises ConfigError: it is not.
    :raises Unavailable: the database cannot be reached.
    """
    from glance.db import schema
    from glance.db.engine import make_configured_engine

    engine = make_configured_engine(loaded.conf.database)
    try:
        if loaded.embedded:
            schema.thd_sync(engine)
        else:
            schema.thd_status(engine).check_usable()
    finally:
        engine.dispose()
