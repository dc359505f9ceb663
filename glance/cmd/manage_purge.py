"""The actions of ``glance-manage`` that remove rows which were marked as deleted long ago."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from glance.cmd.common import INTERRUPTED
from glance.cmd.manage_action import Action, make_engine_of, say
from glance.config import Loaded
from glance.domain.errors import GlanceError, Invalid

if TYPE_CHECKING:
    from glance.db.oneshot import Transactions

#: Rows of each table, unless told otherwise.
MAX_ROWS = 100
#: What the databases' integers hold.
MOST_ROWS = 2**31 - 1
NO_LIMIT = -1
#: Seconds between two lines of progress.
PROGRESS_INTERVAL = 2.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Deletes what is older than a time, at most so many rows of each table; yields what is gone.
Purger = Callable[["Transactions", datetime, int | None], Iterator[tuple[str, int]]]


def thd_parts(
    transactions: Transactions, cutoff: datetime, max_rows: int | None
) -> Iterator[tuple[str, int]]:
    """Purge everything but the images themselves."""
    from glance.db.purge import PARTS, thd_purge

    return thd_purge(transactions, PARTS, cutoff, max_rows)


def thd_images(
    transactions: Transactions, cutoff: datetime, max_rows: int | None
) -> Iterator[tuple[str, int]]:
    """Purge the images' own rows."""
    from glance.db.purge import thd_purge_images

    return thd_purge_images(transactions, cutoff, max_rows)


def _action(summary: str, thd_purger: Purger, age: int) -> Action:
    """Make an action that purges.

    :param age: in days, if none is given.
    """

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        for name, default, what in (
            ("age_in_days", age, "Days for which rows have been deleted, at least"),
            ("max_rows", MAX_ROWS, "Rows of each table to remove, at most; -1 for all"),
        ):
            text = f"{what}; default: {default}."
            parser.add_argument(name, nargs="?", metavar=name.upper(), help=text)
            spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
            parser.add_argument(
                *spellings, dest=f"given_{name}", metavar=name.upper(), help=f"The same. {text}"
            )

    def run(loaded: Loaded, arguments: argparse.Namespace) -> int:
        now = datetime.now(UTC)
        days = whole(arguments, "age_in_days", age)
        if not 0 <= days < (now - _EPOCH).days:
            raise Invalid(
                f"age_in_days is {days}, but must be at least 0 and less than the "
                f"{(now - _EPOCH).days} days since 1970-01-01."
            )
        rows = whole(arguments, "max_rows", MAX_ROWS)
        if not NO_LIMIT <= rows <= MOST_ROWS:
            raise Invalid(
                f"max_rows is {rows}, but must be at least {NO_LIMIT}, which stands for no limit, "
                f"and at most {MOST_ROWS}."
            )
        cutoff = (now - timedelta(days=days)).replace(tzinfo=None)
        return purge(loaded, thd_purger, cutoff, None if rows == NO_LIMIT else rows)

    return Action(summary, run, add_arguments)


def whole(arguments: argparse.Namespace, name: str, default: int) -> int:
    """Return an integer that may be given by its position or as an option.

    :raises Invalid: it is none, or is given in both ways.
    """
    placed, given = getattr(arguments, name), getattr(arguments, f"given_{name}")
    if placed is not None and given is not None:
        raise Invalid(f"{name} is given twice: {placed!r} and {given!r}.")
    text = given if given is not None else placed
    if text is None:
        return default
    # Beyond twenty digits it is too large whatever it is.
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise Invalid(f"{name} must be an integer, not {text[:50]!r}.")
    return int(text)


def purge(loaded: Loaded, thd_purger: Purger, cutoff: datetime, max_rows: int | None) -> int:
    """Purge, telling of progress, and say in the end what was done.

    :param cutoff: what was deleted before it is purged.
    :param max_rows: of each table, at most; ``None`` for all.
    :returns: the exit code.
    """
    from glance.db import schema
    from glance.db.oneshot import Transactions
    from glance.db.purge import thd_held

    engine = make_engine_of(loaded)
    try:
        schema.thd_status(engine).check_usable()
        with Transactions.thd_on(engine) as transactions:
            done: dict[str, int] = {}
            try:
                count(thd_purger(transactions, cutoff, max_rows), done)
            except KeyboardInterrupt:
                say("Interrupted; what was purged so far stays purged.")
                summarise(done, cutoff)
                return INTERRUPTED
            except GlanceError:
                if done:
                    summarise(done, cutoff)
                raise
            summarise(done, cutoff)
            if max_rows and max_rows in done.values():
                print(f"The limit of {max_rows} rows of a table was reached; there may be more.")
            held = transactions.thd_run(thd_held, cutoff)
    finally:
        engine.dispose()
    if held.waiting:
        print(f"{counted(held.waiting, 'image')} kept until glance-scrubber has removed the data.")
    if held.leased:
        print(f"{counted(held.leased, 'image')} kept because a service works on the data.")
    return 0


def count(
    steps: Iterator[tuple[str, int]],
    done: dict[str, int],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Let a purge go on to its end, counting rows by table and telling of progress now and then.

    :param done: receives the numbers, which are right whenever this is interrupted.
    :param clock: returns the time in seconds.
    """
    last = clock()
    for table, rows in steps:
        done[table] = done.get(table, 0) + rows
        if clock() - last >= PROGRESS_INTERVAL:
            last = clock()
            say(f"{table}: {counted(done[table], 'row')} so far")


def summarise(done: dict[str, int], cutoff: datetime) -> None:
    """Say how much was purged."""
    total = counted(sum(done.values()), "row")
    print(f"Purged {total} that had been deleted before {cutoff:%Y-%m-%d %H:%M:%S} UTC.")
    for table, rows in done.items():
        print(f"\t{table}: {rows}")
    sys.stdout.flush()


def counted(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


ACTIONS = {
    "purge": _action(
        "Remove rows that were deleted long ago, except those of the images table.", thd_parts, 30
    ),
    "purge_images_table": _action(
        "Remove images that were deleted long ago, after the rows that refer to them.",
        thd_images,
        180,
    ),
}
