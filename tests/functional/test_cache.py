"""Downloads through the image cache of a node with two workers, and all that gets in the way."""

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional.caching import Cache, Origin, Origins, caching
from tests.functional.server import Server, eventually
from tests.functional.wire import MIB, Wire, data_of

SIZE = 24 * MIB + 12_345
DATA = data_of(SIZE)
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
#: What is in the cache for certain when the store has let go of 5 MiB: it comes in whole pieces.
PART = 3 * MIB


@pytest.fixture(scope="module")
def origins() -> Iterator[Origins]:
    with Origins() as origins:
        yield origins


@pytest.fixture
def origin(origins: Origins) -> Origin:
    """Something in a store that gives out what the test allows."""
    return origins.put(DATA)


@pytest.fixture(scope="module")
def cache(origins: Origins) -> Iterator[Cache]:
    """A service with two workers for tests that leave it well."""
    with caching(origins.put(b"")) as cache:
        yield cache


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


def heads(wires: list[Wire], md5: str | None = MD5) -> None:
    for wire in wires:
        status, headers = wire.answered()
        assert (status, headers["Content-Length"]) == (200, str(SIZE))
        assert headers["Content-MD5"] == md5


class TestSingleFlight:
    def test_many_readers_of_two_workers_cost_the_store_one_request(
        self, cache: Cache, origin: Origin
    ) -> None:
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

    def test_file_store_too(self, cache: Cache) -> None:
        image_id = cache.server.image(DATA)
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(cache.server.download, [image_id] * 16))
        assert all(answer.body == DATA for answer in answers)
        cache.await_copy(image_id, DATA)
        # It is the copy that is sent now.
        (cache.server.images / image_id).unlink()
        assert cache.server.download(image_id).body == DATA

    @pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB])
    def test_every_size(self, cache: Cache, size: int) -> None:
        data = data_of(size)
        image_id = cache.server.image(data)
        for _ in range(3):
            answer = cache.server.download(image_id)
            assert (answer.status, answer.body) == (200, data)
            assert answer.headers["Content-Length"] == str(size)
        if size:
            cache.await_copy(image_id, data)
        assert cache.has(image_id) == bool(size)

    def test_image_without_hashes(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA, checksum=False)
        origin.let()
        assert cache.server.download(image_id).body == DATA
        cache.await_copy(image_id, DATA)


class TestInterruptions:
    def test_filler_killed_in_the_middle(self, origin: Origin) -> None:
        """Readers of the other worker get all bytes, and the copy is made whole."""
        with caching(origin, checked=False) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let(5 * MIB)
            with cache.readers(image_id, 8) as wires:
                heads(wires)
                for wire in wires:
                    assert wire.read(2 * MIB) == DATA[: 2 * MIB]
                os.kill(cache.filler(image_id), signal.SIGKILL)
                origin.let()
                bodies = [DATA[: 2 * MIB] + body for body in rests(wires, 2 * MIB)]
                # Those of the dead worker are cut, and what they have is right as far as it goes.
                assert all(DATA.startswith(body) for body in bodies)
                assert 0 < sum(body == DATA for body in bodies) < len(bodies)
            cache.await_copy(image_id, DATA)
            # What the dead one had written was gone on with.
            assert origin.begun_at >= 2 * MIB

    def test_the_others_die(self, origin: Origin) -> None:
        """A worker that only follows may die without harm to the rest."""
        with caching(origin, checked=False) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let(5 * MIB)
            with cache.readers(image_id, 6) as wires:
                heads(wires)
                filler = cache.filler(image_id)
                for pid in cache.users(image_id):
                    if pid != filler:
                        os.kill(pid, signal.SIGKILL)
                origin.let()
                assert DATA in rests(wires)
            cache.await_copy(image_id, DATA)
            assert origin.asked == [0]

    def test_all_die(self, origin: Origin) -> None:
        """Whoever asks next goes on where they stopped."""
        with caching(origin, checked=False) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let(5 * MIB)
            with cache.readers(image_id, 2):
                eventually(lambda: cache.size_of_partial(image_id) >= PART, "the first part")
                before = set(cache.server.workers())
                for pid in before:
                    os.kill(pid, signal.SIGKILL)
            eventually(
                lambda: len(set(cache.server.workers()) - before) == 2, "others in their place"
            )
            origin.let()
            assert cache.server.download(image_id).body == DATA
            cache.await_copy(image_id, DATA)
            assert origin.begun_at >= PART

    def test_without_hashes_what_is_left_is_not_gone_on_with(self, origin: Origin) -> None:
        with caching(origin, checked=False) as cache:
            image_id = cache.add(origin.url, data=DATA, checksum=False)
            origin.let(5 * MIB)
            with cache.readers(image_id, 4) as wires:
                heads(wires, md5=None)
                for wire in wires:
                    assert wire.read(2 * MIB) == DATA[: 2 * MIB]
                os.kill(cache.filler(image_id), signal.SIGKILL)
                origin.let()
                bodies = [DATA[: 2 * MIB] + body for body in rests(wires, 2 * MIB)]
                assert all(DATA.startswith(body) for body in bodies)
                assert DATA in bodies
            cache.await_quiet(image_id)
            assert cache.server.download(image_id).body == DATA
            cache.await_copy(image_id, DATA)

    def test_clients_that_go_away(self, cache: Cache, origin: Origin) -> None:
        """A fill that nobody wants any more ends; the next one goes on with it."""
        image_id = cache.add(origin.url, data=DATA)
        origin.let(5 * MIB)
        with cache.readers(image_id, 3) as wires:
            heads(wires)
            eventually(lambda: cache.size_of_partial(image_id) >= PART, "the first part")
        # That they are gone is noticed when more is to be sent.
        origin.let(7 * MIB)
        cache.await_quiet(image_id)
        eventually(lambda: not cache.users(image_id), "nobody has it open")
        there = cache.size_of_partial(image_id)
        assert PART <= there <= 7 * MIB
        origin.let()
        assert cache.server.download(image_id).body == DATA
        cache.await_copy(image_id, DATA)
        assert origin.begun_at == there

    def test_one_client_of_several_goes_away(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        origin.let(5 * MIB)
        with cache.readers(image_id, 4) as wires:
            heads(wires)
            for wire in wires[1:]:
                wire.close()
            origin.let()
            assert rest(wires[0]) == DATA
        cache.await_copy(image_id, DATA)

    def test_store_that_breaks_off_is_asked_again(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        origin.let(5 * MIB)
        with cache.readers(image_id, 4) as wires:
            heads(wires)
            eventually(lambda: cache.size_of_partial(image_id) >= PART, "the first part")
            origin.break_off()
            origin.let()
            assert all(body == DATA for body in rests(wires))
        cache.await_copy(image_id, DATA)
        assert origin.begun_at >= PART

    def test_another_copy_in_the_stores_is_tried(
        self, cache: Cache, origin: Origin, origins: Origins
    ) -> None:
        second = origins.put(DATA)
        image_id = cache.add(origin.url, second.url, data=DATA)
        origin.let(5 * MIB)
        second.let()
        with cache.readers(image_id, 4) as wires:
            heads(wires)
            eventually(lambda: cache.size_of_partial(image_id) >= PART, "the first part")
            origin.broken = True
            origin.break_off()
            assert all(body == DATA for body in rests(wires))
        cache.await_copy(image_id, DATA)
        assert origin.asked == [0] and second.begun_at >= PART

    def test_store_that_is_gone_in_the_middle(self, cache: Cache, origin: Origin) -> None:
        """Nobody gets a whole body; the copy is put aside."""
        image_id = cache.add(origin.url, data=DATA)
        origin.let(5 * MIB)
        with cache.readers(image_id, 4) as wires:
            heads(wires)
            eventually(lambda: cache.size_of_partial(image_id) >= PART, "the first part")
            origin.broken = True
            origin.break_off()
            bodies = rests(wires)
            assert all(DATA.startswith(b) and len(b) < SIZE for b in bodies)
        eventually(lambda: cache.has(image_id, "invalid"), "the copy is put aside")
        assert not cache.has(image_id) and not cache.has(image_id, "incomplete")

    def test_store_that_is_gone_from_the_beginning(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        origin.broken = True
        assert cache.server.download(image_id).status == 503
        cache.await_quiet(image_id)
        assert not cache.has(image_id, "incomplete") and not cache.has(image_id, "invalid")

    def test_end_of_the_service_in_the_middle(self, origin: Origin) -> None:
        """Whoever reads gets the rest before the service ends."""
        with caching(origin) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let(5 * MIB)
            with cache.readers(image_id, 4) as wires:
                heads(wires)
                eventually(lambda: cache.size_of_partial(image_id) >= PART, "the first part")
                cache.server.signal(signal.SIGTERM)
                eventually(
                    lambda: (
                        "finish" in cache.server.log_text().lower()
                        or "drain" in cache.server.log_text().lower()
                    ),
                    "the service was told",
                )
                origin.let()
                assert all(body == DATA for body in rests(wires))
            assert cache.server.wait() == 0
            assert (cache.place / image_id).read_bytes() == DATA
            assert origin.asked == [0]

    def test_quick_end_of_the_service_leaves_what_can_be_gone_on_with(self, origin: Origin) -> None:
        with caching(origin) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let(5 * MIB)
            with cache.readers(image_id, 4) as wires:
                heads(wires)
                eventually(lambda: cache.size_of_partial(image_id) >= PART, "the first part")
                assert cache.server.break_off() == 0
            assert PART <= cache.size_of_partial(image_id) <= 5 * MIB
            cache.server.start()
            origin.let()
            assert cache.server.download(image_id).body == DATA
            cache.await_copy(image_id, DATA)
            assert origin.begun_at >= PART


class TestWrongData:
    def test_nobody_gets_all_of_wrong_data(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        wrong = bytearray(DATA)
        wrong[SIZE // 2] ^= 1
        origin.data = bytes(wrong)
        origin.let(5 * MIB)
        with cache.readers(image_id, 8) as wires:
            heads(wires)
            origin.let()
            bodies = rests(wires)
        assert all(len(body) < SIZE for body in bodies)
        eventually(lambda: cache.has(image_id, "invalid"), "the copy is put aside")
        assert not cache.has(image_id) and not cache.has(image_id, "incomplete")
        reason = os.getxattr(cache.place / "invalid" / image_id, "user.error")
        assert b"md5 and sha512" in reason
        assert image_id in cache.server.log_text() and origin.url not in cache.server.log_text()
        # It blocks nothing: with the right data all is well.
        origin.data = DATA
        assert cache.server.download(image_id).body == DATA
        cache.await_copy(image_id, DATA)

    def test_file_that_was_damaged(self, cache: Cache) -> None:
        image_id = cache.server.image(DATA)
        with (cache.server.images / image_id).open("r+b") as file:
            file.seek(SIZE - 5)
            file.write(b"wrong")
        with ThreadPoolExecutor(8) as pool:
            bodies = list(pool.map(lambda _: self.broken(cache, image_id), range(8)))
        assert all(len(body) < SIZE for body in bodies)
        cache.await_quiet(image_id)
        assert cache.has(image_id, "invalid") and not cache.has(image_id)

    def broken(self, cache: Cache, image_id: str) -> bytes:
        with cache.begin(image_id) as wire:
            assert wire.answered()[0] == 200
            return rest(wire)

    def test_small_image_with_wrong_data_is_an_error(self, cache: Cache) -> None:
        image_id = cache.server.image(b"right")
        (cache.server.images / image_id).write_bytes(b"wrong")
        answer = cache.server.download(image_id)
        assert (answer.status, b"wrong" in answer.body) == (500, False)
        eventually(lambda: cache.states(image_id) == ["invalid"], "the copy is put aside")

    def test_copy_of_another_length(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        (cache.place / image_id).write_bytes(DATA[:-1])
        origin.let()
        assert cache.server.download(image_id).body == DATA
        cache.await_copy(image_id, DATA)
        assert (cache.place / "invalid" / image_id).stat().st_size == SIZE - 1


class TestRoom:
    def test_full_disk(self, origin: Origin) -> None:
        """Who reads goes on from the store."""
        folder = "cache-on-a-small-disk"
        with Server() as probe:
            place = probe.home / folder
        place.mkdir(parents=True)
        mount = f"mount -t tmpfs -o size=32m none {place}"
        launcher = ("unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh")
        try:
            with caching(origin, place=place, launcher=launcher) as cache:
                inside = Path(f"/proc/{cache.server.pid}/root{place}")
                cache.place = inside
                image_id = cache.add(origin.url, data=DATA)
                origin.let(5 * MIB)
                with contextlib.ExitStack() as stack:
                    wires = [stack.enter_context(cache.begin(image_id)) for _ in range(8)]
                    heads(wires)
                    eventually(lambda: cache.size_of_partial(image_id) >= PART, "a part")
                    with (inside / "hog").open("wb", buffering=0) as hog, pytest.raises(OSError):
                        while True:
                            hog.write(bytes(MIB))
                    origin.let()
                    assert all(body == DATA for body in rests(wires))
                cache.await_quiet(image_id)
                assert not any(
                    cache.has(image_id, where) for where in ("", "incomplete", "invalid")
                )
                assert "No space left on device" in cache.server.log_text()
                # What cannot be had any more is not begun.
                asked = len(origin.asked)
                assert cache.server.download(image_id).body == DATA
                assert len(origin.asked) == asked + 1
                assert not cache.has(image_id, "incomplete")
                (inside / "hog").unlink()

                def cached() -> bool:
                    # The worker that found the disk full leaves it alone for a while.
                    assert cache.server.download(image_id).body == DATA
                    return cache.has(image_id)

                eventually(cached, "it is cached again")
                cache.await_copy(image_id, DATA)
        finally:
            shutil.rmtree(place.parent, ignore_errors=True)

    def test_what_does_not_fit_is_not_cached(self, origin: Origin) -> None:
        settings = {"image_cache_max_size": SIZE - 1}
        with caching(origin, settings=settings) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let()
            assert cache.server.download(image_id).body == DATA
            assert not cache.has(image_id) and not cache.has(image_id, "incomplete")

    def test_what_is_being_read_is_not_removed(self, origin: Origin) -> None:
        other = data_of(SIZE // 2)
        settings = {"image_cache_max_size": SIZE + SIZE // 4}
        with caching(origin, settings=settings) as cache:
            image_id = cache.add(origin.url, data=DATA)
            second = cache.server.image(other)
            origin.let()
            assert cache.server.download(image_id).body == DATA
            cache.await_copy(image_id, DATA)
            with cache.begin(image_id) as wire:
                heads([wire])
                assert cache.server.download(second).body == other
                assert cache.has(image_id) and not cache.has(second)
                assert rest(wire) == DATA
            eventually(lambda: not cache.users(image_id), "nobody reads it")
            assert cache.server.download(second).body == other
            cache.await_copy(second, other)
            assert not cache.has(image_id)

    def test_cache_that_cannot_be_used_costs_no_download(self, origin: Origin) -> None:
        with caching(origin) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let()
            shutil.rmtree(cache.place)
            for _ in range(4):
                assert cache.server.download(image_id).body == DATA


class TestWhatIsServed:
    def test_existing_directory_is_adopted(self, origin: Origin, tmp_path: Path) -> None:
        place = tmp_path / "cache"
        for name in ("incomplete", "invalid", "queue"):
            (place / name).mkdir(parents=True)
        with sqlite3.connect(place / "cache.db") as database:
            database.execute(
                "CREATE TABLE cached_images (image_id TEXT PRIMARY KEY, last_accessed REAL DEFAULT"
                " 0.0, last_modified REAL DEFAULT 0.0, size INTEGER DEFAULT 0, hits INTEGER DEFAULT"
                " 0, checksum TEXT)"
            )
        settings = {"image_cache_driver": "sqlite"}
        with caching(origin, place=place, settings=settings) as cache:
            image_id = cache.add(origin.url, data=DATA)
            cache.server.stop()
            # As the other software has left them.
            (place / image_id).write_bytes(DATA)
            with contextlib.closing(sqlite3.connect(place / "cache.db")) as database:
                database.execute(
                    "INSERT INTO cached_images VALUES (?, 1.0, 1.0, ?, 3, NULL)", (image_id, SIZE)
                )
                database.commit()
            cache.server.start()
            assert cache.server.download(image_id).body == DATA
            assert origin.asked == []
            assert self.hits(cache, image_id) == 4
            # A part is no hit, nor is what was broken off.
            assert cache.server.download(image_id, Range="bytes=5-").status == 206
            with cache.begin(image_id) as wire:
                heads([wire])
            eventually(lambda: not cache.users(image_id), "nobody reads it")
            cache.server.stop()
            assert self.hits(cache, image_id, 0) == 4

    def hits(self, cache: Cache, image_id: str, more: int = 4) -> int:
        def read() -> int:
            with contextlib.closing(sqlite3.connect(cache.place / "cache.db")) as database:
                found = database.execute(
                    "SELECT hits FROM cached_images WHERE image_id = ?", (image_id,)
                ).fetchone()
                return int(found[0])

        if more:
            eventually(lambda: read() == more, "the hit is counted")
        return read()

    def test_ranges(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        origin.let()
        # Of what is not there: straight from the store, and nothing is cached.
        answer = cache.server.download(image_id, Range="bytes=10-19")
        assert (answer.status, answer.body) == (206, DATA[10:20])
        assert cache.states(image_id) == []
        assert cache.server.download(image_id).body == DATA
        cache.await_copy(image_id, DATA)
        origin.asked.clear()
        for asked, expected in (
            ("bytes=10-19", DATA[10:20]),
            (f"bytes={SIZE - 5}-", DATA[-5:]),
            ("bytes=-1000000", DATA[-1_000_000:]),
        ):
            answer = cache.server.download(image_id, Range=asked)
            assert (answer.status, answer.body) == (206, expected)
        assert cache.server.download(image_id, Range=f"bytes={SIZE}-").status == 416
        assert origin.asked == []

    def test_what_sends_no_body_caches_nothing(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        path = f"/v2/images/{image_id}/file"
        assert cache.server.request("HEAD", path).status == 200
        tag = f'"{hashlib.sha512(DATA).hexdigest()}"'
        origin.let()
        assert cache.server.download(image_id, **{"If-None-Match": tag}).status == 304
        assert not cache.has(image_id) and not cache.has(image_id, "incomplete")

    def test_image_that_the_catalogue_knows_no_place_of(self, cache: Cache) -> None:
        image_id = cache.add(data=DATA)
        (cache.place / image_id).write_bytes(DATA)
        answer = cache.server.download(image_id)
        assert (answer.status, answer.body) == (204, b"")

    def test_deactivated_image_comes_from_its_store(self, cache: Cache, origin: Origin) -> None:
        image_id = cache.add(origin.url, data=DATA)
        origin.let()
        assert cache.server.download(image_id).body == DATA
        cache.await_copy(image_id, DATA)
        path = f"/v2/images/{image_id}/actions"
        assert cache.server.request("POST", f"{path}/deactivate").status == 204
        asked = len(origin.asked)
        assert cache.server.download(image_id).body == DATA
        assert len(origin.asked) == asked + 1
        assert cache.has(image_id)
        assert cache.server.request("POST", f"{path}/reactivate").status == 204
        assert cache.server.download(image_id).body == DATA
        assert len(origin.asked) == asked + 1

    def test_policy_comes_before_any_byte(self, origin: Origin, tmp_path: Path) -> None:
        rules = tmp_path / "policy.yaml"
        rules.write_text("{}")
        options = {"oslo_policy": {"policy_file": str(rules)}}
        with caching(origin, options=options) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let()
            assert cache.server.download(image_id).body == DATA
            cache.await_copy(image_id, DATA)
            rules.write_text('"download_image": "!"\n')
            cache.server.reload()
            # The old worker may accept until it is told to drain, a moment later.
            eventually(lambda: cache.server.download(image_id).status == 403, "the policy")
            answer = cache.server.download(image_id)
            assert (answer.status, len(answer.body) < 1000) == (403, True)

    @pytest.mark.parametrize("delayed", [False, True])
    def test_deleted_image(self, origin: Origin, delayed: bool) -> None:
        with caching(origin, settings={"delayed_delete": delayed}) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let()
            assert cache.server.download(image_id).body == DATA
            cache.await_copy(image_id, DATA)
            (cache.place / "queue" / image_id).touch()
            assert cache.server.request("DELETE", f"/v2/images/{image_id}").status == 204
            assert not cache.has(image_id) and not cache.has(image_id, "queue")
            assert cache.server.download(image_id).status == 404

    def test_image_that_is_deleted_in_the_middle(self, cache: Cache, origin: Origin) -> None:
        """Who reads gets the rest; no copy is left."""
        image_id = cache.add(origin.url, data=DATA)
        origin.let(5 * MIB)
        with cache.readers(image_id, 4) as wires:
            heads(wires)
            assert cache.server.request("DELETE", f"/v2/images/{image_id}").status == 204
            assert not cache.has(image_id, "incomplete")
            origin.let()
            assert all(body == DATA for body in rests(wires))
        cache.await_quiet(image_id)
        assert not any(cache.has(image_id, where) for where in ("", "incomplete", "invalid"))


class TestTls:
    def test_growing_copy(self, origin: Origin, tmp_path: Path) -> None:
        from tests.certificates import Certificate
        from tests.functional.test_tls import AUTHORITY, client

        certificate, key = Certificate("localhost", AUTHORITY).write(tmp_path, "server")
        settings = {"cert_file": certificate, "key_file": key}
        with caching(origin, settings=settings, tls=client()) as cache:
            image_id = cache.add(origin.url, data=DATA)
            origin.let(5 * MIB)
            with cache.readers(image_id, 4) as wires:
                heads(wires)
                for wire in wires:
                    assert wire.read(3 * MIB) == DATA[: 3 * MIB]
                origin.let()
                assert all(body == DATA[3 * MIB :] for body in rests(wires, 3 * MIB))
            cache.await_copy(image_id, DATA)
            assert cache.server.download(image_id).body == DATA
            assert origin.asked == [0]
