"""Downloads over real sockets: whole and in parts, by readers quick, slow and vanishing."""

import hashlib
import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.server import Server, eventually
from tests.functional.wire import MIB, Wire, data_of

SIZE = 3 * MIB + 12_345
LARGE = 32 * MIB + 1


@pytest.fixture(scope="session")
def data() -> bytes:
    return data_of(SIZE)


@pytest.fixture(scope="session")
def image_id(server: Server, data: bytes) -> str:
    return server.image(data)


@pytest.fixture(scope="session")
def large_data() -> bytes:
    return data_of(LARGE)


@pytest.fixture
def large_image(server: Server, large_data: bytes) -> Iterator[str]:
    """An image that fits into no socket's buffers."""
    image_id = server.image(large_data)
    yield image_id
    server.request("DELETE", f"/v2/images/{image_id}")


def get(wire: Wire, image_id: str, *headers: str) -> None:
    wire.head("GET", f"/v2/images/{image_id}/file", *headers)


class TestWhole:
    def test_bytes_and_headers(self, server: Server, image_id: str, data: bytes) -> None:
        answer = server.download(image_id)
        assert (answer.status, answer.body) == (200, data)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Length"] == str(SIZE)
        assert answer.headers["Content-MD5"] == hashlib.md5(data).hexdigest()
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["ETag"] == f'"{hashlib.sha512(data).hexdigest()}"'
        assert answer.headers["x-openstack-request-id"].startswith("req-")

    def test_head_tells_the_same_without_the_bytes(self, server: Server, image_id: str) -> None:
        whole = server.download(image_id).headers
        with Wire(server) as wire:
            wire.head("HEAD", f"/v2/images/{image_id}/file")
            wire.head("GET", "/versions")
            answer = wire.answer("HEAD")
            assert answer.status == 200
            for name in ("Content-Length", "Content-Type", "Content-MD5", "ETag", "Accept-Ranges"):
                assert answer.headers[name] == whole[name]
            assert wire.answer().json["versions"]

    @pytest.mark.parametrize("name", ["Range", "Content-Range"])
    def test_head_knows_no_ranges(self, server: Server, image_id: str, name: str) -> None:
        for asked in ("bytes=0-9", "nonsense"):
            path = f"/v2/images/{image_id}/file"
            answer = server.request("HEAD", path, headers={name: asked})
            assert (answer.status, answer.headers["Content-Length"]) == (200, str(SIZE))
            assert answer.headers["Content-Range"] is None

    def test_one_after_the_other_on_one_connection(
        self, server: Server, image_id: str, data: bytes
    ) -> None:
        with Wire(server) as wire:
            for _ in range(3):
                get(wire, image_id)
            for _ in range(3):
                assert wire.answer().body == data

    @pytest.mark.parametrize("size", [0, 1, MIB])
    def test_other_sizes(self, server: Server, size: int) -> None:
        body = data_of(size)
        answer = server.download(server.image(body))
        assert (answer.status, answer.body) == (200, body)

    def test_image_without_data(self, server: Server) -> None:
        image_id = server.create()
        for method in ("GET", "HEAD"):
            answer = server.request(method, f"/v2/images/{image_id}/file")
            assert (answer.status, answer.body) == (204, b"")

    def test_image_that_is_not_there(self, server: Server) -> None:
        assert server.download("11111111-2222-4333-8444-555555555555").status == 404

    def test_deactivated_image_is_for_administrators(self, server: Server, data: bytes) -> None:
        image_id = server.image(data)
        path = f"/v2/images/{image_id}/actions/deactivate"
        assert server.request("POST", path).status == 204
        # Without authentication everybody is one.
        assert server.download(image_id).body == data

    def test_sixteen_readers_at_once(
        self, server: Server, large_image: str, large_data: bytes
    ) -> None:
        with ThreadPoolExecutor(16) as threads:
            found = threads.map(
                lambda _: server.download(large_image).body == large_data, range(16)
            )
            assert all(found)


class TestRanges:
    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [
            ("bytes=0-0", 0, 0),
            ("bytes=0-99", 0, 99),
            (f"bytes={SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE - 1),
            (f"bytes={MIB - 1}-{2 * MIB}", MIB - 1, 2 * MIB),
            (f"bytes={SIZE - 10}-", SIZE - 10, SIZE - 1),
            ("bytes=0-", 0, SIZE - 1),
            ("bytes=-1", SIZE - 1, SIZE - 1),
            ("bytes=-1000", SIZE - 1000, SIZE - 1),
            (f"bytes=-{2 * SIZE}", 0, SIZE - 1),
            (f"bytes=100-{10 * SIZE}", 100, SIZE - 1),
        ],
    )
    def test_part(
        self, server: Server, image_id: str, data: bytes, asked: str, first: int, last: int
    ) -> None:
        answer = server.download(image_id, Range=asked)
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
        assert answer.headers["Content-Length"] == str(last - first + 1)
        assert answer.body == data[first : last + 1]

    @pytest.mark.parametrize(
        ("asked", "status"),
        [
            (f"bytes={SIZE}-", 416),
            (f"bytes={SIZE + 5}-{SIZE + 9}", 416),
            ("bytes=5-1", 416),
            ("bytes=x-y", 416),
            ("bytes=-0", 416),
            ("bytes=0-1,5-9", 400),
        ],
    )
    def test_refused(self, server: Server, image_id: str, asked: str, status: int) -> None:
        assert server.download(image_id, Range=asked).status == status

    def test_image_put_together_from_its_parts(
        self, server: Server, image_id: str, data: bytes
    ) -> None:
        step = 500_001
        with Wire(server) as wire:
            got = b""
            for start in range(0, SIZE, step):
                get(wire, image_id, f"Range: bytes={start}-{start + step - 1}")
                got += wire.answer().body
        assert got == data


class TestConditions:
    def etag(self, data: bytes) -> str:
        return f'"{hashlib.sha512(data).hexdigest()}"'

    def test_data_that_the_client_has(self, server: Server, image_id: str, data: bytes) -> None:
        for tag in (self.etag(data), f'"other", W/{self.etag(data)}', "*"):
            answer = server.download(image_id, **{"If-None-Match": tag})
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["ETag"] == self.etag(data)
            assert answer.headers["Content-Length"] is None

    def test_connection_goes_on_after_it(self, server: Server, image_id: str, data: bytes) -> None:
        with Wire(server) as wire:
            get(wire, image_id, f"If-None-Match: {self.etag(data)}")
            get(wire, image_id)
            assert wire.answer().status == 304
            assert wire.answer().body == data

    def test_other_data(self, server: Server, image_id: str, data: bytes) -> None:
        assert server.download(image_id, **{"If-None-Match": '"other"'}).body == data

    def test_part_of_the_same_data(self, server: Server, image_id: str, data: bytes) -> None:
        headers = {"Range": "bytes=5-9", "If-Range": self.etag(data)}
        answer = server.download(image_id, **headers)
        assert (answer.status, answer.body) == (206, data[5:10])

    def test_part_of_other_data_gets_all(self, server: Server, image_id: str, data: bytes) -> None:
        answer = server.download(image_id, **{"Range": "bytes=5-9", "If-Range": '"other"'})
        assert (answer.status, answer.body) == (200, data)


class TestReaders:
    def test_slow_one_gets_every_byte(
        self, server: Server, large_image: str, large_data: bytes
    ) -> None:
        with Wire(server, receive_buffer=8192) as wire:
            get(wire, large_image)
            assert wire.answered()[0] == 200
            got = wire.read(100_000)
            # It waits, long enough for others to be served.
            other = server.image(b"another's")
            assert server.download(other).body == b"another's"
            got += wire.read(1_000_000)
            assert server.download(other).body == b"another's"
            got += wire.read(LARGE - len(got))
        assert got == large_data

    def test_image_deleted_under_the_reader(
        self, server: Server, large_image: str, large_data: bytes
    ) -> None:
        with Wire(server, receive_buffer=8192) as wire:
            get(wire, large_image)
            wire.answered()
            assert server.request("DELETE", f"/v2/images/{large_image}").status == 204
            assert server.stored(large_image) == []
            assert wire.read(LARGE) == large_data

    @pytest.mark.parametrize("reset", [True, False])
    def test_vanishing_ones_leave_nothing_open(
        self, server: Server, large_image: str, reset: bool
    ) -> None:
        for _ in range(5):
            with Wire(server, receive_buffer=8192) as wire:
                get(wire, large_image)
                assert wire.answered()[0] == 200
                wire.read(10)
                if reset:
                    wire.socket.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
        eventually(lambda: len(server.descriptors()) == server.idle, "nothing left open")
        assert server.request("GET", "/v2/images").status == 200

    def test_one_that_vanished_before_the_answer(self, server: Server, large_image: str) -> None:
        for _ in range(5):
            with Wire(server) as wire:
                get(wire, large_image)
        eventually(lambda: len(server.descriptors()) == server.idle, "nothing left open")


class TestDamage:
    """Data that is not what it was never passes for an image."""

    def test_cut_off_under_the_reader(
        self, server: Server, large_image: str, large_data: bytes
    ) -> None:
        with Wire(server, receive_buffer=8192) as wire:
            get(wire, large_image)
            status, headers = wire.answered()
            assert (status, headers["Content-Length"]) == (200, str(LARGE))
            os.truncate(server.images / large_image, LARGE // 2)
            got = wire.read(LARGE)
            assert len(got) < LARGE
            assert wire.ended()
        assert large_data.startswith(got)

    @pytest.mark.parametrize("length", [0, 500, SIZE - 1, SIZE + 1])
    def test_of_another_length(self, server: Server, data: bytes, length: int) -> None:
        image_id = server.image(data)
        os.truncate(server.images / image_id, length)
        for headers in ({}, {"Range": "bytes=0-9"}):
            answer = server.download(image_id, **headers)
            assert answer.status >= 500
            assert b"state/images" not in answer.body

    def test_gone(self, server: Server, data: bytes) -> None:
        image_id = server.image(data)
        os.unlink(server.images / image_id)
        answer = server.download(image_id)
        assert answer.status != 200
        assert b"state/images" not in answer.body
