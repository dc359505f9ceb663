"""The command line of a run."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_EPILOG = """\
Every cell is measured on each target in turn, the order turning with the round.  Standard output
gets the median of the rounds (min..max) and the ratio to the first target.  The exit status is 3
when anything failed.  "python -m bench fill --help" tells how to fill a large catalogue alone.
"""


def _numbers(text: str) -> list[int]:
    values = [int(part) for part in text.split(",")]
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError("numbers from 1 on, with commas between them")
    return values


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("a number above 0")
    return value


def _rounds(text: str) -> int:
    value = int(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError("from 1 to 1000")
    return value


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m bench``."""
    out = argparse.ArgumentParser(
        prog="python -m bench",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure services that speak the Images API v2, side by side, in one run.",
    )
    add = out.add_argument
    add("targets", nargs="*", metavar="NAME=http://127.0.0.1:PORT")
    add("--cases", default="metadata,walk,data,memory", help="which of %(default)s")
    add(
        "--keystone",
        metavar="http://127.0.0.1:PORT",
        help="sign in there as OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME, and send the token",
    )
    add("--limits", action="store_true", help="measure what the machine can do, in between")
    add("--rounds", type=_rounds, default=3)
    add("--seconds", type=_positive, default=3, help="length of each metadata cell")
    add("--concurrency", type=_numbers, default=[1, 16], help="of the metadata cells")
    add(
        "--sizes",
        type=_numbers,
        default=[1000],
        metavar="N,…",
        help="catalogues to measure, the smallest first; above 1000 --database is needed",
    )
    add(
        "--database",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="the database of a target, to fill its catalogue, and to empty it after the run",
    )
    add("--clean", action="store_true", help="delete the seeded images at the end as well")
    add("--gib", type=_positive, default=1.0, help="size of the data moved")
    add("--piece", type=int, default=65536, help="size of each chunk of a chunked upload")
    add("--settle", type=float, default=8.0, help="seconds of rest before each upload")
    add(
        "--also",
        action="append",
        default=[],
        metavar="NAME=PID",
        help="count this process tree as the database of a target",
    )
    add(
        "--startup",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="foreground command with {port} and, if wanted, {dir}, an empty folder",
    )
    add(
        "--cli",
        action="append",
        default=[],
        metavar="NAME:LABEL=COMMAND",
        help="a command to time; the same LABEL of several names is compared",
    )
    add("--python", default=sys.executable, help="an interpreter with Twisted and Klein")
    add(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir(), "image-bench"),
        help="folder of the source data; keep it on the disk of the stores (%(default)s)",
    )
    add("--json", type=Path, metavar="FILE", help="write everything there, each round included")
    return out


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the program with a message when it is wrong."""
    cases = parser()
    args = cases.parse_args(argv)
    known = cases.get_default("cases").split(",")
    args.cases = args.cases.split(",")
    for case in args.cases:
        if case not in known:
            cases.error(f"--cases: {case!r} is none of {', '.join(known)}")
    args.sizes.sort()
    if not (args.targets or args.startup or args.cli or args.limits):
        cases.error("nothing to measure: name a target, or --startup, --cli, --limits")
    return args
