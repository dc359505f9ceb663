"""Write all sample files: the configuration's, and the policy file.

``python -m glance.services.samples`` writes them into ``conf/``; with ``--check`` it only tells, by
its exit code, whether they are what it would write.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from glance.config import sample as configuration
from glance.identity import policysample


def outdated(directory: Path) -> list[str]:
    """Return the names of sample files that are missing or not as they would be written."""
    names = configuration.outdated(directory)
    path = directory / policysample.NAME
    if not path.exists() or path.read_text(encoding="utf-8") != policysample.sample():
        names.append(path.name)
    return names


def write(directory: Path) -> None:
    """Write every sample file."""
    configuration.write(directory)
    (directory / policysample.NAME).write_text(policysample.sample(), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the sample files.

    :returns: the exit code: 1 if a check finds one outdated.
    """
    parser = argparse.ArgumentParser(prog="glance.services.samples", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=Path(__file__).parents[2] / "conf",
        help="where the files are (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if not arguments.check:
        write(arguments.directory)
        return 0
    names = outdated(arguments.directory)
    for name in names:
        print(f"{name} is not up to date; run: python -m glance.services.samples", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
