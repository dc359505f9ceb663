"""What the cache's programs say when they need not begin at all."""

from __future__ import annotations

import sys

from glance.config import Loaded


def idle(loaded: Loaded, line: str) -> int:
    """Tell whoever looks that there is nothing to do.

    :returns: the exit code.
    """
    from glance.services.telling import is_watched

    for warning in loaded.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    if is_watched(loaded.conf):
        print(line)
    return 0
