"""``glance-cache``: clean, prune and fill the image cache, again and again."""

from __future__ import annotations

import sys

from glance.cmd.common import run
from glance.config import load
from glance.services.signals import hold_reload


def main() -> None:
    """Run the program with the process's arguments."""
    run(serve)


def serve() -> int:
    """Look after the cache until a signal ends it.

    :returns: the exit code.
    """
    argv = sys.argv[1:]
    hold_reload()
    loaded = load("glance-cache", argv)
    # Only now: --help and --version need none of it.
    from glance.services.cache_console import serve_cache

    return serve_cache(loaded, argv)


if __name__ == "__main__":
    main()
