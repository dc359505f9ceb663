"""Drive alembic along one chain of revisions.

Only this module and the revision files load alembic, and only when there is work for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from glance.db.revisions import Chain

HERE = Path(__file__).parent


def configuration(chain: Chain) -> Config:
    """Return alembic's configuration for a chain."""
    config = Config()
    # "%" is the configuration format's own sign.
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option(
        "version_locations", str(HERE / "versions" / chain.name).replace("%", "%%")
    )
    # Without it a blank in the path would separate two locations.
    config.set_main_option("path_separator", "newline")
    return config


def scripts(chain: Chain) -> ScriptDirectory:
    """Return the revision files of a chain."""
    return ScriptDirectory.from_config(configuration(chain))


def thd_apply(
    connection: Connection, chain: Chain, revision: str, say: Callable[[str], None]
) -> None:
    """Apply what is missing up to a revision.

    :param connection: one that has a transaction open wherever the database has transactions for
        changes of its schema.
    :param revision: a revision of the chain.
    :param say: called with a line of progress after each revision.
    """
    config = configuration(chain)
    config.attributes.update(connection=connection, version_table=chain.version_table, say=say)
    command.upgrade(config, revision)
