"""Give images the visibility that their public flag and their members amount to."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Boolean, Connection, Enum, String, column, not_, select, table, true, update

_images = table(
    "images",
    column("id", String),
    column("is_public", Boolean),
    column("visibility", Enum("private", "public", "shared", name="image_visibility")),
)
_members = table("image_members", column("image_id", String), column("deleted", Boolean))
_waiting = _images.c.visibility.is_(None)
_with_members = _images.c.id.in_(select(_members.c.image_id).where(not_(_members.c.deleted)))


def thd_pending(connection: Connection) -> bool:
    """Say whether an image has no visibility yet."""
    return connection.execute(select(_images.c.id).where(_waiting).limit(1)).first() is not None


def thd_migrate(connection: Connection) -> Iterator[int]:
    """Set the visibility of images that have none."""
    for visibility, condition in (
        ("public", _images.c.is_public),
        ("shared", _with_members),
        ("private", true()),
    ):
        statement = update(_images).where(_waiting, condition).values(visibility=visibility)
        yield connection.execute(statement).rowcount
