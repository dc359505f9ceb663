"""Run ``python -m bench``."""

import sys
from collections.abc import Sequence

from bench import (
    cache,
    chaos,
    fill,
    metadefs,
    metadefs_load,
    options,
    reload,
    replicate,
    run,
    scrub,
)
from bench.fill import FillError
from bench.identity import IdentityError
from bench.wire import WireError

#: What has a command line of its own.
_ALONE = {
    "cache": cache.main,
    "cache-chaos": chaos.main,
    "fill": fill.main,
    "metadefs": metadefs.main,
    "metadefs-load": metadefs_load.main,
    "reload": reload.main,
    "replicate": replicate.main,
    "scrub": scrub.main,
}


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return the exit status."""
    if argv and argv[0] in _ALONE:
        return _ALONE[argv[0]](argv[1:])
    args = options.parse(argv)
    try:
        return run.run(args)
    except (ValueError, IdentityError, WireError, FillError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
