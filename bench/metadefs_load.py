"""Time loading the catalogue of metadata definitions: the same files into an empty database.

A target is any command that loads them and ends. What is in the database is checked when the clock
has stopped.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.commands import one_shot
from bench.fill import Database, FillError
from bench.report import Report, say
from bench.stats import Figures, pair, turned

_CONF = "[database]\nconnection = {database}\n"
#: Children first.
_TABLES = (
    "metadef_properties",
    "metadef_objects",
    "metadef_tags",
    "metadef_namespace_resource_types",
    "metadef_namespaces",
    "metadef_resource_types",
)


class State:
    """The definitions in a database.

    :param url: on this machine, with the schema in it.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        with Database(self._url) as database:
            cursor = database.connection.cursor()
            found = {}
            for table in _TABLES:
                cursor.execute(f"SELECT count(*) FROM {table}")
                found[table] = int(cursor.fetchone()[0])
            return found

    def check(self) -> None:
        """Refuse a database that has definitions of its own.

        :raises FillError: it has.
        """
        if any(self.counts().values()):
            raise FillError("--database: it has metadata definitions of its own")

    def clear(self) -> None:
        """Remove all definitions."""
        with Database(self._url) as database:
            for table in _TABLES:
                database.connection.cursor().execute(f"DELETE FROM {table}")
            database.connection.commit()


def _measured(state: State, command: str, wanted: dict[str, int]) -> Figures:
    """Run a command, and see whether all is there then.

    :param wanted: how much that is; filled by the first command that runs.
    """
    figures = one_shot(command)
    found = state.counts()
    if not wanted and "errors" not in figures:
        wanted |= found
    if found != wanted or not found["metadef_namespaces"]:
        figures["errors"] = [*figures.get("errors", ()), f"the database has {found}"]
    return figures


def run(args: argparse.Namespace, work: Path) -> Report:
    """Measure, with everything in a directory."""
    targets = dict(pair(text) for text in args.targets)
    url = args.database or f"sqlite:///{work}/bench.sqlite"
    conf = work / "bench.conf"
    conf.write_text(_CONF.format(database=url))

    def ready(command: str) -> str:
        named = {"{conf}": str(conf), "{files}": str(args.files.absolute())}
        for name, value in named.items():
            command = command.replace(name, shlex.quote(value))
        return command

    made = one_shot(ready(args.schema))
    if "errors" in made:
        raise FillError(f"--schema: {made['errors'][0]}")
    state = State(url)
    state.check()
    report = Report(list(targets))
    wanted: dict[str, int] = {}
    for turn in range(args.rounds):
        for name in turned(list(targets), turn):
            command = ready(targets[name])
            report.record("into an empty database", name, _measured(state, command, wanted))
            report.record("all is there already", name, _measured(state, command, wanted))
            state.clear()
    return report


def main(argv: Sequence[str]) -> int:
    """Run ``python -m bench metadefs-load``."""
    parser = argparse.ArgumentParser(
        prog="python -m bench metadefs-load",
        description="Time loading metadata definitions.",
    )
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="NAME=COMMAND",
        help="a command that loads; {conf} stands for the configuration file, {files} for the "
        "directory with the definitions",
    )
    parser.add_argument(
        "--files",
        type=Path,
        default=Path(__file__).parents[1] / "conf/metadefs",
        metavar="DIR",
        help="the definitions (default: conf/metadefs of this tree)",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument(
        "--database",
        metavar="URL",
        help="on this machine, without metadata definitions; default: a new SQLite file",
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
        report.write(args.json, {})
        say(f"written to {args.json}")
    return 3 if report.failed else 0
