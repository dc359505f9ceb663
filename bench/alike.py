"""Fill the databases of several services with the same images, each with data that is only said.

What compares catalogues needs images that are active, with sizes, hashes, properties, tags and
members; none of it downloads them.
"""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from bench.fill import Database, Row, rows

_BATCH = 500
#: Of so many images one is shared, the others are public.
_SHARED = 4
_MEMBERS = ("first", "second")
_DATA = ("size", "checksum", "os_hash_algo", "os_hash_value")
_MEMBER = (
    "image_id", "member", "can_share", "status", "created_at", "updated_at", "deleted",
)  # fmt: skip


def fill_alike(urls: Sequence[str], count: int) -> None:
    """Put images into empty catalogues, the same into all.

    :param urls: of databases on this machine.
    :raises FillError: one cannot be filled.
    """
    newest = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(days=1)
    with ExitStack() as stack:
        databases = [stack.enter_context(Database(url)) for url in urls]
        for start in range(0, count, _BATCH):
            images = [rows(number, newest) for number in range(start, min(start + _BATCH, count))]
            for database in databases:
                for table in images[0]:
                    database.insert(table, [row for image in images for row in image[table]])
                _tell_data(database, images, start)
                database.connection.commit()
        for database in databases:
            database.settle()


def _tell_data(database: Database, images: Sequence[dict[str, list[Row]]], start: int) -> None:
    mark = database.mark
    values, members = [], []
    for number, image in enumerate(images, start):
        image_id, name = image["images"][0][:2]
        at = image["images"][0][-2]
        md5 = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        digest = hashlib.sha512(name.encode()).hexdigest()
        shared = number % _SHARED == 0
        kind = "shared" if shared else "public"
        values.append((number, md5, "sha512", digest, "active", kind, image_id))
        if shared:
            members += [(image_id, who, False, "accepted", at, at, False) for who in _MEMBERS]
    names = ", ".join(f"{name} = {mark}" for name in (*_DATA, "status", "visibility"))
    cursor = database.connection.cursor()
    cursor.executemany(f"UPDATE images SET {names} WHERE id = {mark}", values)
    if members:
        marks = ", ".join([mark] * len(_MEMBER))
        cursor.executemany(
            f"INSERT INTO image_members ({', '.join(_MEMBER)}) VALUES ({marks})", members
        )
