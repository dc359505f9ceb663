"""A hundred thousand images in a moment, made by the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from glance.db.engine import make_engine

IMAGES = 100_000
#: Images that share a second, as images that are made in bulk do.
AT_ONCE = 20

_BEGIN = 1_700_000_000
#: How each engine counts from 1 to IMAGES, says 8 hexadecimal digits, and when image n was made.
_WORDS = {
    "sqlite": (
        f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {IMAGES})"
        " SELECT n FROM s) AS numbers",
        "printf('%08x', {})",
        f"datetime({_BEGIN} + n / {AT_ONCE}, 'unixepoch') || '.000000'",
    ),
    "postgresql": (
        f"generate_series(1::bigint, {IMAGES}) AS numbers(n)",
        "lpad(to_hex({}), 8, '0')",
        f"to_timestamp({_BEGIN} + n / {AT_ONCE}) AT TIME ZONE 'UTC'",
    ),
    "mysql": (
        f"(SELECT seq AS n FROM seq_1_to_{IMAGES}) AS numbers",
        "lower(lpad(hex({}), 8, '0'))",
        f"from_unixtime({_BEGIN} + n DIV {AT_ONCE})",
    ),
}


def filled(url: str, **images: Any) -> Iterator[Connection]:
    """Give a connection to a catalogue that was filled."""
    engine = make_engine(url, sqlite_synchronous=False)
    with engine.connect() as connection:
        fill(connection, **images)
        yield connection
    engine.dispose()


def in_order(
    connection: Connection, order: tuple[tuple[str, str], ...], seen: str = "1 = 1"
) -> list[str]:
    """Return the ids of the images that a list may show.

    :param order: what they are sorted by.
    :param seen: what they must be, in SQL.
    """
    by = ", ".join(f"{key} {direction}" for key, direction in order)
    found = connection.exec_driver_sql(
        "SELECT id FROM images WHERE deleted = false AND os_hidden = false"
        f" AND ({seen}) ORDER BY {by}"
    )
    return [row[0] for row in found]


def fill(connection: Connection, *, visibility: str, owner: str, members: dict[str, str]) -> None:
    """Make images, a tenth of them deleted, a fiftieth hidden, each with a tag and a property.

    :param visibility: of image ``n``, in SQL.
    :param owner: of image ``n``, in SQL.
    :param members: which images, as a condition in SQL, are shared with which project, also in SQL.
    """
    kind = connection.dialect.name
    numbers, hexadecimal, when = _WORDS[kind]
    if kind == "postgresql":
        visibility = f"({visibility})::image_visibility"
    # In another order than that in which they were made.
    image_id = hexadecimal.format("(n * 2654435761) % 4294967296")
    deleted, stamps = "n % 10 = 1", "created_at, updated_at, deleted"
    cursor = connection.connection.cursor()
    cursor.execute(
        "INSERT INTO images (id, name, status, visibility, min_disk, min_ram, owner, protected,"
        f" os_hidden, {stamps}) SELECT {image_id}, {hexadecimal.format('n')}, 'active',"
        f" {visibility}, 0, 0, {owner}, false, n % 50 = 3, {when}, {when}, {deleted} FROM {numbers}"
    )
    cursor.execute(
        f"INSERT INTO image_tags (image_id, value, {stamps})"
        f" SELECT {image_id}, 'tag', {when}, {when}, {deleted} FROM {numbers}"
    )
    cursor.execute(
        f"INSERT INTO image_properties (image_id, name, value, {stamps})"
        f" SELECT {image_id}, 'p', 'v', {when}, {when}, {deleted} FROM {numbers}"
    )
    for condition, project in members.items():
        cursor.execute(
            f"INSERT INTO image_members (image_id, member, can_share, status, {stamps})"
            f" SELECT {image_id}, {project}, false, 'accepted', {when}, {when}, {deleted}"
            f" FROM {numbers} WHERE {condition}"
        )
    tables = "images, image_tags, image_properties, image_members"
    if kind == "postgresql":
        cursor.execute(f"VACUUM ANALYZE {tables}")
    elif kind == "mysql":
        cursor.execute(f"ANALYZE TABLE {tables}")
        cursor.fetchall()
    # SQLite has no statistics, as an embedded database has none.
    cursor.close()
