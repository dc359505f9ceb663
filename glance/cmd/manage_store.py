"""The actions of ``glance-manage`` on stores: do catalogue and stores go together."""

from __future__ import annotations

import argparse
import math
import sys

from glance.cmd.manage_action import Action
from glance.config import Loaded

USAGE = 2
_MIB = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``store verify``."""
    group = parser.add_argument_group("what is looked at")
    group.add_argument(
        "--hashes",
        "--deep",
        action="store_true",
        help="Read all data and compare its hashes, instead of lengths alone.",
    )
    group.add_argument(
        "--store",
        action="append",
        metavar="ID",
        help="Look at this store only; may be given several times.",
    )
    group.add_argument(
        "--image",
        action="append",
        metavar="ID",
        help="Look at this image only; may be given several times.",
    )
    group = parser.add_argument_group("what is done")
    group.add_argument(
        "--repair",
        action="store_true",
        help="Say for everything found what would be done about it. Nothing is changed.",
    )
    group.add_argument(
        "--yes", action="store_true", help="With --repair: really do it. Asks nothing more."
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="Repair even if more than half of a store seems wrong.",
    )
    group.add_argument(
        "--grace",
        type=_number,
        default=86400.0,
        metavar="SECONDS",
        help="Let data without an image be that was written less than so long ago; a day unless "
        "given.",
    )
    group = parser.add_argument_group("how")
    group.add_argument("--json", action="store_true", help="Write the report as JSON.")
    group.add_argument(
        "--state",
        metavar="FILE",
        help="Keep in this file what is done, so that the same command line goes on where it was "
        "broken off; with --repair, with what was found.",
    )
    group.add_argument(
        "--parallel",
        type=_count,
        default=4,
        metavar="N",
        help="Look at so many images side by side; 4 unless given.",
    )
    group.add_argument(
        "--rate",
        type=_number,
        default=0.0,
        metavar="MIB",
        help="With --hashes: read at most so many MiB a second.",
    )
    group.add_argument("--quiet", action="store_true", help="Do not tell how far it has come.")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return int(text)


def verify(loaded: Loaded, arguments: argparse.Namespace) -> int:
    """Verify that catalogue and stores go together.

    :returns: the exit code.
    """
    if arguments.yes and not arguments.repair:
        print("ERROR: --yes goes with --repair.", file=sys.stderr)
        return USAGE
    # Only now: no other action needs stores, threads and a reactor.
    from glance.services import verifying
    from glance.verify.settings import Settings

    settings = Settings(
        hashes=arguments.hashes,
        stores=frozenset(arguments.store) if arguments.store else None,
        images=frozenset(arguments.image) if arguments.image else None,
        repair=arguments.repair,
        really=arguments.yes,
        force=arguments.force,
        parallel=arguments.parallel,
        grace=arguments.grace,
    )
    order = verifying.Order(
        settings,
        state_file=arguments.state,
        rate=arguments.rate * _MIB,
        as_json=arguments.json,
        quiet=arguments.quiet,
    )
    return verifying.verify(loaded, order)


ACTIONS = {
    "verify": Action(
        "Verify that catalogue and stores go together, and repair what does not.",
        verify,
        add_arguments,
    ),
}
