"""Tell what became of the files that ``glance-manage db load_metadefs`` loads."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glance.cmd.common import fail
from glance.cmd.manage_action import say
from glance.cmd.manage_purge import counted
from glance.domain.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from glance.db.metadef_loading import Outcome
    from glance.domain.metadefs.changes import Changes
    from glance.domain.metadefs.definition import Kind


class Report:
    """What was loaded, told as it goes.

    :param failed: how many files could not be loaded.
    """

    def __init__(self) -> None:
        self.failed = 0
        self._namespaces = dict.fromkeys(("added", "changed", "unchanged", "skipped"), 0)
        self._parts: Counter[tuple[str, Kind]] = Counter()
        self._files: dict[str | None, Path] = {}

    def tell(self, outcome: Outcome) -> None:
        """Tell what became of a file."""
        for problem in outcome.ignored:
            say(printable(f"WARNING: {outcome.path}: {problem}."))
        if outcome.problems:
            self.failed += 1
            for problem in outcome.problems:
                fail(printable(f"{outcome.path}: {problem}."))
            return
        first = self._files.setdefault(outcome.namespace, outcome.path)
        if first != outcome.path:
            say(printable(f"WARNING: {outcome.path}: /namespace: is the one of {first} as well."))
        how, words = _told(outcome.changes)
        self._namespaces[how] += 1
        print(printable(f"{outcome.namespace}: {words}."))
        for verb, kind, number in _counts(outcome.changes):
            self._parts[verb, kind] += number

    def summarise(self) -> None:
        """Say how much that was in all."""
        done = ", ".join(f"{number} {how}" for how, number in self._namespaces.items())
        print(f"Namespaces: {done}.")
        for verb in ("added", "changed", "removed"):
            parts = [
                kind.counted(number) for (how, kind), number in self._parts.items() if how == verb
            ]
            if parts:
                print(f"{verb.capitalize()} in them: {', '.join(parts)}.")
        sys.stdout.flush()
        if self.failed:
            fail(f"{counted(self.failed, 'file')} could not be loaded.")


def _told(changes: Changes | None) -> tuple[str, str]:
    """Return what became of a namespace, in a word and in a sentence."""
    if changes is None:
        return "skipped", "skipped, since it is in the catalogue already"
    if changes.nothing:
        return "unchanged", "unchanged"
    how = "added" if changes.new else "changed"
    parts = [
        kind.counted(number) if changes.new else f"{kind.counted(number)} {verb}"
        for verb, kind, number in _counts(changes)
    ]
    if changes.own and not changes.new:
        parts.insert(0, f"{', '.join(changes.own)} replaced")
    if not parts:
        return how, how
    return how, f"{how} with {', '.join(parts)}" if changes.new else f"{how}: {', '.join(parts)}"


def _counts(changes: Changes | None) -> Iterator[tuple[str, Kind, int]]:
    """Yield how much of each kind was added, changed and removed."""
    if changes is not None:
        for verb in ("added", "changed", "removed"):
            for kind, names in getattr(changes, verb).items():
                if names:
                    yield verb, kind, len(names)
