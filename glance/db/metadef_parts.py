"""What namespaces define: properties, objects and tags, which the catalogue keeps much alike.

Functions named ``thd_…`` block and run in a thread, inside an interaction of ``glance.db.txdbapi``
that has read the namespace, under lock where anything changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Integer, String, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from glance.db.columns import Json, utcnow
from glance.db.prepared import Exactly, Prepared
from glance.db.tables_metadefs import metadef_objects, metadef_properties, metadef_tags
from glance.domain.errors import Duplicate, NotFound
from glance.domain.metadefs.model import Namespace, Object, Property, Tag, ordered
from glance.domain.metadefs.names import join_required, split_required
from glance.domain.text import is_storable, shorten

P = TypeVar("P", Property, Object, Tag)

_parse: Callable[[str | None, Any], Any] = Json().process_result_value


def read_json(text: str | None) -> dict[str, Any]:
    """Parse what the catalogue keeps as JSON: an object."""
    value = _parse(text, None)
    return value if isinstance(value, dict) else {}


class Parts(Generic[P]):
    """One kind of what namespaces define.

    :param table: where it is kept.
    :param what: what one of them is called.
    :param fields: columns beside name and times.
    :param read: makes one of name, values of the fields, and times.
    :param values: the values of the fields of one.
    """

    def __init__(
        self,
        table: Table,
        what: str,
        fields: Sequence[str],
        read: Callable[..., P],
        values: Callable[[P], dict[str, Any]],
    ) -> None:
        self._table: Table = table
        self._what: str = what
        self._read: Callable[..., P] = read
        self._values: Callable[[P], dict[str, Any]] = values
        c: Any = table.c
        self.of_namespace: Any = c.namespace_id == bindparam("of_id", type_=Integer)
        self.columns = (
            c.id, c.name, *(c[name] for name in fields), c.created_at, c.updated_at
        )  # fmt: skip
        every = select(*self.columns).where(self.of_namespace)
        self._all = Prepared(every)
        self._one = Prepared(every.where(Exactly(c.name, bindparam("of_name", type_=String))))

    def thd_list(self, connection: Connection, namespace: Namespace) -> list[P]:
        """Read all of a namespace, in the order of their names."""
        rows = self._all.thd_rows(connection, {"of_id": namespace.id})
        # Databases sort names by rules of their own.
        return sorted((self.read(row) for row in rows), key=lambda part: part.name)

    def thd_get(self, connection: Connection, namespace: Namespace, name: str) -> P:
        """Read one of a namespace.

        :raises NotFound: the namespace has none of that name.
        """
        return self.read(self._thd_row(connection, namespace, name))

    def read(self, row: Sequence[Any]) -> P:
        """Make one of a row of :attr:`columns`."""
        return self._read(*row[1:])

    def _thd_row(self, connection: Connection, namespace: Namespace, name: str) -> Sequence[Any]:
        # Some databases refuse to compare with what they cannot store.
        if is_storable(name):
            values = {"of_id": namespace.id, "of_name": name}
            for row in self._one.thd_rows(connection, values):
                return row
        raise self.missing(namespace, name)

    def thd_insert(self, connection: Connection, namespace: Namespace, parts: Iterable[P]) -> None:
        """Save new ones, in order.

        :raises Duplicate: the namespace has one of such a name.
        """
        now = utcnow()
        rows = []
        for part in parts:
            part.created_at = part.updated_at = now
            rows.append({"namespace_id": namespace.id, **self._row(part), "created_at": now})
        try:
            if rows:
                connection.execute(insert(self._table), rows)
        except IntegrityError:
            raise self._taken(namespace, rows) from None

    def thd_replace(self, connection: Connection, namespace: Namespace, name: str, part: P) -> P:
        """Put another in the place of one, perhaps of another name.

        :raises NotFound: the namespace has none of the first name.
        :raises Duplicate: the namespace has another one of the new name.
        """
        number, *_, created, _ = self._thd_row(connection, namespace, name)
        part.created_at, part.updated_at = created, utcnow()
        row = self._row(part)
        try:
            connection.execute(update(self._table).where(self._table.c.id == number).values(row))
        except IntegrityError:
            raise self._taken(namespace, [row]) from None
        return part

    def thd_delete(self, connection: Connection, namespace: Namespace, name: str) -> None:
        """Delete one.

        :raises NotFound: the namespace has none of that name.
        """
        number, *_ = self._thd_row(connection, namespace, name)
        connection.execute(delete(self._table).where(self._table.c.id == number))

    def thd_delete_all(self, connection: Connection, namespace: Namespace) -> None:
        """Delete all of a namespace."""
        table = self._table
        connection.execute(delete(table).where(table.c.namespace_id == namespace.id))

    def missing(self, namespace: Namespace, name: str) -> NotFound:
        """Return the error for one that is not there."""
        return NotFound(f"Namespace {shorten(namespace.name)} has no {self._what} {shorten(name)}.")

    def _row(self, part: P) -> dict[str, Any]:
        return {"name": part.name, **self._values(part), "updated_at": part.updated_at}

    def _taken(self, namespace: Namespace, rows: Sequence[dict[str, Any]]) -> Duplicate:
        which = shorten(rows[0]["name"]) if len(rows) == 1 else "of one of these names"
        return Duplicate(
            f"Namespace {shorten(namespace.name)} has the {self._what} {which} already; to some"
            " databases names that differ in case only are the same."
        )


def _read_property(name: str, schema: Any, *times: Any) -> Property:
    return Property(name, ordered(schema if isinstance(schema, dict) else {}), *times)


def _read_object(
    name: str, description: str | None, required: str | None, schema: Any, *times: Any
) -> Object:
    schemas = schema if isinstance(schema, dict) else {}
    properties = {key: ordered(inner) for key, inner in schemas.items()}
    return Object(name, description, split_required(required), properties, *times)


PROPERTIES: Parts[Property] = Parts(
    metadef_properties,
    "property",
    ["json_schema"],
    _read_property,
    lambda item: {"json_schema": item.schema},
)
OBJECTS: Parts[Object] = Parts(
    metadef_objects,
    "object",
    ["description", "required", "json_schema"],
    _read_object,
    lambda item: {
        "description": item.description,
        "required": join_required(item.required),
        "json_schema": item.properties,
    },
)
TAGS: Parts[Tag] = Parts(metadef_tags, "tag", [], Tag, lambda item: {})
