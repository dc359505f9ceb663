"""The pure parts: what a target is, and how rounds become figures.

Kept apart from everything that touches a socket so that it can be tested by plain calls.
"""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

#: What one measurement of one cell gave: numbers, and ``bad``/``errors`` where something failed.
Figures = dict[str, Any]
#: case -> target name -> the figures of each round.
Results = Mapping[str, Mapping[str, Sequence[Figures]]]

_T = TypeVar("_T")
_LOOPBACK = re.compile(r"http://(127(?:\.\d{1,3}){3}|localhost):(\d{1,5})/?")


class Spec(NamedTuple):
    """A named place to measure."""

    name: str
    host: str
    port: int


class Spread(NamedTuple):
    """The median of the rounds, their extremes, and the ratio to the first target's median."""

    median: float
    low: float
    high: float
    ratio: float | None


def pair(text: str, sep: str = "=") -> tuple[str, str]:
    """Split ``NAME=VALUE``.

    :raises ValueError: when either side is empty.
    """
    name, found, value = text.partition(sep)
    if not (name and found and value):
        raise ValueError(f"{text!r}: write it as NAME{sep}VALUE")
    return name, value


def parse_target(text: str) -> Spec:
    """Read ``NAME=http://127.0.0.1:PORT``.

    :raises ValueError: for anything but a loopback address: the load is not for other machines.
    """
    name, url = pair(text)
    match = _LOOPBACK.fullmatch(url)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f"{name}: only loopback targets, http://127.0.0.1:PORT, not {url}")
    return Spec(name, match[1], int(match[2]))


def parse_targets(texts: Sequence[str]) -> list[Spec]:
    """Read the targets of a command line.

    :raises ValueError: when one is malformed or a name is given twice.
    """
    specs = [parse_target(text) for text in texts]
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: two targets of this name")
    return specs


def turned(things: Sequence[_T], turn: int) -> list[_T]:
    """Return the things in an order that starts one further with each turn."""
    at = turn % len(things) if things else 0
    return [*things[at:], *things[:at]]


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank quantile of values already in order; ``None`` of no values."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def is_number(value: object) -> bool:
    """Tell whether a figure can be summed up (a count of failures or a list of errors cannot)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def spreads(results: Results, names: Sequence[str]) -> dict[str, dict[str, dict[str, Spread]]]:
    """Sum up: case -> figure -> target -> spread, the ratio being to the first of ``names``."""
    out: dict[str, dict[str, dict[str, Spread]]] = {}
    for case, by_name in results.items():
        keys = {
            k for runs in by_name.values() for run in runs for k, v in run.items() if is_number(v)
        }
        for key in sorted(keys):
            row: dict[str, Spread] = {}
            base: float | None = None
            for name in names:
                values = [run[key] for run in by_name.get(name, ()) if is_number(run.get(key))]
                if not values:
                    continue
                median = statistics.median(values)
                if name == names[0]:
                    base = median
                ratio = median / base if base else None
                row[name] = Spread(median, min(values), max(values), ratio)
            if row:
                out.setdefault(case, {})[key] = row
    return out


def failures(runs: Sequence[Figures]) -> dict[str, int]:
    """Count what went wrong over the rounds of one cell: HTTP codes, lost connections, errors."""
    count: dict[str, int] = {}
    for run in runs:
        for what, times in (run.get("bad") or {}).items():
            count[what] = count.get(what, 0) + times
        for error in run.get("errors") or ():
            count[error[:160]] = count.get(error[:160], 0) + 1
    return count


def number(value: float) -> str:
    """Write a figure with three digits, or whole above a thousand."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def cell(spread: Spread) -> str:
    """Write ``median (min..max)``."""
    return f"{number(spread.median)} ({number(spread.low)}..{number(spread.high)})"
