"""What became of an image, and of a whole run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Deed(StrEnum):
    """What was done to an image on the target."""

    COPIED = "copied"
    COMPLETED = "completed"  # it was there without its data
    UPDATED = "updated"
    SAME = "same"
    SKIPPED = "skipped"
    CONFLICT = "conflict"
    DELETED = "deleted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image.

    :param reason: why it was skipped, is in conflict or failed, or what could not be kept.
    :param notes: what else is worth a line, such as an owner that the target did not take.
    :param size: bytes of data that were copied.
    """

    image_id: str
    deed: Deed
    reason: str = ""
    notes: tuple[str, ...] = ()
    size: int = 0
