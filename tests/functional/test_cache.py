"""Downloads through the image cache of a node with two workers, and everything that gets in the way."""

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional.caching import Cache, Origin, caching
from tests.functional.server import PATIENCE, Server, eventually
from tests.functional.wire import MIB, Wire, data_of

SIZE = 24 * MIB + 12_345
DATA = data_of(SIZE)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin(DATA) as origin:
        yield origin


def rest(wire: Wire, had: int = 0) -> bytes:
    """Read the rest of a body, as far as it comes.

    :param had: bytes of it that were read before.
    """
    pieces = []
    while had < SIZE and (piece := wire.read(min(MIB, SIZE - had))):
        pieces.append(piece)
        had += len(piece)
    return b"".join(pieces)


def rests(wires: list[Wire], had: int = 0) -> list[bytes]:
    """Read the rest of several bodies side by side."""
    with ThreadPoolExecutor(len(wires)) as pool:
        return list(pool.map(lambda wire: rest(wire, had), wires))


def heads(wires: list[Wire]) -> None:
    for wire in wires:
        status, headers = wire.answered()
        assert status == 200
        assert headers["Content-Length"] == str(SIZE)
        assert headers["Content-MD5"] == hashlib.md5(DATA, usedforsecurity=False).hexdigest()


class TestSingleFlight:
    def test_many_readers_of_two_workers_cost_the_store_one_request(self, origin: Origin) -> None:
        with caching(origin) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let(4 * MIB)
            with cache.readers(image_id, 16) as wires:
                heads(wires)
                # What is there comes at once, while the store gives no more.
                for wire in wires:
                    assert wire.read(3 * MIB) == DATA[: 3 * MIB]
                origin.let()
                assert all(body == DATA[3 * MIB :] for body in rests(wires, 3 * MIB))
            cache.await_copy(image_id, DATA)
            assert origin.asked == [0]
            # From now on the store is not asked at all.
            for _ in range(4):
                assert cache.server.download(image_id).body == DATA
            assert origin.asked == [0]
