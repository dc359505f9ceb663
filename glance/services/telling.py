"""What programs that do one thing tell their operator, on the terminal and in the log."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Voices:
    """How the operator is told.

    :param say: what was done.
    :param complain: what failed.
    :param mention: what is worth telling only whoever looks.
    """

    say: Callable[[str], None]
    complain: Callable[[str], None]
    mention: Callable[[str], None]


def teller(
    show: Callable[[str], None] | None, log: Callable[..., None] | None
) -> Callable[[str], None]:
    """Return what shows a line on the terminal, and in the log if there is one elsewhere."""

    def tell(line: str) -> None:
        if show is not None:
            show(line)
        if log is not None:
            log("{line}", line=line)

    return tell


def print_error(line: str) -> None:
    """Show a line on standard error."""
    print(line, file=sys.stderr, flush=True)


def is_watched(conf: Any) -> bool:
    """Tell whether somebody looks who wants to know, too, that there was nothing to do.

    Cron would send it by mail.
    """
    return bool(conf.verbose or conf.debug or sys.stdout.isatty())


def end_failed(service: Any) -> None:
    """End the process with 1 if a service has failed; twistd knows no exit codes.

    To be registered with ``atexit``: this is then the first of all that is done at exit, when
    twistd has put everything away.

    :param service: has an attribute ``failed``.
    """
    if service.failed:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
