"""``glance-cache-prefetcher``: fetch what is queued into the image cache."""

from __future__ import annotations

import sys

from glance.cmd.cache_idle import idle
from glance.cmd.common import run
from glance.config import load


def main() -> None:
    """Run the program with the process's arguments."""
    run(prefetch)


def prefetch() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    loaded = load("glance-cache-prefetcher", sys.argv[1:])
    from glance.services.cache_check import thd_check_cache_once, thd_check_catalogue

    if not thd_check_cache_once(loaded).thd_queued():
        return idle(loaded, "No image waits to be cached.")
    thd_check_catalogue(loaded, needed=True)
    # Only now: a pass that has nothing to do needs none of it.
    from glance.services.cache_prefetch import prefetch_once

    return prefetch_once(loaded)


if __name__ == "__main__":
    main()
