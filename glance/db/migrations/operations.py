"""Schema operations that do nothing where they have been done already.

MariaDB commits every change of the schema by itself: a revision that broke off in its middle runs
again from its start.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import Boolean, Column, MetaData, false, inspect


def has_column(table: str, column: str) -> bool:
    """Say whether a table has a column."""
    return column in {found["name"] for found in inspect(op.get_bind()).get_columns(table)}


def has_index(table: str, index: str) -> bool:
    """Say whether a table has an index."""
    return index in {found["name"] for found in inspect(op.get_bind()).get_indexes(table)}


def add_column(table: str, column: Column[Any]) -> None:
    """Add a column."""
    if not has_column(table, column.name):
        op.add_column(table, column)


def add_flag(table: str, column: str) -> None:
    """Add a boolean column that is false in the rows that are there."""
    if has_column(table, column):
        return
    if op.get_bind().dialect.name == "sqlite":
        # Alembic leaves out the check that goes with a boolean here.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN {column} BOOLEAN DEFAULT 0 NOT NULL "
            f"CHECK ({column} IN (0, 1))"
        )
    else:
        op.add_column(table, Column(column, Boolean, server_default=false(), nullable=False))


def add_index(name: str, table: str, *columns: str) -> None:
    """Add an index."""
    if not has_index(table, name):
        op.create_index(name, table, list(columns))


def add_tables(metadata: MetaData) -> None:
    """Add the tables of a metadata with their indexes."""
    bind = op.get_bind()
    metadata.create_all(bind)
    # A table made by a run that broke off may lack its indexes.
    for table in metadata.sorted_tables:
        for index in table.indexes:
            index.create(bind, checkfirst=True)
