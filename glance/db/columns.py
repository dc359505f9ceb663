"""Column types and column groups shared by every table.

The catalogue runs on three engines and must stay readable to the OpenStack Glance project's
service, so the odd spellings (JSON kept in TEXT, BIGINT keys that SQLite needs as INTEGER, booleans
checked on SQLite) are said once, here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

CATALOGUE = MetaData()
"""Tables shared with the OpenStack Glance project's service: never alter their columns."""


def utcnow() -> datetime:
    """Return the present time as the catalogue keeps it: UTC, without a time zone."""
    return datetime.now(UTC).replace(tzinfo=None)


class Json(TypeDecorator[Any]):
    """A JSON value in a TEXT column; ``None`` is SQL NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Render the value as JSON text."""
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Parse the JSON text."""
        if value is None:
            return None
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            # Rows written by other software may hold NaN, which only the standard library takes.
            return json.loads(value)


def big_integer() -> BigInteger:
    """Return BIGINT; SQLite numbers keys by itself only when they are INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")


def boolean() -> Boolean:
    """Return BOOLEAN; SQLite, which has none, gets a CHECK of 0 and 1."""
    return Boolean().with_variant(Boolean(create_constraint=True), "sqlite")


def key() -> Column[int]:
    """Return the numbered primary key that most tables have."""
    return Column("id", Integer, primary_key=True)


def timestamps() -> tuple[Column[Any], ...]:
    """Return the columns that say when a row was made and last changed."""
    return (
        Column("created_at", DateTime, nullable=False, default=utcnow),
        Column("updated_at", DateTime, default=utcnow, onupdate=utcnow),
    )


def soft_delete() -> tuple[Column[Any], ...]:
    """Return the columns of a table whose rows are marked before they are purged."""
    return (
        Column("deleted_at", DateTime),
        Column("deleted", boolean(), nullable=False, default=False),
    )


def flag(name: str) -> Column[bool]:
    """Return a boolean column that is false unless said otherwise, in the database too."""
    return Column(name, boolean(), nullable=False, default=False, server_default=false())


def catalogue_table(
    name: str, *parts: Column[Any] | Index | UniqueConstraint | ForeignKey, metadata: MetaData
) -> Table:
    """Return a table with the storage settings every table shares."""
    return Table(name, metadata, *parts, mysql_engine="InnoDB", mysql_charset="utf8")
