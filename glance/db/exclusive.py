"""Hold a database for one process's change of the schema.

Services and ``glance-manage`` may start at once on one database: the second waits for the first and
then finds nothing left to do.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from glance.db.breakage import classify
from glance.db.engine import address, reason
from glance.domain.errors import GlanceError, Unavailable

#: How long to wait for another process's change of the schema, in seconds.
PATIENCE = 3600
_CONNECT_ATTEMPTS = 100
_CONNECT_PAUSE = 0.05
#: Any number does that other software is unlikely to have chosen too.
_POSTGRESQL_LOCK = 0x7478676C616E6365
#: How long one attempt to write to a SQLite file takes, in milliseconds.
_SQLITE_TRY = 1000
_WAITING = "Another process is at work on the database; waiting for it."
_TOO_LONG = "Another process has been changing the schema for too long; try again."

#: Called with lines of progress.
Say = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing."""


class SchemaError(GlanceError):
    """The database's schema cannot be used, or not be changed as asked."""


@contextmanager
def thd_connected(engine: Engine) -> Iterator[Connection]:
    """Connect in autocommit mode, and word what the database refuses.

    :raises Unavailable: it cannot be reached.
    :raises SchemaError: it refused a statement.
    """
    with thd_connect(engine) as connection:
        try:
            yield connection
        except DBAPIError as error:
            raise SchemaError(
                f"The database {address(engine)} refused a statement: {reason(error, engine)}"
            ) from error


def thd_connect(engine: Engine) -> Connection:
    """Connect in autocommit mode.

    :raises Unavailable: the database cannot be reached.
    """
    for attempt in range(_CONNECT_ATTEMPTS):
        try:
            return engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
            # SQLite does not wait for its turn where processes give a new file its journal mode.
            busy = "locked" in reason(error, engine) and engine.dialect.name == "sqlite"
            if not busy or attempt + 1 == _CONNECT_ATTEMPTS:
                raise Unavailable(
                    f"The database {address(engine)} cannot be reached: {reason(error, engine)}"
                ) from None
            time.sleep(_CONNECT_PAUSE)
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def thd_exclusively(engine: Engine, say: Say = silent) -> Iterator[Connection]:
    """Connect, and keep every other process that wants this waiting.

    On PostgreSQL and SQLite the block is one transaction; MariaDB commits changes of the schema one
    by one.

    :param say: called with a line when another process has to be waited for.
    :raises Unavailable: the database cannot be reached.
    :raises SchemaError: it refused a statement, or another process would not finish.
    """
    held = {"sqlite": _thd_sqlite, "postgresql": _thd_postgresql}.get(
        engine.dialect.name, _thd_mysql
    )
    with thd_connected(engine) as connection, held(connection, say):
        yield connection


@contextmanager
def _thd_transaction(connection: Connection) -> Iterator[None]:
    """Commit what is done in the block, or roll it back; the transaction is open already."""
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


@contextmanager
def _thd_sqlite(connection: Connection, say: Say) -> Iterator[None]:
    # Making a table anew drops the old one, which other tables refer to; inside a transaction the
    # switch has no effect.
    enforced = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    try:
        _thd_begin_on_sqlite(connection, say)
        with _thd_transaction(connection):
            # What was broken before is not for us to refuse.
            before = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            yield
            after = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if len(after) > len(before):
                child, _, parent, _ = after[-1]
                raise SchemaError(
                    f"A row of table {child} would refer to a missing row of table {parent}; "
                    "nothing was changed. This is a fault of the program."
                )
    finally:
        connection.exec_driver_sql(f"PRAGMA foreign_keys = {int(bool(enforced))}")


def _thd_begin_on_sqlite(connection: Connection, say: Say) -> None:
    """Wait until nobody else writes to the file: the next moment, or the end of an upgrade."""
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {_SQLITE_TRY}")
    deadline = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except DBAPIError as error:
            if classify(error) != "conflict":
                raise
            if time.monotonic() >= deadline:
                raise SchemaError(_TOO_LONG) from error
        if not told:
            told = True
            say(_WAITING)


@contextmanager
def _thd_postgresql(connection: Connection, say: Say) -> Iterator[None]:
    connection.exec_driver_sql("BEGIN")
    with _thd_transaction(connection):
        locked = f"SELECT pg_try_advisory_xact_lock({_POSTGRESQL_LOCK})"
        if not connection.exec_driver_sql(locked).scalar():
            say(_WAITING)
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE}s'")
            try:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
            except DBAPIError as error:
                if classify(error) != "conflict":
                    raise
                raise SchemaError(_TOO_LONG) from error
            connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")
        yield


@contextmanager
def _thd_mysql(connection: Connection, say: Say) -> Iterator[None]:
    # Names of locks are the whole server's and at most 64 characters long.
    database = str(connection.engine.url.database)
    name = "txglance-" + hashlib.sha256(database.encode()).hexdigest()[:32]
    lock = text("SELECT GET_LOCK(:n, :t)")
    if connection.execute(lock, {"n": name, "t": 0}).scalar() != 1:
        say(_WAITING)
        if connection.execute(lock, {"n": name, "t": PATIENCE}).scalar() != 1:
            raise SchemaError(_TOO_LONG)
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:n)"), {"n": name})
