"""The actions of ``glance-manage`` on metadata definitions: load, export and unload them."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glance.cmd.common import fail
from glance.cmd.manage_action import Action, make_engine_of, say
from glance.cmd.manage_purge import counted
from glance.config import Loaded
from glance.domain.errors import Invalid
from glance.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glance.db.oneshot import Transactions
    from glance.domain.metadefs.changes import Mode

USAGE = 2
_TRUE = {"1", "t", "true", "on", "y", "yes"}
_FALSE = {"0", "f", "false", "off", "n", "no", ""}
_FLAGS = {
    "merge": "Add to namespaces that are in the catalogue already what is missing in them. Without "
    "it they are left alone.",
    "prefer_new": "With --merge: what a file has also replaces what is there under its name.",
    "overwrite": "With --merge: such a namespace becomes what its file has, and loses all else.",
}


def _add_path(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    parser.add_argument("path", nargs="?", metavar=name, help=text)
    parser.add_argument("--path", dest="given_path", metavar=name, help="The same.")


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``db load_metadefs``."""
    _add_path(
        parser,
        "PATH",
        "A file, or a directory whose files *.json are loaded; metadata_source_path unless given.",
    )
    for name, text in _FLAGS.items():
        parser.add_argument(
            name,
            nargs="?",
            type=_boolean,
            metavar=name.upper(),
            help=f"True for what --{name} does.",
        )
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        parser.add_argument(*spellings, dest=f"given_{name}", action="store_true", help=text)


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``db export_metadefs``."""
    _add_path(
        parser,
        "PATH",
        "A directory for the files, or what their paths begin with; metadata_source_path unless "
        "given. Files that are there are replaced.",
    )


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return word in _TRUE


def _path(arguments: argparse.Namespace) -> str | None:
    placed, given = arguments.path, arguments.given_path
    if placed is not None and given is not None:
        raise Invalid(f"The path is given twice: {placed!r} and {given!r}.")
    found = given if given is not None else placed
    if found == "":
        raise Invalid("The path is empty.")
    return None if found is None else str(found)


def _mode(arguments: argparse.Namespace) -> Mode | None:
    """Return what the flags say, ``None`` if they contradict each other."""
    from glance.domain.metadefs.changes import Mode

    merge, prefer_new, overwrite = (
        bool(getattr(arguments, name) or getattr(arguments, f"given_{name}")) for name in _FLAGS
    )
    if prefer_new and overwrite:
        fail("--prefer_new and --overwrite exclude each other.")
        return None
    if (prefer_new or overwrite) and not merge:
        fail(f"--{'prefer_new' if prefer_new else 'overwrite'} goes with --merge.")
        return None
    if prefer_new:
        return Mode.PREFER_NEW
    if overwrite:
        return Mode.OVERWRITE
    return Mode.MERGE if merge else Mode.SKIP


@contextmanager
def _thd_transactions(loaded: Loaded) -> Iterator[Transactions]:
    """Connect to the catalogue's database, whose schema has to be this release's."""
    from glance.db import schema
    from glance.db.oneshot import Transactions

    engine = make_engine_of(loaded)
    try:
        schema.thd_status(engine).check_usable()
        with Transactions.thd_on(engine) as transactions:
            yield transactions
    finally:
        engine.dispose()


def load(loaded: Loaded, arguments: argparse.Namespace) -> int:
    """Load files, telling what became of each.

    :returns: the exit code.
    """
    from glance.cmd.manage_metadefs_report import Report
    from glance.config.metadefs import thd_find_metadefs
    from glance.db.metadef_loading import thd_find_files, thd_load_files

    mode = _mode(arguments)
    if mode is None:
        return USAGE
    given = _path(arguments)
    path = Path(given) if given else thd_find_metadefs(loaded.conf.metadata_source_path)
    files = thd_find_files(path)
    say(printable(f"Loading metadata definitions from {path}"))
    report = Report()
    with _thd_transactions(loaded) as transactions:
        try:
            with transactions.thd_synced_at_end():
                for outcome in thd_load_files(transactions, files, mode):
                    report.tell(outcome)
        finally:
            # What is loaded stays loaded, whatever came after.
            report.summarise()
    return 1 if report.failed else 0


def export(loaded: Loaded, arguments: argparse.Namespace) -> int:
    """Write the catalogue's definitions to files.

    :returns: the exit code.
    """
    from glance.db.metadef_exporting import thd_export

    path = _path(arguments) or loaded.conf.metadata_source_path
    number = 0
    with _thd_transactions(loaded) as transactions:
        for file, namespace in thd_export(transactions, path):
            print(printable(f"{namespace}: {file}"))
            number += 1
    print(f"{counted(number, 'namespace')} exported.")
    return 0


def unload(loaded: Loaded, arguments: argparse.Namespace) -> int:
    """Remove all definitions.

    :returns: the exit code.
    """
    from glance.db.metadef_loading import thd_empty

    with _thd_transactions(loaded) as transactions:
        removed = thd_empty(transactions)
    print("All metadata definitions are removed.")
    for table, rows in removed.items():
        print(f"\t{table}: {rows}")
    return 0


ACTIONS = {
    "load_metadefs": Action(
        "Load metadata definitions from files, those that came with the program unless told "
        "otherwise.",
        load,
        add_load_arguments,
    ),
    "export_metadefs": Action(
        "Write each namespace of metadata definitions to a file.", export, add_export_arguments
    ),
    "unload_metadefs": Action("Remove all metadata definitions, without asking.", unload),
}
