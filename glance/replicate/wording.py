"""Words for images, amounts and times, in a width that a terminal has."""

from __future__ import annotations

import unicodedata

from glance.domain.amounts import human_size
from glance.replicate.outcome import Deed, Outcome

_ELLIPSIS = "…"
#: Most characters of a name or a value in a line.
LONGEST = 60

#: What is said of an image, and what of one in a dry run.
_DEEDS = {
    Deed.COPIED: ("copied", "would be copied"),
    Deed.COMPLETED: ("completed", "would be completed"),
    Deed.UPDATED: ("updated", "would be updated"),
    Deed.SAME: ("the same", "the same"),
    Deed.SKIPPED: ("skipped", "skipped"),
    Deed.CONFLICT: ("conflict", "conflict"),
    Deed.DELETED: ("deleted", "would be deleted"),
    Deed.FAILED: ("failed", "failed"),
}

# The manual's, for the line of the command size.
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def deed(done: Deed, *, dry_run: bool = False) -> str:
    """Return what was done, in words."""
    return _DEEDS[done][dry_run]


def plain(text: str) -> str:
    """Return a text as one line that does nothing to a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return a text as one line of a bearable length."""
    return fitted(plain(text), longest)


def title(image_id: str, name: str | None) -> str:
    """Return what to call an image."""
    named = shortened(name or "")
    return f"{named} ({image_id})" if named else image_id


def outcome_line(outcome: Outcome, *, dry_run: bool = False, seconds: float | None = None) -> str:
    """Return what became of an image, with all there is to say about it.

    :param seconds: that it took, where that is known.
    """
    text = f"{title(outcome.image_id, outcome.name)}: {deed(outcome.deed, dry_run=dry_run)}"
    if outcome.size:
        text += f", {human_size(outcome.size)}"
        if seconds:
            text += f" in {duration(seconds)} ({human_size(round(outcome.size / seconds))}/s)"
    said = [outcome.reason, *outcome.notes]
    return "; ".join([text, *(plain(part) for part in said if part)])


def duration(seconds: float) -> str:
    """Return how long something took, or will take."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def manual_size(size: int) -> str:
    """Return a number of bytes as the command ``size`` has always done."""
    number = float(size)
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.1f} {unit}"


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def fitted(text: str, columns: int) -> str:
    """Cut a text to a number of columns."""
    if width(text) <= columns:
        return text
    kept, taken = [], 0
    for character in text:
        taken += _columns(character)
        # One for the sign that there was more.
        if taken > columns - 1:
            break
        kept.append(character)
    return "".join(kept) + _ELLIPSIS if columns > 0 else ""


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
