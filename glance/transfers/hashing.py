"""Hash data off the reactor, every algorithm in a lane of its own.

hashlib releases the interpreter's lock on blocks of this size, so the lanes run side by side with
each other and with the write; an upload is as fast as the slowest of them, not as their sum.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from glance.domain.correlation import carried
from glance.domain.errors import ConfigError

#: The algorithm of the image's ``checksum`` field.
CHECKSUM = "md5"


def check_algorithm(name: str) -> None:
    """Check that a hash algorithm can be used for ``os_hash_algo``.

    :raises ConfigError: hashlib does not know it, or its digests have no fixed length.
    """
    if name not in hashlib.algorithms_available or name.startswith("shake"):
        raise ConfigError(
            f"[DEFAULT] hashing_algorithm = {name!r} is not a hash algorithm of this machine; "
            "sha512 and sha256 always are."
        )


class Lane:
    """Run jobs one after the other, in the order given, on a pool's threads.

    A thread that finds more jobs waiting goes on with them, so that a busy lane costs no hops.

    :param reactor: to come back to.
    :param pool: a ``ThreadPool``.
    """

    def __init__(self, reactor: Any, pool: Any) -> None:
        self._reactor = reactor
        self._pool = pool
        self._jobs: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self._lock = threading.Lock()
        self._running = False

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        """Queue a job; the Deferred gets its result."""
        done: Deferred[Any] = Deferred()
        with self._lock:
            self._jobs.append((carried(job), done))
            if self._running:
                return done
            self._running = True
        self._pool.callInThread(self._thd_drain)
        return done

    def _thd_drain(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
                job, done = self._jobs.popleft()
            try:
                result = job()
            except BaseException:
                self._reactor.callFromThread(done.errback, Failure())
            else:
                self._reactor.callFromThread(done.callback, result)


class Hashes:
    """The checksum and the secure hash of one stream of data.

    :param algorithm: ``[DEFAULT] hashing_algorithm``.
    """

    def __init__(self, reactor: Any, pool: Any, algorithm: str) -> None:
        self.algorithm = algorithm
        self._reactor = reactor
        self._pool = pool
        self._hashes: dict[str, Any] = {}
        self._lanes: dict[str, Lane] = {}
        self.add([CHECKSUM, algorithm])

    def add(self, algorithms: Iterable[str]) -> None:
        """Compute further hashes, where they are not computed anyway; before the first piece."""
        for name in algorithms:
            if name not in self._hashes:
                self._hashes[name] = hashlib.new(name, usedforsecurity=False)
                self._lanes[name] = Lane(self._reactor, self._pool)

    def update(self, data: memoryview) -> list[Deferred[Any]]:
        """Hash the next piece; the data must stay as it is until every Deferred has fired."""
        return [
            self._lanes[name].run(lambda h=hash_: h.update(data))  # type: ignore[misc]
            for name, hash_ in self._hashes.items()
        ]

    def digest(self, algorithm: str) -> bytes:
        """Return the hash of all data so far, by one of the algorithms that are computed."""
        digest: bytes = self._hashes[algorithm].digest()
        return digest

    @property
    def checksum(self) -> str:
        """MD5 of all data so far, hexadecimal."""
        return self.digest(CHECKSUM).hex()

    @property
    def value(self) -> str:
        """The secure hash of all data so far, hexadecimal."""
        return self.digest(self.algorithm).hex()
