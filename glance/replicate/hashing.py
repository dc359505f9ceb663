"""By which hash an image's data is proved, and handing bytes to threads that hash or write them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList, succeed

from glance.domain.errors import ConfigError
from glance.replicate.record import ImageRecord
from glance.stores.threads import Threads
from glance.transfers.hashing import CHECKSUM, check_algorithm

#: Bytes that wait for a thread from which on no more should come; as many again are with it.
MOST_WAITING = 2 * 1024 * 1024


class ExpectedHash(NamedTuple):
    """The hash that data has to have.

    :param algorithm: as hashlib calls it.
    :param digest: hexadecimal digits in lower case.
    """

    algorithm: str
    digest: str

    def fits(self, found: Any) -> bool:
        """Tell whether data that was hashed is the right one."""
        return bool(found.hexdigest() == self.digest)


def expected_hash(record: ImageRecord) -> ExpectedHash | None:
    """Return the hash to prove an image's data by, ``None`` where there is none that we can make.

    That is the one the service chose, where this machine has its algorithm, else the checksum.
    """
    for algorithm, digest in (
        (record.hash_algorithm, record.hash_value),
        (CHECKSUM, record.checksum),
    ):
        if algorithm and digest and _is_known(algorithm):
            return ExpectedHash(algorithm, digest.lower())
    return None


def new_hash(algorithm: str) -> Any:
    """Return the hash of no bytes yet."""
    return hashlib.new(algorithm, usedforsecurity=False)


def _is_known(algorithm: str) -> bool:
    try:
        check_algorithm(algorithm)
    except ConfigError:
        return False
    return True


class Conveyor:
    """Hands bytes to functions that block, in their order, several functions side by side.

    What comes while they work is handed over at once, so a slow disk makes the portions larger, not
    more. What is not yet done is bounded by whoever heeds :attr:`full`. The service's own uploads
    (:mod:`glance.transfers.hashing`) have no need of that: their pieces are large, and are shared
    with the store that writes them.

    :param threads: where the functions run.
    :param works: called with each portion.
    :param least: bytes of a portion, unless it is the last one.
    :param told: called when a portion is done, all that waited has been handed over and thus there
        is room again; and when one failed.
    :ivar error: what the first function to fail failed with; nothing is handed over any more.
    """

    def __init__(
        self,
        threads: Threads,
        works: Sequence[Callable[[bytes], Any]],
        least: int,
        told: Callable[[], None],
    ) -> None:
        self.error: BaseException | None = None
        self._threads = threads
        self._works = works
        self._least = least
        self._told = told
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._busy = False
        self._finishing = False
        self._stopped = False
        self._idle: list[Deferred[None]] = []

    @property
    def full(self) -> bool:
        """Whether no more should come for now."""
        # Not before there is a portion, or it would wait for ever.
        return self._waiting >= max(MOST_WAITING, self._least)

    def put(self, data: bytes) -> None:
        """Take bytes."""
        if self.error is None and not self._stopped:
            self._pieces.append(data)
            self._waiting += len(data)
            self._hand_over()

    def finish(self) -> Deferred[None]:
        """Take no more; the Deferred fires when all is done, and fails with :attr:`error`."""
        self._finishing = True
        self._hand_over()
        return self._when_idle().addCallback(lambda _: self._check())

    def stop(self) -> Deferred[None]:
        """Take no more and drop what waits; the Deferred fires when no function is at work."""
        self._stopped = True
        self._pieces.clear()
        self._waiting = 0
        return self._when_idle()

    def _when_idle(self) -> Deferred[None]:
        if not self._busy:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _hand_over(self) -> None:
        enough = self._waiting >= self._least or self._finishing
        if self._busy or not self._pieces or not enough:
            return
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        self._busy = True
        runs = [self._threads.run(work, data) for work in self._works]
        DeferredList(runs, consumeErrors=True).addCallback(self._done)

    def _done(self, results: list[tuple[bool, Any]]) -> None:
        self._busy = False
        for succeeded, result in results:
            if not succeeded and self.error is None:
                self.error = result.value
                self._pieces.clear()
                self._waiting = 0
        self._hand_over()
        if not self._busy:
            waiting, self._idle = self._idle, []
            for idle in waiting:
                if not idle.called:  # as it is where its waiter gave up
                    idle.callback(None)
        if not self._stopped:
            self._told()
