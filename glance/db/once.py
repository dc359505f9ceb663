"""Insert rows that may be there already, in each database's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam
from sqlalchemy.dialects import mysql, postgresql, sqlite

from glance.db.prepared import Prepared


def insert_once(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Make the statement that inserts rows, without those whose keys are there already.

    Keys that another transaction has not committed yet are waited for.
    """
    match connection.dialect.name:
        case "sqlite":
            return sqlite.insert(table).values(rows).on_conflict_do_nothing()
        case "postgresql":
            return postgresql.insert(table).values(rows).on_conflict_do_nothing()
    (key,) = table.primary_key.columns
    return mysql.insert(table).values(rows).on_duplicate_key_update({key.name: key})


class InsertOnce:
    """Inserts keys into a table; one that is there stays as it is.

    Another transaction's key that is not committed yet is waited for.

    :param table: every column but the key has a default in the database, and only there.
    """

    def __init__(self, table: Table) -> None:
        (key,) = table.primary_key.columns
        self._table = table
        self._name = key.name
        value: dict[str, Any] = {key.name: bindparam(f"new_{key.name}", type_=key.type)}
        # "INSERT IGNORE" would leave a shared lock, from which two that want to change the row
        # afterwards run into a deadlock.
        on_mysql = mysql.insert(table).values(value)
        self._statements = {
            "sqlite": Prepared(sqlite.insert(table).values(value).on_conflict_do_nothing()),
            "postgresql": Prepared(postgresql.insert(table).values(value).on_conflict_do_nothing()),
            "mysql": Prepared(on_mysql.on_duplicate_key_update({key.name: key})),
        }

    def thd_insert_all(self, connection: Connection, keys: Sequence[str]) -> None:
        """Insert keys, those that are not there, by one statement.

        :param keys: sorted, so that two who insert the same ones do not wait in a circle.
        """
        if keys:
            rows = [{self._name: key} for key in keys]
            connection.execute(insert_once(connection, self._table, rows))

    def thd_insert(self, connection: Connection, key: str) -> None:
        """Insert a key, unless it is there."""
        values = {f"new_{self._name}": key}
        self._statements[connection.dialect.name].thd_run(connection, values)
