"""Statements compiled once, run on the bare driver.

SQLAlchemy writes the SQL and knows how each driver's values become Python's; doing that anew for
every request is most of what a small query costs. A :class:`Prepared` statement keeps both and
leaves to each run what only the driver can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter, methodcaller
from typing import Any, TypeVar

from sqlalchemy import Boolean, ColumnElement, Connection, Dialect, false, literal
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles

T = TypeVar("T")
Row = tuple[Any, ...]


def among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Say that a column has one of some values.

    ``column.in_(values)`` writes its list anew for each run; this one stands in the statement.

    :param values: plain values or ``bindparam``s, their number fixed; none match when it is 0.
    """
    fixed = [v if isinstance(v, ColumnElement) else literal(v, column.type) for v in values]
    return column.in_(fixed) if fixed else false()


class Exactly(ColumnElement[bool]):
    """Say that a column of text has a value to the letter.

    To MariaDB, texts that differ in case, accents or spaces at the end are the same.
    """

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: ColumnElement[str], value: ColumnElement[str]) -> None:
        self.column, self.value = column, value

    def self_group(self, against: Any = None) -> Exactly:
        """Return the comparison as it is: compared with 1, SQLite would find no index for it."""
        return self


@compiles(Exactly)
def _equal(element: Exactly, compiler: Any, **details: Any) -> str:
    return str(compiler.process(element.column == element.value, **details))


@compiles(Exactly, "mysql", "mariadb")
def _equal_bytes(element: Exactly, compiler: Any, **details: Any) -> str:
    column = compiler.process(element.column, **details)
    value = compiler.process(element.value, **details)
    # The first half is what an index can be used for.
    return f"({column} = {value} AND BINARY {column} = {value})"


class _Form:
    """A statement in one database's words.

    :param by_values: whether the best plan depends on the values.
    """

    def __init__(self, statement: Any, dialect: Dialect, by_values: bool) -> None:
        compiled = statement.compile(dialect=dialect)
        if compiled.post_compile_params:
            raise TypeError("A list is left open in a prepared statement; use among() for it.")
        self.sql = str(compiled)
        # Kept by PostgreSQL, it would after some runs be planned for values of any kind.
        fresh = by_values and dialect.driver == "psycopg"
        self.options = {"prepare": False} if fresh else {}
        self.order: list[str] | None = compiled.positiontup if compiled.positional else None
        bind = {
            name: process
            for name, process in compiled._bind_processors.items()
            if callable(process)
        }
        self.constants = {
            name: bind[name](value) if name in bind else value
            for name, value in compiled.params.items()
            if value is not None
        }
        self.bind = {name: process for name, process in bind.items() if name not in self.constants}
        # Changes return no rows.
        columns = getattr(statement, "selected_columns", ())
        processors = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]
        self.processors: list[Callable[[Any], Any] | None] | None = (
            processors if any(processors) else None
        )

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Return what the driver takes for the statement's parameters."""
        bound = {**self.constants, **values}
        for name, process in self.bind.items():
            bound[name] = process(bound[name])
        return bound if self.order is None else tuple([bound[n] for n in self.order])


class Prepared:
    """A statement to be run many times.

    :param statement: a SQLAlchemy select, union, insert, update or delete; its parameters are named
        ``bindparam``s.
    :param by_values: whether a plan that is good for some values may be bad for others, so that the
        database had better think about each run anew.
    """

    def __init__(self, statement: Any, *, by_values: bool = False) -> None:
        self._statement = statement
        self._by_values = by_values
        self._forms: dict[str, _Form] = {}

    def thd_rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Row]:
        """Run the statement and return all its rows.

        :param values: a value for every parameter.
        :raises DBAPIError: whatever the database says, as SQLAlchemy would wrap it.
        """
        form = self._form(connection)
        rows = _thd_execute(connection, form, values, _fetch)
        if form.processors is None:
            return list(rows)
        return [
            tuple(
                [
                    value if process is None else process(value)
                    for value, process in zip(row, form.processors, strict=True)
                ]
            )
            for row in rows
        ]

    def thd_run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement and return how many rows it changed.

        Parameters and errors are those of :meth:`thd_rows`.
        """
        return _thd_execute(connection, self._form(connection), values, _count)

    def _form(self, connection: Connection) -> _Form:
        form = self._forms.get(connection.dialect.name)
        if form is None:
            form = _Form(self._statement, connection.dialect, self._by_values)
            self._forms[connection.dialect.name] = form
        return form


def _wrapped(error: Exception, dialect: Any, raw: Any, form: _Form) -> BaseException:
    """Return what SQLAlchemy's own execution would raise."""
    return DBAPIError.instance(
        form.sql,
        None,
        error,
        dialect.dbapi.Error,
        hide_parameters=True,
        connection_invalidated=dialect.is_disconnect(error, raw, None),
        dialect=dialect,
    )


_fetch: Callable[[Any], list[Row]] = methodcaller("fetchall")
_count: Callable[[Any], int] = attrgetter("rowcount")


def _thd_execute(
    connection: Connection, form: _Form, values: Mapping[str, Any], take: Callable[[Any], T]
) -> T:
    """Run a form of a statement, and take what is wanted of the cursor before it closes."""
    parameters = form.parameters(values)
    raw: Any = connection.connection
    try:
        cursor = raw.cursor()
        try:
            cursor.execute(form.sql, parameters, **form.options)
            return take(cursor)
        finally:
            cursor.close()
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(error, connection.dialect, raw, form) from error
