"""What an action of ``glance-manage`` is, and what most of them need."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glance.config import Loaded

if TYPE_CHECKING:
    from sqlalchemy import Engine


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing to a parser."""


@dataclass(frozen=True, slots=True)
class Action:
    """An action, as it is typed after its category.

    :param summary: one sentence for ``--help``.
    :param run: does it, given the configuration and the parsed command line; returns the exit code.
    :param add_arguments: adds its own arguments to a parser, once for each of its spellings.
    """

    summary: str
    run: Callable[[Loaded, argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], None] = no_arguments


@dataclass(frozen=True, slots=True)
class Category:
    """A group of actions: the first of the two words.

    :param summary: one sentence for ``--help``.
    :param actions: by name, in the order in which they are listed.
    """

    summary: str
    actions: dict[str, Action]


def make_engine_of(loaded: Loaded) -> Engine:
    """Make the engine for the configured database.

    :raises ConfigError: it cannot be made.
    """
    from glance.db.engine import make_configured_engine

    if loaded.embedded:
        loaded.thd_make_state_dir()
    return make_configured_engine(loaded.conf.database)


def say(line: str) -> None:
    """Tell of progress."""
    print(line, file=sys.stderr, flush=True)
