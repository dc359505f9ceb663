"""Which revisions the schema goes through, and where between them a database stands.

Pure data and arithmetic: a service that starts on an up-to-date database learns so from two plain
SELECTs and these constants, without loading alembic. A test holds the constants to the revision
files under ``glance/db/migrations``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_CATALOGUE_STEPS = (
    "ocata_{}01",
    "pike_{}01",
    "queens_{}01",
    "rocky_{}01",
    "rocky_{}02",
    "train_{}01",
    "ussuri_{}01",
    "wallaby_{}01",
    "xena_{}01",
    "yoga_{}01",
    "zed_{}01",
    "2023_1_{}01",
    "2024_1_{}01",
)
_OWN_STEPS = ("1_0_{}01", "1_0_{}02", "1_0_{}03")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a database is along a chain.

    :param linear: applied revisions from before the chain split in two branches.
    :param expand: applied revisions that add.
    :param contract: applied revisions that remove.
    :param unknown: recorded revisions that the chain does not have, sorted.
    """

    linear: int
    expand: int
    contract: int
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A line of revisions that splits into adding (expand) and removing (contract) ones.

    A contracting revision depends on the expanding one of its step, so one recorded revision tells
    of many applied.

    :param name: directory of the revision files.
    :param version_table: where a database records its revisions of this chain.
    :param linear: revisions before the split, oldest first.
    :param steps: names of the steps after it, with ``{}`` for the kind of step.
    """

    name: str
    version_table: str
    linear: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def expand(self) -> tuple[str, ...]:
        """Return the revisions that add."""
        return tuple(step.format("expand") for step in self.steps)

    @property
    def contract(self) -> tuple[str, ...]:
        """Return the revisions that remove."""
        return tuple(step.format("contract") for step in self.steps)

    @property
    def head(self) -> str:
        """Return the one revision recorded when everything is applied."""
        return self.contract[-1]

    @property
    def revisions(self) -> tuple[str, ...]:
        """Return every revision."""
        return (*self.linear, *self.expand, *self.contract)

    def place(self, recorded: Iterable[str]) -> Place:
        """Say how far a database is that recorded these revisions."""
        linear = expand = contract = 0
        unknown = []
        for revision in recorded:
            if revision in self.contract:
                contract = max(contract, self.contract.index(revision) + 1)
            elif revision in self.expand:
                expand = max(expand, self.expand.index(revision) + 1)
            elif revision in self.linear:
                linear = max(linear, self.linear.index(revision) + 1)
            else:
                unknown.append(revision)
        expand = max(expand, contract)
        if expand:
            linear = len(self.linear)
        return Place(linear, expand, contract, tuple(sorted(unknown)))

    def applied(self, recorded: Iterable[str]) -> tuple[str, ...]:
        """Return every revision that the recorded ones imply."""
        place = self.place(recorded)
        return (
            *self.linear[: place.linear],
            *self.expand[: place.expand],
            *self.contract[: place.contract],
        )


CATALOGUE_CHAIN = Chain(
    "catalogue", "alembic_version", ("liberty", "mitaka01", "mitaka02"), _CATALOGUE_STEPS
)
"""The schema shared with the OpenStack Glance project's service, under its revision names."""

OWN_CHAIN = Chain("own", "txglance_version", (), _OWN_STEPS)
"""What this service adds to it."""

CHAINS = (CATALOGUE_CHAIN, OWN_CHAIN)


def expanded_by_newer(unknown: Iterable[str]) -> bool:
    """Say whether unknown revisions only add, so that this release can go on working.

    That is how a database looks in the middle of a rolling upgrade: a newer release has expanded
    it and has not contracted it yet.
    """
    return all("_expand" in revision for revision in unknown)
