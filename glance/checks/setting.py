"""What checks look at: the configuration, and the database behind it, read and never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from glance.config import Loaded
from glance.config.files import normal

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from glance.db.schema_status import SchemaStatus
    from glance.stores.registry import Stores


@dataclass
class Setting:
    """What is checked.

    :param loaded: the configuration.
    :param now: the present time, as the catalogue keeps it.
    :param patience: seconds that a check may take.
    :param files_given: ``--config-file`` and ``--config-dir`` as they were given, for loading what
        another program's configuration is.
    :param schema: how the database's schema stands, once it has been looked at.
    :param stores: the stores, once they have been made.
    """

    loaded: Loaded
    now: datetime
    patience: float
    files_given: tuple[str, ...] = ()
    schema: SchemaStatus | None = field(default=None)
    stores: Stores | None = field(default=None)

    @property
    def conf(self) -> Any:
        """The options."""
        return self.loaded.conf

    def written(self, group: str, name: str) -> str | None:
        """Return what the files set an option to, whether or not a program of ours has it."""
        found = None
        for section, option, place in self.loaded.places():
            if (section, option) == (normal(group), name):
                found = place.value
        return found

    @property
    def sqlite_file(self) -> Path | None:
        """The database's file, if it is one."""
        from glance.db.engine import parse_url

        url = parse_url(self.conf.database.connection)
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
            return None
        return Path(url.database or "")

    @contextmanager
    def thd_connected(self) -> Iterator[Connection]:
        """Connect to the database.

        :raises Unavailable: it cannot be reached.
        :raises SchemaError: it refused a statement.
        """
        from glance.db.engine import make_configured_engine
        from glance.db.exclusive import thd_connected
        from glance.db.sealed_locations import seal_with

        path = self.sqlite_file
        options = self.conf.database
        engine = make_configured_engine(options) if path is None else _read_only_engine(path)
        seal_with(engine, self.conf.metadata_encryption_key)
        try:
            with thd_connected(engine) as connection:
                yield connection
        finally:
            engine.dispose()


def _read_only_engine(path: Path) -> Engine:
    """Make an engine that changes nothing; the service's own sets a file's journal mode."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    def thd_connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)

    return create_engine(
        # The path is for messages.
        f"sqlite:///{path}",
        creator=thd_connect,
        poolclass=NullPool,
        hide_parameters=True,
    )
