"""Find out, before a reactor runs, whether the scrubber can work and has anything to do.

A pass that finds nothing is what a scrubber started by cron mostly is, and costs no more than this:
nothing heavier than the database is imported here.
"""

from __future__ import annotations

from datetime import timedelta

from glance.config import Loaded
from glance.config.programs import PROGRAMS, find_defaults
from glance.domain.errors import ConfigError
from glance.services.database_check import thd_make_embedded


def thd_check(loaded: Loaded) -> bool:
    """Check options that exclude each other and the database; return whether anything is due.

    The embedded default's database is made where there is none.

    :raises ConfigError: the scrubber cannot be started so.
    :raises SchemaError: the schema is not this release's.
    :raises Unavailable: the database cannot be reached.
    """
    from glance.db import schema
    from glance.db.columns import utcnow
    from glance.db.due import thd_due
    from glance.db.engine import make_configured_engine
    from glance.db.exclusive import thd_connected

    conf = loaded.conf
    if conf.restore and conf.daemon:
        raise ConfigError(
            "[DEFAULT]restore and [DEFAULT]daemon exclude each other: a restoration is done once. "
            "Add --nodaemon."
        )
    if loaded.embedded:
        _check_alone(loaded)
        loaded.thd_make_state_dir()
    engine = make_configured_engine(conf.database, conf.metadata_encryption_key)
    try:
        if loaded.embedded:
            thd_make_embedded(engine)
        else:
            schema.thd_status(engine).check_usable()
        until = utcnow() - timedelta(seconds=conf.scrub_time)
        with thd_connected(engine) as connection:
            return bool(thd_due(connection, until, None, 1))
    finally:
        engine.dispose()


def _check_alone(loaded: Loaded) -> None:
    """Check that the API, too, works on the embedded default's database.

    On a catalogue of its own the scrubber would find nothing to do, and say that all is well.

    :raises ConfigError: the API has files of its own.
    """
    if loaded.conf.database.connection != f"sqlite:///{loaded.state_dir}/glance.sqlite":
        return
    for suffix, option in ((".conf", "--config-file"), (".conf.d", "--config-dir")):
        found = find_defaults(PROGRAMS["glance-api"], suffix)
        if found:
            raise ConfigError(
                f"There is no glance-scrubber{suffix}, but {found[-1]}. If that has what the "
                f"scrubber is to work by, say so: {option} {found[-1]}"
            )
