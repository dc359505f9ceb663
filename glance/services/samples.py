"""Write all sample files: the configuration's, and the policy file.

``python -m glance.services.samples`` writes them into ``conf/``; with ``--check`` it only tells, by
its exit code, whether they are what it would write.
"""

from __future__ import annotations

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
    return configuration.run("glance.services.samples", __doc__, write, outdated, argv)


if __name__ == "__main__":
    sys.exit(main())
