"""Time scrubbers: the same images and files for each in turn, deleted by one pass of each.

The images are put there by SQL, in ``pending_delete`` and an hour old, with a file each; a target
is any command that makes one pass and ends. What it leaves is checked when the clock has stopped.
"""

import argparse
import shlex
import sys
import tempfile
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.commands import one_shot
from bench.fill import Database, FillError
from bench.identity import PROJECT
from bench.report import Report, say
from bench.stats import Figures, pair, turned

_PREFIX = "bench-scrub-"
_BATCH = 500
_CONF = """\
[DEFAULT]
scrub_time = 0
scrub_pool_size = {pool}
enabled_backends = bench:file
[database]
connection = {database}
[glance_store]
default_backend = bench
[bench]
filesystem_store_datadir = {store}
[oslo_concurrency]
lock_path = {work}
"""
_IMAGE = (
    "id", "name", "size", "status", "visibility", "min_disk", "min_ram", "owner", "protected",
    "os_hidden", "created_at", "updated_at", "deleted_at", "deleted",
)  # fmt: skip
_LOCATION = (
    "image_id", "value", "meta_data", "status", "created_at", "updated_at", "deleted_at", "deleted",
)  # fmt: skip


class State:
    """The images to be scrubbed: their rows and files.

    :param url: of the database, on this machine, with the schema in it.
    :param store: the directory of the files.
    :param size: bytes of each.
    """

    def __init__(self, url: str, store: Path, size: int) -> None:
        self._url = url
        self._store = store
        self._data = b"\0" * size

    def check(self) -> None:
        """Refuse a catalogue in which others wait for the scrubber.

        :raises FillError: it is one.
        """
        with Database(self._url) as database:
            cursor = database.connection.cursor()
            cursor.execute("SELECT count(*) FROM images WHERE status = 'pending_delete'")
            if cursor.fetchone()[0]:
                raise FillError("--database: it has images of its own in pending_delete")

    def make(self, count: int) -> None:
        """Put images there."""
        at = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
        ids = [str(uuid.uuid4()) for _ in range(count)]
        for image in ids:
            (self._store / image).write_bytes(self._data)
        with Database(self._url) as database:
            for start in range(0, count, _BATCH):
                part = ids[start : start + _BATCH]
                _insert(
                    database,
                    "images",
                    _IMAGE,
                    [
                        (image, _PREFIX + image, len(self._data), "pending_delete", "shared", 0, 0,
                         PROJECT, False, False, at, at, at, True)
                        for image in part
                    ],
                )  # fmt: skip
                _insert(
                    database,
                    "image_locations",
                    _LOCATION,
                    [
                        (image, f"file://{self._store}/{image}", '{"store": "bench"}',
                         "pending_delete", at, at, at, True)
                        for image in part
                    ],
                )  # fmt: skip
                database.connection.commit()
            database.connection.commit()
            database.settle()

    def problems(self, count: int) -> list[str]:
        """Say what is not as it should be after a pass."""
        with Database(self._url) as database:
            cursor = database.connection.cursor()
            mark = database.mark
            cursor.execute(
                f"SELECT count(*) FROM images WHERE name LIKE {mark} AND status = 'deleted'",
                (_PREFIX + "%",),
            )
            done = cursor.fetchone()[0]
        left = sum(1 for _ in self._store.iterdir())
        found = [] if done == count else [f"{count - done} images are not deleted"]
        return found if not left else [*found, f"{left} files are left"]

    def clear(self) -> None:
        """Remove all that was put there."""
        for file in self._store.iterdir():
            file.unlink()
        with Database(self._url) as database:
            cursor = database.connection.cursor()
            cursor.execute(
                f"SELECT id FROM images WHERE name LIKE {database.mark}", (_PREFIX + "%",)
            )
            ids = [row[0] for row in cursor.fetchall()]
            database.connection.commit()
            for start in range(0, len(ids), _BATCH):
                database.delete(ids[start : start + _BATCH])
                database.connection.commit()
            database.settle()


def _insert(
    database: Database, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    marks = ", ".join([database.mark] * len(columns))
    database.connection.cursor().executemany(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows
    )


def _measured(state: State, command: str, count: int) -> Figures:
    state.make(count)
    figures = one_shot(command)
    problems = state.problems(count)
    state.clear()
    if problems:
        figures["errors"] = [*figures.get("errors", ()), *problems]
    elif count:
        figures["images_s"] = count / figures["run_s"]
    return figures


def run(args: argparse.Namespace, work: Path) -> Report:
    """Measure, with everything in a directory."""
    targets = dict(pair(text) for text in args.targets)
    store = work / "store"
    store.mkdir()
    url = args.database or f"sqlite:///{work}/bench.sqlite"
    conf = work / "bench.conf"
    conf.write_text(_CONF.format(pool=args.pool, database=url, store=store, work=work))

    def ready(command: str) -> str:
        return command.replace("{conf}", shlex.quote(str(conf)))

    made = one_shot(ready(args.schema))
    if "errors" in made:
        raise FillError(f"--schema: {made['errors'][0]}")
    state = State(url, store, args.size)
    state.check()
    report = Report(list(targets))
    for turn in range(args.rounds):
        for name in turned(list(targets), turn):
            command = ready(targets[name])
            report.record("nothing to scrub", name, _measured(state, command, 0))
            report.record(f"{args.images} images", name, _measured(state, command, args.images))
    return report


def main(argv: Sequence[str]) -> int:
    """Run ``python -m bench scrub``."""
    parser = argparse.ArgumentParser(
        prog="python -m bench scrub",
        description="Time passes of scrubbers over the same state.",
    )
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="NAME=COMMAND",
        help="a command that makes one pass; {conf} stands for the configuration file",
    )
    parser.add_argument("--images", type=int, default=10_000, metavar="N")
    parser.add_argument("--size", type=int, default=4096, metavar="BYTES", help="of each file")
    parser.add_argument("--pool", type=int, default=8, help="scrub_pool_size")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument(
        "--database",
        metavar="URL",
        help="on this machine, without images in pending_delete; default: a new SQLite file",
    )
    parser.add_argument(
        "--schema",
        default="glance-manage --config-file {conf} db sync",
        metavar="COMMAND",
        help="makes the schema (default: %(default)s)",
    )
    parser.add_argument("--work", metavar="DIR", help="where to keep files meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=args.work) as work:
        try:
            report = run(args, Path(work))
        except (FillError, ValueError) as e:
            print(f"bench: {e}", file=sys.stderr)
            return 2
    print(report.tables())
    if args.json:
        report.write(args.json, {"images": args.images, "pool": args.pool, "size": args.size})
        say(f"written to {args.json}")
    return 3 if report.failed else 0
