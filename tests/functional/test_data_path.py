"""Uploads over real sockets: every form, and everything that can go wrong on the way."""

import contextlib
import hashlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.server import OCTETS, Server, eventually
from tests.functional.wire import MIB, Wire, begun, data_of, pieces_of

CHUNKED = "Transfer-Encoding: chunked"
UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def capped_server() -> Iterator[Server]:
    """A service whose images may have 3 MiB."""
    with Server(settings={"image_size_cap": 3 * MIB}) as server:
        yield server
        assert server.trouble() == []


def check_stored(server: Server, image_id: str, data: bytes) -> None:
    shown = server.show(image_id)
    assert (shown["status"], shown["size"]) == ("active", len(data))
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["os_hash_algo"] == "sha512"
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert server.stored(image_id) == [image_id]
    downloaded = server.download(image_id).body
    assert hashlib.sha512(downloaded).digest() == hashlib.sha512(data).digest()


def check_usable(server: Server, image_id: str) -> None:
    """The image is queued with nothing of it stored, and a new upload succeeds."""
    server.await_status(image_id, "queued")
    assert server.stored(image_id) == []
    assert server.show(image_id)["size"] is None
    data = data_of(12_345)
    assert server.upload(image_id, data).status == 204
    check_stored(server, image_id, data)


class TestForms:
    @pytest.mark.parametrize(
        "size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 12_345, 9 * MIB, 17 * MIB + 1]
    )
    def test_with_a_length(self, server: Server, size: int) -> None:
        image_id = server.create()
        data = data_of(size)
        answer = server.upload(image_id, data)
        assert (answer.status, answer.body) == (204, b"")
        check_stored(server, image_id, data)

    @pytest.mark.parametrize(
        ("chunk", "size"),
        [
            (1, 0),
            (1, 3000),
            (64 * 1024, MIB - 1),
            (64 * 1024, MIB),
            (64 * 1024, 3 * MIB + 12_345),
            (MIB, 10 * MIB),
            (MIB + 1, 10 * MIB + 7),
            (4 * MIB, 13 * MIB + 1),
            (64 * MIB, 64 * MIB),
        ],
    )
    def test_chunked(self, server: Server, chunk: int, size: int) -> None:
        image_id = server.create()
        data = data_of(size)
        path = f"/v2/images/{image_id}/file"
        assert server.request("PUT", path, pieces_of(data, chunk), OCTETS).status == 204
        check_stored(server, image_id, data)

    def test_chunks_with_extensions_and_a_trailer(self, server: Server) -> None:
        image_id = server.create()
        with Wire(server) as wire:
            wire.put(image_id, CHUNKED)
            wire.send(b"5;name=value\r\nhello\r\n0\r\nX-Trailer: yes\r\n\r\n")
            assert wire.answer().status == 204
        check_stored(server, image_id, b"hello")

    def test_declared_size_that_is_true(self, server: Server) -> None:
        image_id = server.create()
        path = f"/v2/images/{image_id}/file"
        headers = {**OCTETS, "X-OpenStack-Image-Size": "5"}
        assert server.request("PUT", path, iter([b"he", b"llo"]), headers).status == 204
        check_stored(server, image_id, b"hello")

    def test_requests_that_follow_on_the_same_connection(self, server: Server) -> None:
        image_id = server.create()
        data = data_of(2 * MIB + 1)
        with Wire(server) as wire:
            wire.put(image_id, f"Content-Length: {len(data)}")
            wire.send(data)
            wire.head("GET", f"/v2/images/{image_id}")
            wire.head("GET", f"/v2/images/{image_id}/file")
            wire.head("GET", f"/v2/images/{UNKNOWN}")
            assert wire.answer().status == 204
            assert wire.answer().json["status"] == "active"
            assert wire.answer().body == data
            assert wire.answer().status == 404
            # And in chunks, over the connection that is still open.
            second = server.create()
            wire.put(second, CHUNKED)
            wire.chunk(data)
            wire.send(b"0\r\n\r\n")
            assert wire.answer().status == 204
        check_stored(server, second, data)

    def test_memory_stays_bounded(self, fresh_server: Server) -> None:
        """A client faster than the store is held back, whatever the size of the image."""
        server = fresh_server
        assert server.upload(server.create(), bytes(20 * MIB)).status == 204
        server.forget_peak()
        before = server.resident()
        image_id = server.create()
        pieces = (bytes(4 * MIB) for _ in range(128))
        answer = server.request("PUT", f"/v2/images/{image_id}/file", pieces, OCTETS)
        assert answer.status == 204
        assert server.show(image_id)["size"] == 512 * MIB
        assert server.resident() - before < 64 * MIB


def refusals(server: Server) -> list[tuple[int, str, list[str]]]:
    """Return uploads that must be refused: status, image, headers."""
    queued = server.create()
    octets = "Content-Type: application/octet-stream"
    length = "Content-Length: 50000000"
    return [
        (404, UNKNOWN, [octets, length]),
        (404, "not-an-id", [octets, CHUNKED]),
        (409, server.image(b"data"), [octets, length]),
        (409, server.image(b"data"), [octets, CHUNKED]),
        (415, queued, ["Content-Type: application/json", length]),
        (415, queued, [length]),
        (413, queued, [octets, f"Content-Length: {2**41}"]),
        (413, queued, [octets, CHUNKED, f"X-OpenStack-Image-Size: {2**41}"]),
        (400, queued, [octets, CHUNKED, "X-OpenStack-Image-Size: many"]),
        (400, queued, [octets, CHUNKED, "X-OpenStack-Image-Size: -1"]),
        (400, queued, [octets, CHUNKED, "X-Image-Meta-Store: elsewhere"]),
        (400, server.create(disk_format=None), [octets, length]),
    ]


class TestRefusals:
    """What is wrong is told from the headers alone."""

    def test_client_that_waits_to_be_asked_is_not_asked(self, server: Server) -> None:
        for status, image_id, headers in refusals(server):
            with Wire(server) as wire:
                path = f"/v2/images/{image_id}/file"
                wire.head("PUT", path, "Expect: 100-continue", *headers)
                answer = wire.answer()
                assert answer.status == status, headers
                assert answer.headers["Connection"] == "close"

    def test_image_stays_as_it_was(self, server: Server) -> None:
        for _, image_id, headers in refusals(server):
            known = server.request("GET", f"/v2/images/{image_id}").body
            with Wire(server) as wire:
                wire.head("PUT", f"/v2/images/{image_id}/file", "Expect: 100-continue", *headers)
                wire.answer()
            assert server.request("GET", f"/v2/images/{image_id}").body == known

    @pytest.mark.parametrize("form", ["Content-Length: 5", CHUNKED])
    def test_client_that_waits_to_be_asked_is_asked(self, server: Server, form: str) -> None:
        image_id = server.create()
        with Wire(server) as wire:
            wire.put(image_id, form, "Expect: 100-continue")
            status, headers = wire.answered()
            assert (status, len(headers)) == (100, 0)
            wire.send(b"hello" if "Length" in form else b"5\r\nhello\r\n0\r\n\r\n")
            assert wire.answer().status == 204
        check_stored(server, image_id, b"hello")

    def test_client_that_does_not_wait_gets_to_read_the_answer(self, server: Server) -> None:
        body = bytes(50_000_000)
        for status, image_id, headers in refusals(server):
            if not any(header.startswith("Content-Length: 5") for header in headers):
                continue
            with Wire(server) as wire:
                wire.head("PUT", f"/v2/images/{image_id}/file", *headers)
                # All of it, before looking at what the server has to say.
                wire.send(body)
                assert wire.answer().status == status
                assert wire.ended()

    def test_http_client_reads_the_answer(self, server: Server) -> None:
        assert server.upload(UNKNOWN, bytes(50_000_000)).status == 404
        pieces = (bytes(MIB) for _ in range(50))
        path = f"/v2/images/{UNKNOWN}/file"
        assert server.request("PUT", path, pieces, OCTETS).status == 404

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    @pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
    def test_curl_reads_the_answer(self, server: Server, expect: str) -> None:
        url = f"{server.url}/v2/images/{UNKNOWN}/file"
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", url]
        command += ["-H", expect, "-H", "Content-Type: application/octet-stream", "-T", "-"]
        ran = subprocess.run(command, input=bytes(50_000_000), capture_output=True, check=False)
        assert (ran.stdout, ran.stderr) == (b"404", b"")

    @pytest.mark.parametrize("size", [3 * MIB + 1, 20 * MIB])
    def test_cap_crossed_on_the_way(self, capped_server: Server, size: int) -> None:
        image_id = capped_server.create()
        pieces = pieces_of(bytes(size), 64 * 1024)
        path = f"/v2/images/{image_id}/file"
        assert capped_server.request("PUT", path, pieces, OCTETS).status == 413
        check_usable(capped_server, image_id)

    def test_cap_itself_is_allowed(self, capped_server: Server) -> None:
        data = data_of(3 * MIB)
        check_stored(capped_server, capped_server.image(data), data)
        assert capped_server.upload(capped_server.create(), data + b"x").status == 413


class TestBreakingOff:
    @pytest.mark.parametrize("form", [["Content-Length: 3000000"], []])
    def test_client_that_goes_away(self, server: Server, form: list[str]) -> None:
        image_id = server.create()
        with begun(server, image_id, *form):
            pass
        check_usable(server, image_id)

    def test_client_that_goes_away_before_the_last_byte(self, server: Server) -> None:
        image_id = server.create()
        with begun(server, image_id, f"Content-Length: {MIB + 1}"):
            pass
        check_usable(server, image_id)

    def test_client_that_goes_away_before_the_last_chunk(self, server: Server) -> None:
        image_id = server.create()
        with begun(server, image_id) as wire:
            wire.chunk(b"all the data, but no end")
        check_usable(server, image_id)

    @pytest.mark.parametrize("declared", [MIB - 1, MIB + 1])
    @pytest.mark.parametrize("chunked", [True, False])
    def test_another_length_than_declared(
        self, server: Server, declared: int, chunked: bool
    ) -> None:
        image_id = server.create()
        body = iter([bytes(MIB)]) if chunked else bytes(MIB)
        headers = {**OCTETS, "X-OpenStack-Image-Size": str(declared)}
        answer = server.request("PUT", f"/v2/images/{image_id}/file", body, headers)
        assert answer.status == 400
        check_usable(server, image_id)

    @pytest.mark.parametrize("nonsense", [b"zz\r\n", b"-5\r\nhello\r\n", b"\r\n", b"5\r\nhello!!"])
    def test_chunk_that_makes_no_sense(self, server: Server, nonsense: bytes) -> None:
        image_id = server.create()
        with begun(server, image_id) as wire:
            wire.send(nonsense)
            assert wire.answered()[0] == 400
        check_usable(server, image_id)


class TestTwoAtOnce:
    def test_second_upload_is_refused_and_the_first_goes_on(self, server: Server) -> None:
        image_id = server.create()
        data = data_of(3 * MIB)
        with begun(server, image_id, f"Content-Length: {len(data)}", data=data[:MIB]) as wire:
            assert server.upload(image_id, b"another's").status == 409
            wire.send(data[MIB:])
            assert wire.answer().status == 204
        check_stored(server, image_id, data)

    def test_one_of_many_wins(self, server: Server) -> None:
        image_id = server.create()
        bodies = [data_of(MIB + number) for number in range(8)]
        with ThreadPoolExecutor(len(bodies)) as threads:
            answers = list(threads.map(lambda body: server.upload(image_id, body), bodies))
        statuses = [answer.status for answer in answers]
        assert sorted(statuses) == [204] + [409] * 7
        check_stored(server, image_id, bodies[statuses.index(204)])

    def test_different_images_do_not_mix(self, server: Server) -> None:
        bodies = {server.create(): data_of(6 * MIB + number) for number in range(8)}

        def upload(image_id: str) -> int:
            path = f"/v2/images/{image_id}/file"
            pieces = pieces_of(bodies[image_id], 100_003)
            return server.request("PUT", path, pieces, OCTETS).status

        with ThreadPoolExecutor(len(bodies)) as threads:
            assert set(threads.map(upload, bodies)) == {204}
        for image_id, data in bodies.items():
            check_stored(server, image_id, data)

    def test_deleted_during_the_upload(self, server: Server) -> None:
        image_id = server.create()
        with begun(server, image_id) as wire:
            assert server.request("DELETE", f"/v2/images/{image_id}").status == 204
            assert server.request("GET", f"/v2/images/{image_id}").status == 404
            # The uploader is told although it neither sends nor ends.
            assert wire.answer().status == 410
        assert server.stored(image_id) == []

    def test_deleted_just_before_the_upload_ends(self, server: Server) -> None:
        image_id = server.create()
        with begun(server, image_id) as wire:
            assert server.request("DELETE", f"/v2/images/{image_id}").status == 204
            wire.send(b"0\r\n\r\n")
            assert wire.answer().status == 410
        eventually(lambda: server.stored(image_id) == [], "nothing left in the store")


class TestHowABodyIsSent:
    """No way to send a body makes an image of something else than that body."""

    @pytest.mark.parametrize(
        ("length", "body"),
        [("Content-Length: 5", b"hello"), (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n")],
    )
    def test_path_in_percent_encoding(self, server: Server, length: str, body: bytes) -> None:
        image_id = server.create()
        with Wire(server) as wire:
            octets = [f"{name}: {value}" for name, value in OCTETS.items()]
            wire.head("PUT", f"/v2/images/{image_id}/fil%65", *octets, length)
            wire.send(body)
            assert wire.answer().status == 204
        assert server.download(image_id).body == b"hello"

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ([], 411),
            (["Transfer-Encoding: identity"], 501),
            (["Transfer-Encoding: identity", "Content-Length: 5"], 501),
            (["Content-Length: " + "9" * 5000], 400),
        ],
    )
    def test_length_that_nobody_knows(
        self, server: Server, headers: list[str], status: int
    ) -> None:
        image_id = server.create()
        with Wire(server) as wire:
            wire.put(image_id, *headers)
            wire.send(b"GET /versions HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(OSError):
                # Or closed already.
                wire.socket.shutdown(socket.SHUT_WR)
            answered, told = wire.answered()
            assert answered == status
            wire.read(int(told.get("Content-Length", 0)))
            assert wire.ended()
        assert server.status(image_id) == "queued"

    def test_empty_image_says_so(self, server: Server) -> None:
        image_id = server.create()
        with Wire(server) as wire:
            wire.put(image_id, "Content-Length: 0")
            assert wire.answer().status == 204
        assert server.show(image_id)["size"] == 0

    def test_client_that_ends_its_sending_gets_its_answer(self, server: Server) -> None:
        image_id = server.create()
        with Wire(server) as wire:
            wire.put(image_id, "Content-Length: 5")
            wire.send(b"hello")
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.answer().status == 204
            assert wire.ended()
        assert server.download(image_id).body == b"hello"
