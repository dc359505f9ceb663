"""What a check finds, and how findings are summed up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad something is; the numbers are those of ``glance-status``'s JSON and exit code."""

    SUCCESS = 0
    WARNING = 1
    FAILURE = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has to say.

    :param text: whole sentences that say what to do; no secret, and no URL of stored data.
    """

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check.

    :param name: of the check.
    :param details: what there is to say, a line for each finding, the worst first.
    """

    name: str
    level: Level
    details: str | None


def note(text: str) -> Finding:
    """Say something that is as it should be."""
    return Finding(Level.SUCCESS, text)


def doubt(text: str) -> Finding:
    """Say something that wants looking at; a service may run all the same."""
    return Finding(Level.WARNING, text)


def fault(text: str) -> Finding:
    """Say something that keeps a service from starting, or from giving out what it has."""
    return Finding(Level.FAILURE, text)


def sum_up(name: str, findings: Iterable[Finding]) -> Outcome:
    """Make the outcome of a check: as bad as its worst finding."""
    found = sorted(findings, key=lambda finding: -finding.level)
    level = found[0].level if found else Level.SUCCESS
    return Outcome(name, level, "\n".join(finding.text for finding in found) or None)


def some(things: Iterable[str], most: int = 5) -> str:
    """List things in a message; of many, the first few and how many more there are."""
    every = list(things)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
