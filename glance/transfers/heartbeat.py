"""Keep this worker's leases alive, and tell a transfer when it has lost its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from glance.db import leases
from glance.db.txdbapi import Database


class Holder(Protocol):
    """Work that holds a lease."""

    #: What the lease is for.
    kind: str

    #: Bytes done so far, for whoever looks at the lease.
    bytes_done: int

    def lease_lost(self) -> None:
        """Stop: the image was deleted, or another worker took over."""


class Finisher:
    """Work that goes on when its lease is lost.

    Whoever took that over does the same, and done twice it does no harm.

    :param kind: what the lease is for.
    """

    bytes_done = 0

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def lease_lost(self) -> None:
        """Go on."""


class Heartbeat(Service):
    """Renew the leases of the work under way, all in one interaction.

    :param reactor: keeps time.
    :param interval: seconds between beats.
    :ivar renewed_at: when the last beat began that renewed what was held then, by the reactor.
    """

    _log = Logger()

    def __init__(self, database: Database, reactor: Any, interval: float) -> None:
        self.interval = interval
        self.renewed_at = float("-inf")
        self._database = database
        self._reactor = reactor
        self._holders: dict[str, Holder] = {}
        self._loop = LoopingCall(self.beat)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Start beating."""
        super().startService()
        self._loop.start(self.interval, now=False)

    def stopService(self) -> None:
        """Stop beating; transfers under way are told by nobody."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def hold(self, lease_id: str, holder: Holder) -> Callable[[], None]:
        """Renew a lease from now on; return what ends that."""
        self._holders[lease_id] = holder

        def release() -> None:
            self._holders.pop(lease_id, None)

        return release

    def beat(self) -> Deferred[None] | None:
        """Renew every lease once."""
        if not self._holders:
            return None
        progress = {
            lease: (holder.kind, holder.bytes_done) for lease, holder in self._holders.items()
        }
        began = self._reactor.seconds()
        beaten = self._database.runInteraction(leases.thd_beat, progress)
        return beaten.addCallbacks(self._beaten, self._failed, callbackArgs=(began,))

    def _beaten(self, lost: set[str], began: float) -> None:
        self.renewed_at = began
        for lease_id in lost:
            holder = self._holders.pop(lease_id, None)
            if holder is not None:
                holder.lease_lost()

    def _failed(self, failure: Any) -> None:
        # The next beat tries again; a lease outlives several missed ones.
        self._log.warn("Could not renew leases: {error}", error=failure.getErrorMessage())
