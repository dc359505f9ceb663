"""``glance-scrubber``: delete the data of deleted images, or restore one of them."""

from __future__ import annotations

import sys

from glance.cmd.common import run
from glance.config import Loaded, load


def main() -> None:
    """Run the program with the process's arguments."""
    run(scrub)


def scrub() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    loaded = load("glance-scrubber", sys.argv[1:])
    from glance.services.scrub_check import thd_check

    is_due = thd_check(loaded)
    conf = loaded.conf
    if is_due or conf.daemon or conf.restore:
        return _work(loaded)
    for warning in loaded.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    # Nothing is said where nobody looks: cron would send it by mail.
    if sys.stdout.isatty():
        print("Nothing to scrub.")
    return 0


def _work(loaded: Loaded) -> int:
    # Only now: a pass that has nothing to do needs none of it.
    from twisted.logger import Logger

    from glance.services.logs import start_logging
    from glance.services.scrubber import scrub as scrub_in_foreground

    start_logging(loaded.conf, loaded.program)
    log = Logger(namespace=__name__)
    for warning in loaded.warnings:
        log.warn("{text}", text=warning)
    return scrub_in_foreground(loaded)


if __name__ == "__main__":
    main()
