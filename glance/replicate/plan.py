"""What is to be copied, and how: what all parts of a run are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from glance.replicate.selection import Selection

#: Images at once, and tries of each after the first one, unless told otherwise.
PARALLEL = 4
RETRIES = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    :param selection: which images it is about.
    :param dontreplicate: names of fields and properties that are neither compared nor copied.
    :param metaonly: whether all that is about data is left alone.
    :param parallel: images at once.
    :param retries: how often an image is tried again.
    :param dry_run: only say what would be done.
    :param delete_extra: delete what the target has and the source has not.
    """

    selection: Selection = field(default_factory=Selection)
    dontreplicate: frozenset[str] = frozenset()
    metaonly: bool = False
    parallel: int = PARALLEL
    retries: int = RETRIES
    dry_run: bool = False
    delete_extra: bool = False
