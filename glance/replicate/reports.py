"""What a command has found or done, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from glance.domain.amounts import counted, human_size
from glance.replicate.difference import NOTHING, UNDEFINED
from glance.replicate.outcome import Comparison, Deed, Outcome, Size, Summary
from glance.replicate.wording import (
    deed,
    duration,
    manual_size,
    outcome_line,
    plain,
    shortened,
    title,
    width,
)

#: Images that were skipped for one reason are named up to this number.
_NAMED = 10

#: In the order in which they are told.
_COUNTED = (
    Deed.COPIED,
    Deed.COMPLETED,
    Deed.UPDATED,
    Deed.DELETED,
    Deed.SAME,
    Deed.SKIPPED,
    Deed.CONFLICT,
    Deed.FAILED,
)

#: Columns of a value in a table.
_VALUE = 40


# A run.


def summary_text(summary: Summary) -> str:
    """Return what became of a run, in a line."""
    if summary.lost and not summary.counts:
        return f"Nothing was done: {plain(summary.lost)}"
    parts = [
        f"{summary.counts[one]:,} {deed(one, dry_run=summary.dry_run)}"
        for one in _COUNTED
        if summary.counts[one]
    ]
    if summary.untried:
        parts.append(f"{summary.untried:,} not finished")
    text = f"{summary.source} to {summary.target}: {', '.join(parts) or 'no images'}"
    if summary.dry_run:
        text += f"; {human_size(summary.size)} to copy" if summary.size else ""
    elif summary.size:
        rate = round(summary.size / max(summary.seconds, 0.001))
        text += f"; {human_size(summary.size)} in {duration(summary.seconds)}"
        text += f" ({human_size(rate)}/s)"
    return f"{text}."


def summary_remarks(summary: Summary, *, said: bool = False) -> list[str]:
    """Return the lines about what is worth knowing, but nothing to be mended.

    :param said: whether all that was done was said when it was; only notes are then said again.
    """
    lines = list(_skipped(summary.of(Deed.SKIPPED), summary.dry_run))
    worth = [one for one in summary.told if one.deed not in (Deed.SKIPPED, *_BAD)]
    worth = [one for one in worth if one.notes or not said]
    lines += [outcome_line(one, dry_run=summary.dry_run) for one in worth]
    return lines + [plain(note) for note in summary.notes]


def summary_failures(summary: Summary) -> list[str]:
    """Return the lines about what was not done as it should be."""
    bad = [*summary.of(Deed.CONFLICT), *summary.of(Deed.FAILED)]
    lines = [outcome_line(one, dry_run=summary.dry_run) for one in bad]
    if summary.lost and summary.counts:
        lines.append(f"Given up: {plain(summary.lost)}")
    if summary.interrupted:
        lines.append("Interrupted; the next run goes on where this one ended.")
    return lines


_BAD = (Deed.CONFLICT, Deed.FAILED)


def _skipped(outcomes: Sequence[Outcome], dry_run: bool) -> Iterable[str]:
    by_reason: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_reason.setdefault(one.reason, []).append(one)
    for reason, group in by_reason.items():
        if len(group) <= _NAMED:
            yield from (outcome_line(one, dry_run=dry_run) for one in group)
        else:
            done = deed(Deed.SKIPPED, dry_run=dry_run)
            yield f"{counted(len(group), 'image')} {done} for one reason: {plain(reason)}"


def summary_json(summary: Summary) -> str:
    """Return the same as JSON, in one line."""
    return json.dumps(
        {
            "source": summary.source,
            "target": summary.target,
            "dry_run": summary.dry_run,
            "exit_code": summary.exit_code,
            "counts": {one.value: summary.counts[one] for one in _COUNTED},
            "bytes": summary.size,
            "seconds": round(summary.seconds, 3),
            "not_finished": summary.untried,
            "given_up": summary.lost or None,
            "interrupted": summary.interrupted,
            "notes": summary.notes,
            "images": [
                {
                    "id": one.image_id,
                    "name": one.name,
                    "done": one.deed.value,
                    "reason": one.reason or None,
                    "notes": list(one.notes),
                    "bytes": one.size,
                }
                for one in summary.told
            ],
        }
    )


# A comparison.


def comparison_text(comparison: Comparison) -> str:
    """Return a table of what differs, and a line."""
    rows = [(one[0], shortened(one[1] or "", _VALUE), *one[2:]) for one in _rows(comparison)]
    line = comparison_line(comparison)
    return f"{_table(['ID', 'Name', 'Field', 'Source', 'Target'], rows)}\n{line}" if rows else line


def comparison_line(comparison: Comparison) -> str:
    """Return in a line how two sides compare."""
    parts = [f"{comparison.same:,} the same"]
    for number, words in (
        (len(comparison.unlike), "different"),
        (len(comparison.missing), "missing from the target"),
        (len(comparison.extra), "on the target only"),
        (comparison.skipped, "of the source not active and left out"),
    ):
        if number:
            parts.append(f"{number:,} {words}")
    return f"{comparison.source} and {comparison.target}: {', '.join(parts)}."


def comparison_warnings(comparison: Comparison) -> list[str]:
    """Return a line for each difference, for the log."""
    lines = []
    for one in comparison.unlike:
        for name, here, there in one.differences:
            lines.append(
                f"{title(one.image_id, one.name)}: {plain(name)} differs: "
                f"{_value(here)} on the source, {_value(there)} on the target"
            )
    lines += [f"{title(r.image_id, r.fields.get('name'))}: missing" for r in comparison.missing]
    return lines


def _rows(comparison: Comparison) -> Iterable[tuple[str, str | None, str, str, str]]:
    for one in comparison.unlike:
        image_id, name = one.image_id, one.name
        for what, here, there in one.differences:
            yield image_id, name, shortened(what, _VALUE), _value(here), _value(there)
            # Once is enough.
            image_id, name = "", None
    for record in comparison.missing:
        size = "" if record.size is None else human_size(record.size)
        yield record.image_id, record.fields.get("name"), "", size, "missing"
    for record in comparison.extra:
        yield record.image_id, record.fields.get("name"), "", "missing", record.status


def comparison_json(comparison: Comparison) -> str:
    """Return the same as JSON."""
    return json.dumps(
        {
            "source": comparison.source,
            "target": comparison.target,
            "is_same": comparison.exit_code == 0,
            "same": comparison.same,
            "different": [
                {
                    "id": one.image_id,
                    "name": one.name,
                    "fields": {
                        name: {"source": _bare(here), "target": _bare(there)}
                        for name, here, there in one.differences
                    },
                }
                for one in comparison.unlike
            ],
            "missing": [_brief(record) for record in comparison.missing],
            "extra": [_brief(record) for record in comparison.extra],
            "skipped": comparison.skipped,
        },
        indent=2,
    )


def _brief(record: Any) -> dict[str, Any]:
    return {
        "id": record.image_id,
        "name": record.fields.get("name"),
        "status": record.status,
        "size": record.size,
    }


def _bare(value: object) -> object:
    """Return a value as JSON has it."""
    if value is NOTHING:
        return None
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if hasattr(value, "keys") else value  # type: ignore[call-overload]


def _value(value: object) -> str:
    if value is None or value is NOTHING:
        return UNDEFINED
    bare = _bare(value)
    return shortened(bare if isinstance(bare, str) else json.dumps(bare, default=str), _VALUE)


# A size.


def size_text(size: Size) -> str:
    """Return a table of what there is, and the line of the manual."""
    rows = [("active", f"{size.images:,}", human_size(size.size))]
    if size.skipped:
        rows.append(("not active", f"{size.skipped:,}", ""))
    table = _table(["Status", "Images", "Data"], rows, right=("Images", "Data"))
    return (
        f"{table}\nTotal size is {size.size} bytes ({manual_size(size.size)}) across "
        f"{size.images} images"
    )


def size_json(size: Size) -> str:
    """Return the same as JSON."""
    return json.dumps(
        {
            "source": size.place,
            "images": size.images,
            "bytes": size.size,
            "skipped": size.skipped,
        },
        indent=2,
    )


def _table(columns: list[str], rows: Sequence[tuple[str, ...]], right: Sequence[str] = ()) -> str:
    """Draw a table as PrettyTable does, which takes longer to load than a small run takes."""
    widths = [max(map(width, cells)) for cells in zip(columns, *rows, strict=True)]
    rule = "+".join(["", *("-" * (wide + 2) for wide in widths), ""])

    def line(cells: Sequence[str], sides: Sequence[bool]) -> str:
        return "|".join(["", *map(_cell, cells, widths, sides), ""])

    sides = [column in right for column in columns]
    drawn = [rule, line(columns, sides), rule, *(line(row, sides) for row in rows), rule]
    return "\n".join(drawn)


def _cell(text: str, wide: int, right: bool) -> str:
    blanks = " " * (wide - width(text))
    return f" {blanks}{text} " if right else f" {text}{blanks} "
