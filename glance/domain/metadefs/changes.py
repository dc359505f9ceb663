"""Work out what loading a namespace changes.

It is the same for a new namespace, for one that is added to and for one that is written anew; so
what is done, what is reported and what is left alone come from one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from glance.domain.metadefs.definition import (
    DEFAULT_OWNER,
    OWN_FIELDS,
    Definition,
    Kind,
    Parts,
)


class Mode(Enum):
    """What is done about a namespace that is in the catalogue already."""

    SKIP = "skip"
    """Nothing."""
    MERGE = "merge"
    """What is missing is added."""
    PREFER_NEW = "prefer_new"
    """The same, and what the file has wins."""
    OVERWRITE = "overwrite"
    """It becomes what the file has, and nothing else."""


def _no_parts() -> Parts:
    return {kind: {} for kind in Kind}


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done to make a namespace what it should be.

    :param new: whether there is none of that name yet.
    :param own: values of ``OWN_FIELDS`` to set.
    """

    new: bool = False
    own: Mapping[str, Any] = field(default_factory=dict)
    added: Parts = field(default_factory=_no_parts)
    changed: Parts = field(default_factory=_no_parts)
    removed: Parts = field(default_factory=_no_parts)

    @property
    def nothing(self) -> bool:
        """Whether nothing is to be done."""
        parts = (*self.added.values(), *self.changed.values(), *self.removed.values())
        return not (self.new or self.own or any(parts))


def compare(present: Definition | None, wanted: Definition, mode: Mode) -> Changes:
    """Say what makes a namespace what a file and a mode want.

    :param present: what is there.
    :param mode: if something is; not ``SKIP``.
    """
    if present is None:
        return Changes(new=True, own=_whole(wanted), added=wanted.parts)
    wins = mode in {Mode.PREFER_NEW, Mode.OVERWRITE}
    own: Mapping[str, Any] = {}
    if wins:
        own = _whole(wanted) if mode is Mode.OVERWRITE else wanted.own
    return Changes(
        own={name: value for name, value in own.items() if value != present.own.get(name)},
        added={kind: _without(wanted.parts[kind], present.parts[kind].keys()) for kind in Kind},
        changed={
            kind: {
                name: value
                for name, value in wanted.parts[kind].items()
                if wins
                and name in present.parts[kind]
                and not _same(value, present.parts[kind][name])
            }
            for kind in Kind
        },
        removed={
            kind: _without(present.parts[kind], wanted.parts[kind].keys())
            if mode is Mode.OVERWRITE
            else {}
            for kind in Kind
        },
    )


def _whole(wanted: Definition) -> dict[str, Any]:
    """Return all that is said of a new namespace itself."""
    own = {name: wanted.own.get(name) for name in OWN_FIELDS}
    return own | {"owner": own["owner"] or DEFAULT_OWNER}


def _without(parts: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if name not in names}


def _same(one: Any, other: Any) -> bool:
    try:
        # To Python 1, 1.0 and true are the same.
        return orjson.dumps(one) == orjson.dumps(other)
    except TypeError:
        # What is there was kept by other software, and no file can have it.
        return False
