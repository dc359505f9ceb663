"""Tell what of a database's errors can be mended by trying again.

The drivers' codes stand here and nowhere else.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError

#: PostgreSQL: serialization failure, deadlock, lock not available.
_PG_CONFLICT = {"40001", "40P01", "55P03"}
#: PostgreSQL: shutdown and crash, session timeouts, too many connections, a standby that became or
#: remained read-only. Class 08, connection exceptions, belongs here too.
_PG_LOST = {"57P01", "57P02", "57P03", "57P05", "25P03", "53300", "25006"}
#: MariaDB and MySQL: row changed since it was read, lock wait timeout, deadlock.
_MYSQL_CONFLICT = {1020, 1205, 1213}
#: MariaDB and MySQL: too many connections (1040, 1203, 1226), a node that is not part of its
#: cluster (1047), shutdown, read-only (1290, 1836), killed, cannot connect, gone away, lost.
_MYSQL_LOST = {
    1040, 1047, 1053, 1203, 1226, 1290, 1836, 1927, 2002, 2003, 2006, 2013, 2055, 4031,
}  # fmt: skip

#: PostgreSQL: disk full, input or output error. MariaDB and MySQL: disk full, table full.
_PG_OUT_OF_ORDER = {"53100", "58030"}
_MYSQL_OUT_OF_ORDER = {1021, 1114}

#: MariaDB and MySQL: a text beyond the column's character set, where it is compared.
_MYSQL_REFUSED = {1267}


class Broken(Exception):
    """Internal: an attempt broke off in a way worth repeating."""

    def __init__(self, kind: str, cause: DBAPIError) -> None:
        super().__init__(kind)
        self.kind = kind
        self.cause = cause


def classify(error: DBAPIError) -> str | None:
    """Say whether repeating an interaction can mend a database error.

    :returns: ``"conflict"``, ``"lost"`` or ``None``.
    """
    original = error.orig
    code = getattr(original, "sqlstate", None)
    if code in _PG_CONFLICT:
        return "conflict"
    if code in _PG_LOST or (isinstance(code, str) and code.startswith("08")):
        return "lost"
    if code == "0A000" and _has_stale_plan(original):
        return "lost"
    if isinstance(original, sqlite3.OperationalError):
        name = getattr(original, "sqlite_errorname", "")
        return "conflict" if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else None
    number = _number(error)
    if number in _MYSQL_CONFLICT:
        return "conflict"
    if number in _MYSQL_LOST or error.connection_invalidated:
        return "lost"
    if code is None:
        # psycopg reports a refused or broken connection without an SQLSTATE.
        kinds = type(original).__mro__
        if any(k.__name__ == "OperationalError" and k.__module__ == "psycopg" for k in kinds):
            return "lost"
    return None


def is_refusal(error: DBAPIError) -> bool:
    """Tell whether a database refuses a value that it cannot hold or compare."""
    return isinstance(error, DataError) or _number(error) in _MYSQL_REFUSED


def is_out_of_order(error: DBAPIError) -> bool:
    """Tell whether a database cannot write: its disk is full, broken, or not ours to write to."""
    name = getattr(error.orig, "sqlite_errorname", "")
    return (
        name.startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN"))
        or getattr(error.orig, "sqlstate", None) in _PG_OUT_OF_ORDER
        or _number(error) in _MYSQL_OUT_OF_ORDER
    )


def _has_stale_plan(original: Any) -> bool:
    """Tell whether PostgreSQL prepared a statement before a table was changed.

    It says so each time the statement is run until the connection is replaced.
    """
    # The message is in the server's language; the function's name is not.
    function = getattr(getattr(original, "diag", None), "source_function", None)
    return function == "RevalidateCachedQuery" or "cached plan" in str(original)


def _number(error: DBAPIError) -> Any:
    """Return a MariaDB or MySQL error's number; what it is of other databases' has no meaning."""
    return error.orig.args[0] if error.orig is not None and error.orig.args else None
