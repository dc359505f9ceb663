"""Whether bytes are those of an image: their hashes, computed beside everything else."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from glance.domain.image import Image
from glance.transfers.hashing import CHECKSUM, Lane


def expected_hashes(image: Image) -> dict[str, str]:
    """Return the hashes that an image's data has to have, by algorithm, as far as they are known.

    Those of algorithms that this machine does not have are left out.
    """
    found = {}
    if image.checksum:
        found[CHECKSUM] = image.checksum.lower()
    algorithm = image.os_hash_algo or ""
    usable = algorithm in hashlib.algorithms_available and not algorithm.startswith("shake")
    if usable and image.os_hash_value:
        found[algorithm] = image.os_hash_value.lower()
    return found


class Proof:
    """Hashes a stream of bytes, and compares.

    :param pool: the threads that hash.
    :param expected: the hashes, by algorithm.
    """

    def __init__(self, reactor: Any, pool: Any, expected: dict[str, str]) -> None:
        self._expected = expected
        self._lanes = [
            (hashlib.new(name, usedforsecurity=False), Lane(reactor, pool)) for name in expected
        ]

    def update(self, data: bytes) -> Deferred[Any]:
        """Hash the next piece; the Deferred fires when that is done."""
        return DeferredList(
            [lane.run(lambda h=hash_: h.update(data)) for hash_, lane in self._lanes],  # type: ignore[misc]
            fireOnOneErrback=True,
            consumeErrors=True,
        )

    def differing(self) -> list[str]:
        """Return the algorithms by which the bytes so far are other ones."""
        found = [hash_.hexdigest() for hash_, _ in self._lanes]
        pairs = zip(found, self._expected.items(), strict=True)
        return [name for digest, (name, value) in pairs if digest != value]
