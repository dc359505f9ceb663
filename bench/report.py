"""What a run has found: kept round by round, printed as tables, written as JSON."""

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.stats import Figures, Spread, cell, failures, is_number, number, spreads

#: The name under which the limits of the machine are kept.
MACHINE = "machine"

#: The figures that are printed, in order, and what they are called there.
SHOWN = {
    "rps": "req/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_ms": "CPU ms/req",
    "db_cpu_ms": "db CPU ms/req",
    "mbps": "MB/s",
    "cpu_s_per_gib": "CPU s/GiB",
    "db_cpu_s_per_gib": "db CPU s/GiB",
    "source_cpu_s_per_gib": "source s/GiB",
    "client_cpu_s_per_gib": "client s/GiB",
    "peak_rss_mib": "peak RSS MiB",
    "peak_pss_mib": "peak PSS MiB",
    "pages_s": "pages/s",
    "start_s": "s to answer",
    "start_cpu_s": "CPU s to it",
    "rss_mib": "RSS MiB",
    "pss_mib": "PSS MiB",
    "images_s": "images/s",
    "run_s": "s",
    "first_s": "s to 1st byte",
    "store_reads": "store reads",
    "cpu_s": "CPU s",
    "services_cpu_s": "services CPU s",
    "max_rss_mib": "max RSS MiB",
}
#: The figures in which a target is compared with a limit.
_RATES = ("rps", "mbps")


class Record(Protocol):
    """Take the figures of one round of one cell."""

    def __call__(self, case: str, name: str, figures: Figures, bound: str | None = None) -> None:
        """Keep them; ``bound`` names the limit of the machine the case lives under."""


class Report:
    """The figures of a run."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.results: dict[str, dict[str, list[Figures]]] = {}
        self.limits: dict[str, dict[str, list[Figures]]] = {}
        self.bounds: dict[str, str] = {}
        self.notes: list[str] = []
        self._began = time.time()
        self._load = os.getloadavg()

    def record(self, case: str, name: str, figures: Figures, bound: str | None = None) -> None:
        """Keep the figures of one round and say them on standard error."""
        kept = self.limits if name == MACHINE else self.results
        kept.setdefault(case, {}).setdefault(name, []).append(figures)
        if bound is not None:
            self.bounds[case] = bound
        brief = " ".join(
            f"{text} {number(figures[key])}"
            for key, text in SHOWN.items()
            if is_number(figures.get(key))
        )
        trouble = failures([figures])
        say(f"{case} [{name}] {brief}{f'  ! {trouble}' if trouble else ''}")

    def note(self, text: str) -> None:
        """Keep a remark for the end of the report."""
        self.notes.append(text)
        say(text)

    @property
    def failed(self) -> bool:
        """Tell whether anything at all went wrong."""
        return any(
            failures(runs)
            for kept in (self.results, self.limits)
            for by_name in kept.values()
            for runs in by_name.values()
        )

    def tables(self) -> str:
        """Return the whole report as text."""
        lines = _table(self.results, self.names)
        if self.limits:
            lines += ["", "Limits of this machine, in the same run"]
            lines += _table(self.limits, [MACHINE])
            lines += ["", "Share of the limit that each target reached"]
            lines += self._shares()
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes])

    def _shares(self) -> list[str]:
        limits, out = spreads(self.limits, [MACHINE]), []
        width = max(map(len, self.bounds), default=0)
        for case, row in spreads(self.results, self.names).items():
            for key in _RATES:
                limit = limits.get(self.bounds.get(case, ""), {}).get(key, {}).get(MACHINE)
                if key in row and limit and limit.median:
                    reached = "  ".join(
                        f"{name} {number(100 * spread.median / limit.median)} %"
                        for name, spread in row[key].items()
                    )
                    out.append(f"{case:<{width}}  {reached}  of {self.bounds[case]}")
        return out

    def write(self, path: Path, options: dict[str, Any]) -> None:
        """Write everything, each round included."""
        document = {
            "machine": {
                "cpus": os.cpu_count(),
                "kernel": platform.release(),
                "python": platform.python_version(),
                "load_before": self._load,
                "load_after": os.getloadavg(),
            },
            "began": self._began,
            "ended": time.time(),
            "targets": self.names,
            "options": options,
            "notes": self.notes,
            "summary": _plain(spreads(self.results, self.names)),
            "limits_summary": _plain(spreads(self.limits, [MACHINE])),
            "bounds": self.bounds,
            "rounds": self.results,
            "limits_rounds": self.limits,
        }
        path.write_text(json.dumps(document, indent=1) + "\n")


def say(text: str) -> None:
    """Tell the progress on standard error."""
    print(f"{time.strftime('%T')} {text}", file=sys.stderr, flush=True)


def _plain(table: dict[str, dict[str, dict[str, Spread]]]) -> dict[str, Any]:
    return {
        case: {
            key: {name: spread._asdict() for name, spread in row.items()}
            for key, row in rows.items()
        }
        for case, rows in table.items()
    }


def _table(results: dict[str, dict[str, list[Figures]]], names: Sequence[str]) -> list[str]:
    """Return the lines of one table: a row a figure, a column a target."""
    ratios = len(names) > 1
    width = max([*map(len, results), 4])

    def column(text: str, ratio: str) -> str:
        return f"{text:>26}" + (f" {ratio:>7}" if ratios else "")

    lines = [f"{'case':<{width}}  {'figure':<14}" + "".join(column(n, "ratio") for n in names)]
    table = spreads(results, names)
    for case, by_name in results.items():
        rows = table.get(case, {})
        for key, text in SHOWN.items():
            if key not in rows:
                continue
            line = f"{case:<{width}}  {text:<14}"
            for name in names:
                spread = rows[key].get(name)
                if spread is None:
                    line += column("-", "")
                else:
                    ratio = "" if spread.ratio is None else f"{number(spread.ratio)}x"
                    line += column(cell(spread), ratio)
            lines.append(line)
        for name, runs in by_name.items():
            bad = failures(runs)
            if bad:
                lines.append(f"{case:<{width}}  ! {name} failed: {bad}")
    return lines
