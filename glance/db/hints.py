"""What helps databases to choose the better of two plans, and changes no answer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def word(text: str) -> ColumnElement[Any]:
    """Return a constant text as part of a statement's words.

    PostgreSQL plans a statement that it keeps without knowing its parameters. How many rows have
    what is no parameter it can tell.

    :param text: one of our own words, of letters and underscores.
    :raises ValueError: it is none.
    """
    if not text.isidentifier():
        raise ValueError(f"{text!r} is not a plain word.")
    return literal_column(f"'{text}'")


def as_it_is(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column of which an index may be used: the alternative to :class:`unindexed`."""
    return column


class unindexed(FunctionElement[Any]):
    """A column of which no index is to be used, since another condition leads to fewer rows.

    For SQLite, which chooses without knowing what is in the tables. The others do know.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(unindexed)
def _plain(element: unindexed, compiler: Any, **details: Any) -> str:
    return str(compiler.process(element.clauses, **details))


@compiles(unindexed, "sqlite")
def _with_plus(element: unindexed, compiler: Any, **details: Any) -> str:
    # https://www.sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_
    return f"+{compiler.process(element.clauses, **details)}"
