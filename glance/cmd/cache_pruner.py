"""``glance-cache-pruner``: bring the image cache back within its limit."""

from __future__ import annotations

import sys

from glance.cmd.cache_idle import idle
from glance.cmd.common import run
from glance.config import load


def main() -> None:
    """Run the program with the process's arguments."""
    run(prune)


def prune() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    loaded = load("glance-cache-pruner", sys.argv[1:])
    from glance.cache.room import Room
    from glance.services.cache_check import thd_check_cache_once, thd_check_catalogue

    directory = thd_check_cache_once(loaded)
    if Room(directory, loaded.conf.image_cache_max_size).thd_excess() <= 0:
        return idle(loaded, "Nothing to prune.")
    from glance.services.cache_once import prune_once

    return prune_once(loaded, catalogue=thd_check_catalogue(loaded, needed=False))


if __name__ == "__main__":
    main()
