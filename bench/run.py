"""One run: everything asked for, round by round, and the report at the end."""

import argparse
import contextlib
import os
import time
from collections.abc import Sequence

from bench import data, metadata
from bench.catalogue import SEEDS, Catalogue, clean, seed, survey
from bench.commands import one_shot, start_up
from bench.fill import empty, fill
from bench.identity import Believed, Identity, SignedIn
from bench.limits import Limits
from bench.report import Report, say
from bench.stats import pair, parse_targets, turned
from bench.wire import Target, WireError


def _targets(args: argparse.Namespace, identity: Identity) -> list[Target]:
    pids: dict[str, list[int]] = {}
    for name, pid in map(pair, args.also):
        pids.setdefault(name, []).append(int(pid))
    specs = parse_targets(args.targets)
    return [Target(spec, identity, pids.get(spec.name, ())) for spec in specs]


def _commands(args: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Return the commands to time: (target name, label, command)."""
    out = []
    for what, command in map(pair, args.cli):
        name, label = pair(what, ":")
        out.append((name, label, command))
    return out


class Run:
    """One run over its targets."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Find the targets and read the rest of the command line.

        :raises ValueError: when an argument is malformed.
        :raises IdentityError: when Keystone refuses, or is not there.
        :raises WireError: when a target is not there.
        """
        self.args = args
        self.identity: Identity = Believed()
        if args.keystone:
            self.identity = SignedIn(args.keystone, os.environ)
        self.targets = _targets(args, self.identity)
        self.databases = dict(map(pair, args.database))
        self.startups = [pair(text) for text in args.startup]
        self.commands = _commands(args)
        names = [target.name for target in self.targets]
        for name in [n for n, _ in self.startups] + [n for n, _, _ in self.commands]:
            if name not in names:
                names.append(name)
        self.report = Report(names)
        self.limits: Limits | None = None
        self.filled: set[str] = set()

    def go(self) -> None:
        """Measure everything asked for; what was filled is emptied whatever happens."""
        with contextlib.ExitStack() as stack:
            sizes = None
            if self.args.limits or "data" in self.args.cases and self.targets:
                source = data.open_source(self.args.work, self.args.gib)
                sizes = data.Sizes(source, self.args.piece, self.args.settle)
                if self.args.limits:
                    self.limits = stack.enter_context(Limits(self.report, sizes, self.args.python))
            stack.callback(self._tidy)
            self._memory("memory before")
            first, *larger = self.args.sizes
            self._metadata(first, first=True)
            if sizes and "data" in self.args.cases:
                self._data(sizes)
            self._run_commands()
            for size in larger:
                self._metadata(size, first=False)
            self._memory("memory after")

    def _memory(self, case: str) -> None:
        if "memory" in self.args.cases:
            for target in self.targets:
                rss, pss = target.tree.memory()
                self.report.record(case, target.name, {"rss_mib": rss, "pss_mib": pss})

    def _prepare(self, target: Target, size: int) -> Catalogue:
        """Bring a catalogue to its size.

        :raises WireError: when it cannot be, or holds many more images already.
        """
        began = time.perf_counter()
        refused = seed(target, min(size, SEEDS))
        if refused:
            self.report.record("seeding c=4", target.name, {"bad": refused})
        found = survey(target)
        if found.count < size:
            if target.name not in self.databases:
                raise WireError(
                    f"{target.name}: {found.count} images, to be {size}: give its database with "
                    f"--database {target.name}=URL, or fill it before"
                )
            say(f"{target.name}: filling up {size - found.count} images")
            self.filled.add(target.name)
            fill(self.databases[target.name], size - found.count)
            found = survey(target)
        if not size <= found.count <= 1.2 * size:
            raise WireError(f"{target.name}: {found.count} images where {size} are to be measured")
        say(f"{target.name}: {found.count} images, {time.perf_counter() - began:.1f} s")
        return found

    def _metadata(self, size: int, first: bool) -> None:
        args = self.args
        cases = {"metadata", "walk"} & set(args.cases)
        catalogues = {t.name: self._prepare(t, size) for t in self.targets} if cases else {}
        if "metadata" in cases:
            metadata.warm_up(self.targets, catalogues)
        for turn in range(args.rounds):
            self.identity.refresh()
            if "metadata" in cases:
                metadata.measure(
                    self.targets,
                    catalogues,
                    size,
                    turn,
                    args.concurrency,
                    args.seconds,
                    self.report.record,
                    first,
                )
            if self.limits and "metadata" in args.cases and first:
                self.limits.metadata(turn, args.concurrency, args.seconds)
            if "walk" in cases and first:
                metadata.measure_walk(self.targets, size, turn, self.report.record)

    def _data(self, sizes: data.Sizes) -> None:
        with data.Downloads(self.targets, sizes.large) as images:
            for turn in range(self.args.rounds):
                self.identity.refresh()
                data.measure(self.targets, images, sizes, turn, self.report.record)
                if self.limits:
                    self.limits.data(turn)

    def _run_commands(self) -> None:
        for turn in range(self.args.rounds):
            self.identity.refresh()
            for name, command in turned(self.startups, turn):
                self.report.record("start-up", name, start_up(command, self.identity.headers))
            for name, label, command in turned(self.commands, turn):
                self.report.record(f"$ {label}", name, one_shot(command))

    def _tidy(self) -> None:
        for name in sorted(self.filled):
            say(f"{name}: {empty(self.databases[name])} filled images removed")
        if self.args.clean:
            for target in self.targets:
                clean(target)


#: What of the command line goes into the JSON; database URLs and commands may hold secrets.
_TOLD: Sequence[str] = (
    "cases",
    "keystone",
    "limits",
    "rounds",
    "seconds",
    "concurrency",
    "sizes",
    "gib",
    "piece",
    "settle",
)


def run(args: argparse.Namespace) -> int:
    """Do a run and report it; return the exit status.

    :raises ValueError: when an argument is malformed.
    :raises IdentityError: when Keystone refuses, or is not there.
    :raises WireError: when a target is not there or cannot be prepared.
    """
    this = Run(args)
    try:
        this.go()
    finally:
        # What was measured before a stop is worth as much as ever.
        print(this.report.tables())
        if args.json:
            this.report.write(args.json, {key: getattr(args, key) for key in _TOLD})
    return 3 if this.report.failed else 0
