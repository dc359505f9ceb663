"""Findings as plain values, which are kept in the state and make the report."""

from __future__ import annotations

from typing import Any, Final

from glance.domain.verification import DEACTIVATE, NOTE, NOTHING, Finding

#: What became of a finding: there is nothing to do about it, nobody asked for it to be done, it
#: would be done, it was done, it was not done for a reason, it failed.
NONE: Final = "none"
NOT_ASKED: Final = "not_asked"
PLANNED: Final = "planned"
DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"


def record(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain values."""
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "store": finding.store,
        "image": finding.image,
        "location": finding.location,
        "object": finding.object,
        "expected": dict(finding.expected),
        "found": dict(finding.found),
        "repair": {
            "action": finding.action,
            "outcome": NONE if finding.action == NOTHING else NOT_ASKED,
            "detail": finding.reason,
        },
    }


def error_record(
    message: str | None, store: str | None, image: str | None, location: int | None
) -> dict[str, Any]:
    """Return as plain values that something could not be told."""
    return {"store": store, "image": image, "location": location, "message": message}


def is_open(data: dict[str, Any]) -> bool:
    """Tell whether a finding still has to be dealt with."""
    if data["severity"] == NOTE:
        return False
    repair = data["repair"]
    # Whoever deactivates an image has the data still to find.
    return not (repair["outcome"] == DONE and repair["action"] != DEACTIVATE)
