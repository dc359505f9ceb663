"""What a verification is asked to do, and what its parts work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from glance.db.txdbapi import Database
from glance.stores.registry import Stores
from glance.transfers.worker import WorkerIdentity
from glance.verify.copies import Copies
from glance.verify.progress import Progress
from glance.verify.state import State

#: Seconds since data was last written from which on it may be set aside.
GRACE: Final = 86400.0

#: Copies looked at side by side.
PARALLEL: Final = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for.

    :param hashes: read all data and compare its hashes.
    :param stores: ids of the stores to look at; all if ``None``.
    :param images: ids of the images to look at; all if ``None``.
    :param repair: say what would be repaired; with ``really`` do it.
    :param really: repair.
    :param force: repair even if so much is wrong that something else must be.
    :param parallel: copies looked at side by side.
    :param grace: seconds; see :data:`GRACE`.
    """

    hashes: bool = False
    stores: frozenset[str] | None = None
    images: frozenset[str] | None = None
    repair: bool = False
    really: bool = False
    force: bool = False
    parallel: int = PARALLEL
    grace: float = GRACE

    def wants(self, store_id: str | None) -> bool:
        """Tell whether a store is to be looked at."""
        return self.stores is None or store_id in self.stores


@dataclass(frozen=True, slots=True)
class Tools:
    """What the parts of a verification work with.

    :param time: seconds since the epoch, as files have it.
    """

    database: Database
    stores: Stores
    state: State
    copies: Copies
    progress: Progress
    settings: Settings
    identity: WorkerIdentity
    reactor: Any
    time: Callable[[], float]
