"""Load files of metadata definitions into the catalogue, each in a transaction of its own.

A file that cannot be loaded is told of and leaves the others to be loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from glance.config.metadefs import thd_find_metadefs
from glance.db.metadef_definitions import thd_load, thd_unload
from glance.db.oneshot import Transactions
from glance.domain.errors import GlanceError, Invalid, NotFound, Unavailable
from glance.domain.metadefs.changes import Changes, Mode
from glance.domain.metadefs.checking import Problem
from glance.domain.metadefs.definition import Definition
from glance.domain.metadefs.files import BadFile, read

SUFFIX = ".json"
#: How often something is tried that another process has its hands on too.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    :param namespace: what it is about, if that much could be read.
    :param changes: what was changed, ``None`` if nothing was tried: the namespace is there already,
        or there are problems.
    :param problems: why it could not be loaded.
    :param ignored: what in it has no effect, or not the one that it should have.
    """

    path: Path
    namespace: str | None = None
    changes: Changes | None = None
    problems: list[Problem] = field(default_factory=list)
    ignored: list[Problem] = field(default_factory=list)


def thd_find_files(path: Path) -> list[Path]:
    """Return the files to load, in order.

    :param path: one file, or a directory with files ``*.json``.
    :raises NotFound: there is none.
    :raises Invalid: the directory cannot be read, or the path not be followed.
    """
    # Unlike a Path's own methods these pass over what we may not look at.
    if not os.path.isdir(path):
        if os.path.exists(path):
            return [path]
        _thd_check_followed(path)
        raise NotFound(f"There is neither a file nor a directory {path}.")
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == SUFFIX)
    except OSError as error:
        raise Invalid(f"The directory {path} cannot be read: {error.strerror}") from None
    if not files:
        raise NotFound(f"The directory {path} has no file *{SUFFIX} in it.")
    return files


def thd_load_files(
    transactions: Transactions, files: Iterable[Path], mode: Mode
) -> Iterator[Outcome]:
    """Load files, one after the other.

    :param mode: what is done about namespaces that are there already.
    :raises Unavailable: the database broke off.
    :raises SchemaError: it refused a statement.
    """
    for path, wanted in _thd_read_all(files):
        if isinstance(wanted, Outcome):
            yield wanted
            continue
        definition, ignored = wanted
        try:
            changes = _thd_load_patiently(transactions, definition, mode)
        except IntegrityError:
            what = (
                "the database takes two of its names for the same, or one for another that is there"
            )
            collision = Problem("", what)
            yield Outcome(path, definition.name, problems=[collision], ignored=ignored)
        else:
            yield Outcome(path, definition.name, changes, ignored=ignored)


def thd_fill(connection: Connection, files: Iterable[Path]) -> Iterator[Outcome]:
    """Load files into an empty catalogue, in the transaction that is open."""
    for path, wanted in _thd_read_all(files):
        if isinstance(wanted, Outcome):
            yield wanted
        else:
            definition, ignored = wanted
            changes = thd_load(connection, definition, Mode.SKIP)
            yield Outcome(path, definition.name, changes, ignored=ignored)


def thd_fill_shipped(connection: Connection, warn: Callable[[str], None]) -> None:
    """Fill an empty catalogue with what there is to load when nobody says; it may be nothing.

    :param warn: called with what could not be loaded.
    """
    try:
        files = thd_find_files(thd_find_metadefs())
    except GlanceError as error:
        warn(error.message)
        return
    for outcome in thd_fill(connection, files):
        for problem in outcome.problems:
            warn(f"Metadata definitions {outcome.path}: {problem}")


def thd_empty(transactions: Transactions) -> dict[str, int]:
    """Remove all metadata definitions, whatever others do to them meanwhile.

    :returns: how many rows there were, by table, in the order in which they went.
    :raises Unavailable: the database broke off, or others add more all the time.
    """
    for _ in range(_ATTEMPTS):
        try:
            return transactions.thd_run(thd_unload)
        except IntegrityError:
            # Something was added to a namespace after what it had was removed.
            continue
    raise Unavailable("Metadata definitions are being added all the time; nothing was removed.")


def _thd_check_followed(path: Path) -> None:
    try:
        os.stat(path)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise Invalid(f"The path {path} cannot be followed: {error.strerror}") from None


def _thd_read_all(
    files: Iterable[Path],
) -> Iterator[tuple[Path, Outcome | tuple[Definition, list[Problem]]]]:
    for path in files:
        try:
            yield path, read(path.read_bytes())
        except BadFile as error:
            yield path, Outcome(path, problems=error.problems)
        except OSError as error:
            reason = Problem("", f"cannot be read: {error.strerror}")
            yield path, Outcome(path, problems=[reason])


def _thd_load_patiently(
    transactions: Transactions, definition: Definition, mode: Mode
) -> Changes | None:
    for _ in range(_ATTEMPTS - 1):
        try:
            return transactions.thd_run(thd_load, definition, mode)
        except IntegrityError:
            # Another process was faster; what it added is there when this looks again.
            continue
    return transactions.thd_run(thd_load, definition, mode)
