"""``glance-cache-cleaner``: remove what is broken, abandoned or outdated in the image cache."""

from __future__ import annotations

import sys

from glance.cmd.common import run
from glance.config import load


def main() -> None:
    """Run the program with the process's arguments."""
    run(clean)


def clean() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    loaded = load("glance-cache-cleaner", sys.argv[1:])
    from glance.services.cache_check import thd_check_cache, thd_check_catalogue
    from glance.services.cache_once import clean_once

    thd_check_cache(loaded)
    # Files that had a cache and no catalogue are good enough for all but one of its tasks.
    known = bool(loaded.conf.database.connection)
    return clean_once(loaded, catalogue=thd_check_catalogue(loaded, needed=known))


if __name__ == "__main__":
    main()
