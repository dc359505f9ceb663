"""Put a great many images straight into a service's database, and take them out again.

A hundred thousand images through the API would take hours.  The rows are those of images without
data, with the properties and tags of the images that the metadata cases make, created a minute
apart from yesterday backwards, the oldest first.  Only a database on this machine is touched, and
only rows of images whose name begins with ``bench-fill-`` and whose owner is ``bench``.
"""

import argparse
import ipaddress
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from bench.catalogue import PROPERTIES, TAGS
from bench.identity import PROJECT
from bench.report import say

_PREFIX = "bench-fill-"
_BATCH = 500
_STAMPED = ("created_at", "updated_at", "deleted")
_COLUMNS = {
    "images": (
        "id",
        "name",
        "disk_format",
        "container_format",
        "status",
        "visibility",
        "min_disk",
        "min_ram",
        "owner",
        "protected",
        "os_hidden",
        *_STAMPED,
    ),
    "image_properties": ("image_id", "name", "value", *_STAMPED),
    "image_tags": ("image_id", "value", *_STAMPED),
}
#: Everything that refers to an image by ``image_id``, children first.
_CHILDREN = ("image_properties", "image_tags", "image_locations", "image_members")
Row = tuple[Any, ...]


class FillError(Exception):
    """The database cannot be filled: the message says why, without its URL's password."""


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Database:
    """A connection by URL, with the few differences between the three kinds."""

    def __init__(self, url: str) -> None:
        """Connect.

        :raises FillError: for an unknown kind, a host that is not this machine, or no driver.
        """
        parts = urlsplit(url)
        self.kind = parts.scheme.partition("+")[0]
        host = parts.hostname or "localhost"
        if not _is_here(host):
            raise FillError(f"--database: only a database on this machine, not {host}")
        self.mark = "?" if self.kind == "sqlite" else "%s"
        account = unquote(parts.username or ""), unquote(parts.password or "")
        try:
            self.connection = self._connect(unquote(parts.path[1:]), host, parts.port, *account)
        except FillError:
            raise
        except ImportError as e:
            raise FillError(f"--database: {e.name} is not installed") from None
        except Exception as e:  # each driver has errors of its own
            raise FillError(f"--database: {type(e).__name__}: {e}") from None

    def _connect(self, name: str, host: str, port: int | None, user: str, password: str) -> Any:
        if self.kind == "sqlite":
            connection = sqlite3.connect(f"file:{quote(name)}?mode=rw", timeout=60, uri=True)
            connection.execute("PRAGMA foreign_keys = ON")
            return connection
        if self.kind == "postgresql":
            import psycopg

            return psycopg.connect(
                host=host, port=port, user=user or None, password=password or None, dbname=name
            )
        if self.kind == "mysql":
            import pymysql

            return pymysql.connect(
                host=host,
                port=port or 3306,
                user=user or None,
                password=password,
                database=name,
                charset="utf8mb4",
            )
        raise FillError(f"--database: sqlite, postgresql or mysql, not {self.kind!r}")

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows of the columns known of the table."""
        columns = _COLUMNS[table]
        marks = ", ".join([self.mark] * len(columns))
        self.connection.cursor().executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows
        )

    def filled(self) -> list[str]:
        """Return the ids of the images that a fill has put there."""
        cursor = self.connection.cursor()
        cursor.execute(
            f"SELECT id FROM images WHERE owner = {self.mark} AND name LIKE {self.mark}",
            (PROJECT, _PREFIX + "%"),
        )
        return [row[0] for row in cursor.fetchall()]

    def delete(self, ids: Sequence[str]) -> None:
        """Delete images with everything that refers to them."""
        marks = ", ".join([self.mark] * len(ids))
        cursor = self.connection.cursor()
        for table in _CHILDREN:
            cursor.execute(f"DELETE FROM {table} WHERE image_id IN ({marks})", ids)
        cursor.execute(f"DELETE FROM images WHERE id IN ({marks})", ids)

    def settle(self) -> None:
        """Do at once what the server would do by itself soon after, in the midst of a cell."""
        if self.kind == "postgresql":
            self.connection.autocommit = True
            for table in ("images", *_CHILDREN):
                self.connection.cursor().execute(f"VACUUM (ANALYZE) {table}")
            self.connection.autocommit = False
        elif self.kind == "mysql":
            cursor = self.connection.cursor()
            cursor.execute(f"ANALYZE TABLE {', '.join(('images', *_CHILDREN))}")
            cursor.fetchall()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def rows(number: int, newest: datetime) -> dict[str, list[Row]]:
    """Return the rows of one image: table -> rows.

    The time is written out with its microseconds, as SQLite keeps it in text; the others read it.
    """
    image = str(uuid.uuid4())
    at = (newest - timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S.%f")
    stamped = (at, at, False)
    name = f"{_PREFIX}{number:07d}"
    return {
        "images": [
            (image, name, "raw", "bare", "queued", "public", 0, 0, PROJECT, False, False, *stamped)
        ],
        "image_properties": [(image, key, value, *stamped) for key, value in PROPERTIES.items()],
        "image_tags": [(image, tag, *stamped) for tag in TAGS],
    }


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[at : at + _BATCH] for at in range(0, len(numbers), _BATCH))


def fill(url: str, count: int) -> None:
    """Add ``count`` images, older than those of an earlier fill."""
    newest = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(days=1)
    with Database(url) as database:
        have = len(database.filled())
        for numbers in _batches(range(have + count - 1, have - 1, -1)):
            together: dict[str, list[Row]] = {table: [] for table in _COLUMNS}
            for number in numbers:
                for table, more in rows(number, newest).items():
                    together[table] += more
            for table, batch in together.items():
                database.insert(table, batch)
            database.connection.commit()
        database.settle()


def empty(url: str) -> int:
    """Remove every image that a fill has put there; return how many."""
    with Database(url) as database:
        ids = database.filled()
        for at in range(0, len(ids), _BATCH):
            database.delete(ids[at : at + _BATCH])
            database.connection.commit()
        database.settle()
    return len(ids)


def main(argv: Sequence[str]) -> int:
    """Run ``python -m bench fill``."""
    parser = argparse.ArgumentParser(
        prog="python -m bench fill",
        description="Put many images into a service's database, or take them out again.",
    )
    parser.add_argument(
        "--database",
        required=True,
        metavar="URL",
        help="sqlite:///FILE, postgresql://… or mysql://…, on this machine",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--images", type=int, metavar="N", help="add so many")
    what.add_argument("--remove", action="store_true", help="remove all that were added")
    args = parser.parse_args(argv)
    began = time.perf_counter()
    try:
        if args.remove:
            done = f"{empty(args.database)} images removed"
        else:
            fill(args.database, args.images)
            done = f"{args.images} images added"
    except FillError as e:
        print(e, file=sys.stderr)
        return 2
    say(f"{done} in {time.perf_counter() - began:.1f} s")
    return 0
