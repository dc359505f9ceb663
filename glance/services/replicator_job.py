"""What a run of the replicator is to do, out of configuration and command line.

Whatever can be wrong with it is found here, before a reactor runs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from glance.config import Loaded
from glance.config.options.replicator import SOURCE, TARGET, USUAL_WATCH
from glance.domain.errors import ConfigError, Invalid
from glance.remote.side import Side
from glance.replicate.plan import Plan
from glance.replicate.selection import read_selection
from glance.services.replicator_commands import DIRECTORY, Command, Misuse
from glance.services.replicator_line import Order
from glance.services.replicator_places import thd_make_side


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    :param source: where images come from.
    :param target: where they go to; ``None`` for a command that has none.
    :param chunk: bytes of data that are moved at a time.
    :param seconds: that a request may take, and a transfer without a byte.
    :param forced: whether images are deleted without a question.
    :param watch: seconds between two runs, for a service.
    """

    command: Command
    plan: Plan
    source: Side | Path
    target: Side | Path | None
    chunk: int
    seconds: float
    forced: bool
    watch: float


def thd_make_job(loaded: Loaded, order: Order, *, asks: bool) -> Job:
    """Find out what is to be done.

    :param asks: whether somebody can be asked.
    :raises Misuse: a filter, or a server, makes no sense.
    :raises ConfigError: credentials, a cloud or certificates cannot be used.
    """
    conf, command = loaded.conf, order.command
    try:
        selection = read_selection(
            conf.name, conf.tag, conf.property, conf.visibility, conf.owner, conf.since
        )
    except Invalid as error:
        raise Misuse(error.message, command.usage) from None
    plan = Plan(
        selection=selection,
        dontreplicate=frozenset(conf.dontreplicate.split()),
        metaonly=conf.metaonly,
        parallel=conf.parallel,
        retries=conf.retries,
        dry_run=conf.dry_run,
        delete_extra=conf.delete_extra,
    )
    if command.changes and plan.delete_extra and not (plan.dry_run or conf.force or asks):
        raise Misuse(
            "--delete-extra needs --force where nobody can be asked.",
            command.usage,
        )
    sides = dict(command.slots)
    return Job(
        command,
        plan,
        _thd_place(loaded, order, SOURCE, sides[SOURCE]),
        _thd_place(loaded, order, TARGET, sides[TARGET]) if TARGET in sides else None,
        conf.chunksize,
        conf.timeout,
        conf.force,
        conf.watch or USUAL_WATCH,
    )


def can_ask() -> bool:
    """Tell whether somebody sits at a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _thd_place(loaded: Loaded, order: Order, side: str, what: str) -> Side | Path:
    typed = order.typed.get((side, what))
    if what != DIRECTORY:
        alone = order.command.is_of_one
        return thd_make_side(loaded, side, typed, os.environ, alone=alone)
    path = Path(typed or loaded.conf[side].directory).expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(f"There is no directory {path}; make it first.")
    return path
