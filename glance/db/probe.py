"""Whether the catalogue can be read, for the health check."""

from __future__ import annotations

from sqlalchemy import Connection, select

from glance.db.tables import images


def thd_probe(connection: Connection) -> None:
    """Read something of the catalogue.

    :raises Exception: it cannot be read.
    """
    connection.execute(select(images.c.id).limit(1)).first()
