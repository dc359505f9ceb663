"""``glance-replicator``: copy the images of one image service into another, or to disk and back."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from glance.cmd.common import fail, run
from glance.config import Loaded, load
from glance.domain.errors import ConfigError
from glance.services.replicator_commands import PROGRAM, Misuse, find, listing
from glance.services.replicator_line import add_arguments, read_order
from glance.services.signals import hold_reload

if TYPE_CHECKING:
    from glance.services.replicator_line import Order

# The manual page is made from it.
__all__ = ["add_arguments", "main"]

USAGE = 2


def main() -> None:
    """Run the program with the process's arguments."""
    run(replicate)


def replicate() -> int:
    """Do what the command line says.

    :returns: the exit code: 0 if all was done, 1 if not with some images, 2 if the command line or
        the configuration cannot be followed, 3 if a side cannot be reached or refuses.
    """
    argv = sys.argv[1:]
    try:
        loaded = _load(argv)
        words = loaded.arguments.words
        if words in ([], ["help"], ["help", "help"]):
            print(f"usage: {PROGRAM} <command> [options] [args]\n\n{listing()}", end="")
            return 0
        if words[0] == "help":
            print(find(words[1]).help())
            return 0
        order = read_order(words, loaded.arguments, loaded.conf, os.environ)
        return _carry_out(loaded, argv, order)
    except Misuse as error:
        print(f"usage: {error.usage}", file=sys.stderr)
        fail(error.message)
    except ConfigError as error:
        # With another exit code than that of images that differ.
        fail(error.message)
    return USAGE


def _load(argv: list[str]) -> Loaded:
    return load(PROGRAM, argv, extra_cli=add_arguments)


def _carry_out(loaded: Loaded, argv: list[str], order: Order) -> int:
    if loaded.conf.watch and order.command.changes:
        from glance.services.replicator_console import watch

        hold_reload()
        return watch(loaded, lambda: _load(argv))
    # Only now: help needs none of it. All of it stays, so to look for garbage in between would take
    # a good part of a small run, for nothing.
    gc.disable()
    try:
        from glance.services.replicator_job import can_ask, thd_make_job
        from glance.services.replicator_run import run_command
    finally:
        gc.enable()
    return run_command(loaded, thd_make_job(loaded, order, asks=can_ask()))


if __name__ == "__main__":
    main()
