"""What became of an image, and of a whole run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from glance.domain.errors import GlanceError
from glance.replicate.record import ImageRecord

#: Exit codes of the program.
ALL_DONE, SOME_FAILED, SIDE_LOST = 0, 1, 3


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


#: What a run is not all done with.
BAD = frozenset({Deed.CONFLICT, Deed.FAILED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image.

    :param reason: why it was skipped, is in conflict or failed, or what could not be kept.
    :param notes: what else is worth a line, such as an owner that the target did not take.
    :param size: bytes of data that were copied.
    :param name: of the image, for messages; the run fills it in.
    """

    image_id: str
    deed: Deed
    reason: str = ""
    notes: tuple[str, ...] = ()
    size: int = 0
    name: str | None = None


class SideLost(GlanceError):
    """A side cannot be reached, or does not let us see its images: nothing can be done."""

    exit_code = SIDE_LOST


@dataclass(slots=True)
class Summary:
    """What became of a run.

    :param source: what to call it in messages.
    :param target: likewise.
    :param dry_run: whether it only says what would have been done.
    :ivar counts: of images by what was done.
    :ivar size: bytes of data that were copied.
    :ivar seconds: that it took.
    :ivar told: outcomes worth a line: failed, in conflict, skipped, deleted, or with notes; in the
        order of their ends.
    :ivar notes: what else is worth a line, of the whole run.
    :ivar untried: how many images nothing was done about, since the run ended before.
    :ivar lost: why the run was given up: a side that could not be reached any more; else empty.
    :ivar interrupted: whether it was cancelled.
    """

    source: str
    target: str
    dry_run: bool = False
    counts: Counter[Deed] = field(default_factory=Counter)
    size: int = 0
    seconds: float = 0.0
    told: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untried: int = 0
    lost: str = ""
    interrupted: bool = False

    def add(self, outcome: Outcome) -> None:
        """Count an image in."""
        self.counts[outcome.deed] += 1
        self.size += outcome.size
        if outcome.notes or outcome.deed in _TOLD:
            self.told.append(outcome)

    def of(self, deed: Deed) -> list[Outcome]:
        """Return the images worth a line to which this was done, by id."""
        return sorted((o for o in self.told if o.deed is deed), key=lambda o: o.image_id)

    @property
    def exit_code(self) -> int:
        """0 if all was done, 1 if not with some images, 3 if a side was lost."""
        if self.lost:
            return SIDE_LOST
        if self.interrupted or self.untried or any(self.counts[deed] for deed in BAD):
            return SOME_FAILED
        return ALL_DONE


_TOLD = BAD | {Deed.SKIPPED, Deed.DELETED}


@dataclass(frozen=True, slots=True)
class Unlike:
    """One image that differs.

    :param differences: name of the field, the source's value, the target's; ``None`` where a side
        has no value. Tags, members and data have names too: ``tags``, ``members``, ``data``.
    """

    image_id: str
    name: str | None
    differences: tuple[tuple[str, object, object], ...]


@dataclass(slots=True)
class Comparison:
    """How two sides compare.

    :ivar same: how many images are the same.
    :ivar unlike: images that differ.
    :ivar missing: active images of the source that the target has not.
    :ivar extra: images that only the target has. They make no difference, unless deleting them was
        asked for.
    :ivar skipped: how many images of the source are not active, and thus not compared.
    """

    source: str
    target: str
    same: int = 0
    unlike: list[Unlike] = field(default_factory=list)
    missing: list[ImageRecord] = field(default_factory=list)
    extra: list[ImageRecord] = field(default_factory=list)
    skipped: int = 0
    extra_counts: bool = False

    @property
    def exit_code(self) -> int:
        """0 if the sides are the same, else 1."""
        differ = self.unlike or self.missing or (self.extra_counts and self.extra)
        return SOME_FAILED if differ else ALL_DONE


@dataclass(slots=True)
class Size:
    """How much there is on a side.

    :ivar images: how many active ones.
    :ivar size: bytes of their data.
    :ivar skipped: how many others there are.
    """

    place: str
    images: int = 0
    size: int = 0
    skipped: int = 0
