"""The cases of metadata definitions: pages of the list of namespaces, and the largest namespace.

All targets are measured over the same namespaces, those of files. Where a target lacks some they
are created over the API, and deleted at the end.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.identity import Believed, Identity, IdentityError, SignedIn
from bench.load import Request, drive
from bench.report import Report, say
from bench.stats import parse_targets, turned
from bench.wire import Target, WireError

_PATH = "/v2/metadefs/namespaces"
_FILES = Path(__file__).parents[1] / "conf" / "metadefs"


class Namespaces:
    """What all targets are to have.

    :param directory: of files, one for each.
    :raises WireError: there are none.
    """

    def __init__(self, directory: Path) -> None:
        self.bodies = [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]
        if not self.bodies:
            raise WireError(f"{directory}: no files of namespaces")
        self.names = {body["namespace"] for body in self.bodies}
        self.largest = max(self.bodies, key=lambda body: len(json.dumps(body)))

    def create(self, target: Target) -> list[str]:
        """Create what a target lacks; return the names.

        :raises WireError: it has others.
        """
        present = set(_names(target))
        if present - self.names:
            raise WireError(
                f"{target.name}: it has other namespaces, {sorted(present - self.names)}"
            )
        made = []
        for body in self.bodies:
            if body["namespace"] not in present:
                target.call("POST", _PATH, body)
                made.append(body["namespace"])
        return made


def _names(target: Target) -> list[str]:
    page = target.call("GET", f"{_PATH}?limit=1000")
    return [namespace["namespace"] for namespace in page["namespaces"]]


def _delete(target: Target, names: Sequence[str]) -> None:
    for name in names:
        target.call("PUT", f"{_PATH}/{name}", {"namespace": name, "protected": False})
        target.call("DELETE", f"{_PATH}/{name}")


class _Case(NamedTuple):
    """A case: its name, the path that it asks for, whether an answer is right."""

    label: str
    path: str
    check: Callable[[Any, bytes], bool]


def _properties(namespace: dict[str, Any]) -> list[str]:
    """Return the names of all properties, those of objects too."""
    objects = [item.get("properties", {}) for item in namespace.get("objects", ())]
    return [name for part in (namespace.get("properties", {}), *objects) for name in part]


def _cases(wanted: Namespaces) -> list[_Case]:
    body = wanted.largest
    name, names = body["namespace"], _properties(body)
    types = body["resource_type_associations"]
    typed = next((item for item in types if item.get("prefix")), types[0])
    prefixed = {typed.get("prefix", "") + name for name in names}

    def lists(count: int) -> Callable[[Any, bytes], bool]:
        return lambda key, answer: len(json.loads(answer)["namespaces"]) == count

    def shows(these: set[str]) -> Callable[[Any, bytes], bool]:
        return lambda key, answer: set(_properties(json.loads(answer))) == these

    path = f"{_PATH}/{name}"
    return [
        _Case("list, first page", _PATH, lists(min(25, len(wanted.names)))),
        _Case("list, all", f"{_PATH}?limit=1000", lists(len(wanted.names))),
        _Case(f"show the largest, {len(names)} properties", path, shows(set(names))),
        _Case(
            "the same, by resource type", f"{path}?resource_type={typed['name']}", shows(prefixed)
        ),
    ]


def _requests(target: Target, case: _Case) -> Iterator[Request]:
    return itertools.repeat((target.request("GET", case.path), None))


def run(args: argparse.Namespace) -> Report:
    """Measure, and leave the targets as they were.

    :raises WireError: a target is not there or cannot be prepared.
    """
    identity: Identity = SignedIn(args.keystone, os.environ) if args.keystone else Believed()
    targets = [Target(spec, identity) for spec in parse_targets(args.targets)]
    wanted = Namespaces(args.files)
    report = Report([target.name for target in targets])
    made: dict[str, list[str]] = {}
    try:
        for target in targets:
            made[target.name] = []
            made[target.name] += wanted.create(target)
            say(f"{target.name}: {len(made[target.name])} of {len(wanted.names)} namespaces made")
        cases = _cases(wanted)
        for target, case in itertools.product(targets, cases):
            drive(target, _requests(target, case), 4, 0.5)
        for turn in range(args.rounds):
            identity.refresh()
            for case in cases:
                for target in turned(targets, turn):
                    requests = itertools.islice(_requests(target, case), 50_000)
                    figures, _ = drive(
                        target, requests, args.concurrency, args.seconds, check=case.check
                    )
                    report.record(f"{case.label} c={args.concurrency}", target.name, figures)
    finally:
        for target in targets:
            _delete(target, made.get(target.name, ()))
    return report


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench metadefs", description=__doc__)
    add = parser.add_argument
    add("targets", nargs="+", metavar="NAME=http://127.0.0.1:PORT")
    add("--files", type=Path, default=_FILES, help="directory of namespaces (%(default)s)")
    add("--keystone", metavar="http://127.0.0.1:PORT", help="sign in there, as for metadata cases")
    add("--concurrency", type=int, default=16)
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=3, help="length of each cell")
    add("--json", type=Path, metavar="FILE", help="write everything there, each round included")
    args = parser.parse_args(argv)
    try:
        report = run(args)
    except (ValueError, IdentityError, WireError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(report.tables())
    if args.json:
        report.write(args.json, {key: getattr(args, key) for key in ("rounds", "seconds")})
    return 3 if report.failed else 0
