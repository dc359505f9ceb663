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
    from glance.services.cache_check import thd_check_cache_once, thd_check_catalogue
    from glance.services.cache_once import clean_once

    copies = thd_check_cache_once(loaded).thd_copies()
    # Only who has copies must know which images were deleted; and files of former releases, with a
    # cache and no catalogue, are good enough for all else.
    needed = bool(copies and loaded.conf.database.connection)
    return clean_once(loaded, catalogue=thd_check_catalogue(loaded, needed=needed))


if __name__ == "__main__":
    main()
