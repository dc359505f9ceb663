"""Uploads whose client says what the data's digest is."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator

import pytest

from glance.domain.digests import ALGORITHMS, DIGEST_HEADERS
from tests.functional.cloud import DATA, Cloud
from tests.functional.server import OCTETS, Server
from tests.functional.wire import MIB, Wire, begun, data_of, pieces_of

SIZES = [0, 1, 2 * MIB, 5 * MIB + 7]


def stated(data: bytes, *names: str) -> str:
    digests = ((name, hashlib.new(ALGORITHMS[name][0], data).digest()) for name in names)
    return ", ".join(f"{name}=:{b64encode(digest).decode()}:" for name, digest in digests)


def put(server: Server, image_id: str, body: object, digest: str, header: str) -> int:
    path = f"/v2/images/{image_id}/file"
    return server.request("PUT", path, body, {**OCTETS, header: digest}).status


def check_active(server: Server, image_id: str, data: bytes) -> None:
    shown = server.show(image_id)
    assert (shown["status"], shown["size"]) == ("active", len(data))
    # A digest of another kind does not become the image's.
    assert shown["os_hash_algo"] == "sha512"
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert server.download(image_id).body == data


def check_nothing_kept(server: Server, image_id: str) -> None:
    shown = server.show(image_id)
    assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
    assert server.stored(image_id) == []
    data = data_of(1000)
    assert server.upload(image_id, data).status == 204
    check_active(server, image_id, data)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("names", [*((name,) for name in ALGORITHMS), tuple(ALGORITHMS)])
class TestAlgorithms:
    @pytest.mark.parametrize("header", DIGEST_HEADERS)
    def test_data_that_fits(
        self, server: Server, names: tuple[str, ...], size: int, header: str
    ) -> None:
        data = data_of(size)
        image_id = server.create()
        assert put(server, image_id, data, stated(data, *names), header) == 204
        check_active(server, image_id, data)

    @pytest.mark.parametrize("header", DIGEST_HEADERS)
    def test_data_that_does_not(
        self, server: Server, names: tuple[str, ...], size: int, header: str
    ) -> None:
        data = data_of(size)
        image_id = server.create()
        digests = stated(data + b"more", *names)
        answer = server.upload(image_id, data, **{header: digests})
        assert answer.status == 400
        told = answer.body.decode()
        assert header in told
        assert {name for name in ALGORITHMS if name in told} == set(names)
        check_nothing_kept(server, image_id)

    def test_chunked(self, server: Server, names: tuple[str, ...], size: int) -> None:
        data = data_of(size)
        image_id = server.create()
        wrong = stated(data[:-1] + b"?", *names)
        body = pieces_of(data, MIB // 3)
        assert put(server, image_id, body, wrong, "Content-Digest") == 400
        assert server.status(image_id) == "queued"
        assert server.stored(image_id) == []
        body = pieces_of(data, MIB // 3)
        assert put(server, image_id, body, stated(data, *names), "Content-Digest") == 204
        check_active(server, image_id, data)


def test_one_of_several_does_not_fit(server: Server) -> None:
    data = data_of(100)
    image_id = server.create()
    digests = f"{stated(data, 'sha-512', 'md5')}, {stated(b'other', 'sha-256')}"
    answer = server.upload(image_id, data, **{"Content-Digest": digests})
    assert answer.status == 400
    assert "the sha-256 of the header Content-Digest" in answer.body.decode()
    assert "sha-512" not in answer.body.decode()
    check_nothing_kept(server, image_id)


def test_both_headers_count(server: Server) -> None:
    data = data_of(100)
    image_id = server.create()
    fits, other = stated(data, "sha-256"), stated(b"other", "sha-256")
    for first, second in ((fits, other), (other, fits)):
        headers = {"Content-Digest": first, "Repr-Digest": second}
        assert server.upload(image_id, data, **headers).status == 400
    headers = {"Content-Digest": fits, "Repr-Digest": fits}
    assert server.upload(image_id, data, **headers).status == 204
    check_active(server, image_id, data)


def test_several_lines_are_one_header(server: Server) -> None:
    data = data_of(100)
    fits = [f"Content-Digest: {stated(data, name)}" for name in ALGORITHMS]
    wrong = f"Content-Digest: {stated(b'other', 'md5')}"
    for lines, status in (([*fits[:2], wrong], 400), (fits, 204)):
        image_id = server.create()
        with Wire(server) as wire:
            wire.put(image_id, f"Content-Length: {len(data)}", *lines)
            wire.send(data)
            assert wire.answer().status == status
        assert server.status(image_id) == {400: "queued", 204: "active"}[status]


@pytest.mark.parametrize("digests", ["", "sha=:aGk=:", "unixsum=1, crc32c", "a=(1 2);x"])
def test_algorithms_that_nobody_knows(server: Server, digests: str) -> None:
    image_id = server.create()
    assert put(server, image_id, b"data", digests, "Content-Digest") == 204
    check_active(server, image_id, b"data")


@pytest.mark.parametrize("header", DIGEST_HEADERS)
@pytest.mark.parametrize(
    "digests", ["sha-256", "sha-256=:aGk=:", "md5=x", "sha-512=:aGk", "a,", "\xff=1", "a=\xc3\xbc"]
)
def test_refused_before_a_byte_is_read(server: Server, digests: str, header: str) -> None:
    image_id = server.create()
    with Wire(server) as wire:
        wire.put(image_id, f"Content-Length: {MIB}", "Expect: 100-continue", f"{header}: {digests}")
        answer = wire.answer()
    assert answer.status == 400
    assert header in answer.body.decode()
    check_nothing_kept(server, image_id)


def test_quota_is_free_again() -> None:
    data = data_of(1000)
    with Server(settings={"user_storage_quota": "1000"}) as server:
        image_id = server.create(owner="p1")
        for body in (data, pieces_of(data, 300)):
            assert put(server, image_id, body, stated(b"other", "md5"), "Content-Digest") == 400
        another = server.create(owner="p1")
        assert put(server, another, data, stated(data, "md5"), "Content-Digest") == 204
        assert put(server, image_id, b"x", stated(b"x", "md5"), "Content-Digest") == 413
        assert server.trouble() == []


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha3_256"])
def test_whatever_else_is_hashed(algorithm: str) -> None:
    data = data_of(3 * MIB)
    with Server(settings={"hashing_algorithm": algorithm}) as server:
        for name in ALGORITHMS:
            image_id = server.create()
            assert put(server, image_id, data, stated(b"other", name), "Content-Digest") == 400
            assert put(server, image_id, data, stated(data, name), "Content-Digest") == 204
            shown = server.show(image_id)
            assert shown["os_hash_algo"] == algorithm
            assert shown["os_hash_value"] == hashlib.new(algorithm, data).hexdigest()
        assert server.trouble() == []


def test_client_that_goes_away(fresh_server: Server) -> None:
    """What comes too short is told as that, and not as another digest."""
    image_id = fresh_server.create()
    data = data_of(3 * MIB)
    digests = f"Content-Digest: {stated(data, 'sha-256')}"
    with begun(fresh_server, image_id, f"Content-Length: {len(data)}", digests, data=data[:MIB]):
        pass
    fresh_server.await_status(image_id, "queued")
    assert fresh_server.stored(image_id) == []
    assert "does not fit" not in fresh_server.log_text()


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud
        assert cloud.server.trouble() == []


@pytest.mark.parametrize("store", ["fast", "slow"])
def test_any_store(cloud: Cloud, store: str) -> None:
    image_id = cloud.create()
    path = f"/v2/images/{image_id}/file"
    headers = {**OCTETS, "X-Image-Meta-Store": store}
    kept = cloud.server.state / store
    for digests, status in ((stated(b"other", "sha-256"), 400), (stated(DATA, "sha-256"), 204)):
        answer = cloud.call("member", "PUT", path, DATA, {**headers, "Content-Digest": digests})
        assert answer.status == status
        assert [p.name for p in kept.rglob(f"*{image_id}*")] == [image_id] * (status == 204)
    shown = cloud.call("member", "GET", f"/v2/images/{image_id}").json
    assert (shown["status"], shown["stores"]) == ("active", store)


def test_strangers_are_told_nothing_of_it(cloud: Cloud) -> None:
    """Who may not upload to an image gets the same answer whatever the digest is."""
    image_id = cloud.create()
    path = f"/v2/images/{image_id}/file"
    for digests in (stated(b"other", "md5"), stated(DATA, "md5")):
        headers = {**OCTETS, "Content-Digest": digests}
        assert cloud.call("no role", "PUT", path, DATA, headers).status == 404
        assert cloud.call("reader", "PUT", path, DATA, headers).status == 403


def test_clients_find_it_in_the_description(server: Server) -> None:
    document = server.request("GET", "/v2/openapi.json").json
    operation = document["paths"]["/v2/images/{image_id}/file"]["put"]
    parameters = [
        document["components"]["parameters"][reference["$ref"].rpartition("/")[2]]
        for reference in operation["parameters"]
        if "$ref" in reference
    ]
    found = {(parameter["name"], parameter["in"]) for parameter in parameters}
    assert {("Content-Digest", "header"), ("Repr-Digest", "header")} <= found
