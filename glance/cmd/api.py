"""``glance-api``: serve the Image API in the foreground."""

from __future__ import annotations

import sys

from glance.cmd.common import run
from glance.config import load
from glance.services.signals import hold_reload


def main() -> None:
    """Run the program with the process's arguments."""
    run(serve)


def serve() -> int:
    """Serve until a signal ends it.

    :returns: the exit code.
    """
    argv = sys.argv[1:]
    hold_reload()
    loaded = load("glance-api", argv)
    # Only now: --help and --version need none of it.
    from glance.services.console import serve_api

    return serve_api(loaded, argv)


if __name__ == "__main__":
    main()
