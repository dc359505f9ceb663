"""The image cache as those meet it who download, and those who manage it over HTTP."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cloud import CALLERS, DATA, UNKNOWN, Cloud
from tests.functional.configured import ConfiguredServer
from tests.functional.conftest import Refused
from tests.functional.server import Answer, Server, eventually

URL = "http://node.example:9292"
#: Large enough to be sent in several pieces.
BYTES = b"".join(hashlib.sha512(str(n).encode()).digest() for n in range(20_000))
SIZE = len(BYTES)

DRIVERS: dict[str, dict[str, object]] = {
    "sqlite": {"image_cache_driver": "sqlite"},
    "centralized_db": {"worker_self_reference_url": URL},
}


class Node(Server):
    """A service with a cache.

    :param settings: options of ``[DEFAULT]``.
    :param flavor: of ``[paste_deploy]``.
    """

    def __init__(
        self,
        settings: dict[str, object] | None = None,
        *,
        flavor: str = "",
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__(settings=settings, arguments=tuple(arguments))
        self.cache = self.state / "cache"
        self.configure({"DEFAULT": {"image_cache_dir": self.cache}})
        if flavor:
            self.configure({"paste_deploy": {"flavor": flavor}})

    def listed(self) -> dict[str, Any]:
        answer = self.request("GET", "/v2/cache")
        assert answer.status == 200, answer
        return dict(answer.json)

    def cached(self) -> dict[str, Any]:
        """What is told of each copy, by image."""
        return {item["image_id"]: item for item in self.listed()["cached_images"]}

    def warm(self, image_id: str) -> None:
        """Download an image, and wait until there is a copy."""
        assert self.download(image_id).status == 200
        self.await_copy(image_id)

    def await_copy(self, image_id: str) -> None:
        eventually(lambda: image_id in self.cached(), f"image {image_id} is cached")

    def has(self, image_id: str) -> bool:
        return (self.cache / image_id).exists()


def _serve(node: Node) -> Iterator[Node]:
    with node:
        yield node
        assert node.trouble() == []


@pytest.fixture(
    scope="module",
    params=[(driver, workers) for driver in DRIVERS for workers in (0, 2)],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """A node of one process or of several, with its book in one place or another."""
    driver, workers = request.param
    yield from _serve(Node(DRIVERS[driver], arguments=("--workers", str(workers))))


@pytest.fixture
def empty(node: Node) -> Node:
    """That node, with nothing in its cache."""
    assert node.request("DELETE", "/v2/cache").status == 204
    return node


@pytest.fixture(scope="module")
def old_node() -> Iterator[Node]:
    """A node with the routes of old."""
    yield from _serve(Node(DRIVERS["sqlite"], flavor="cachemanagement"))


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A service with a cache, and people who may do this or that."""
    with Cloud(cache=True) as cloud:
        yield cloud
        assert cloud.server.trouble() == []


class TestRoutes:
    def test_what_was_downloaded_is_listed(self, empty: Node) -> None:
        before = time.time()
        image_id = empty.image(BYTES)
        assert empty.listed() == {"cached_images": [], "queued_images": []}
        empty.warm(image_id)
        item = empty.cached()[image_id]
        assert before - 1 <= item["last_accessed"] <= time.time() + 1
        assert before - 1 <= item["last_modified"] <= time.time() + 1
        assert isinstance(item["last_accessed"], float)
        shared = "worker_self_reference_url" in _settings(empty)
        assert set(item) - {"id", "checksum"} == {
            "image_id", "hits", "last_accessed", "last_modified", "size",
        }  # fmt: skip
        assert ("id" in item, "checksum" in item) == (shared, shared)
        assert (item["size"], item["hits"]) == (SIZE, 0)
        assert (empty.cache / image_id).read_bytes() == BYTES

    def test_the_copy_is_what_is_sent(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        empty.warm(image_id)
        (empty.images / image_id).unlink()
        assert empty.download(image_id).body == BYTES
        assert empty.request("DELETE", f"/v2/cache/{image_id}").status == 204
        assert empty.download(image_id).status == 204

    def test_hits_are_counted(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        empty.warm(image_id)

        def hits() -> int:
            # A copy is there a moment before all processes and the index know of it.
            assert empty.download(image_id).body == BYTES
            return int(empty.cached()[image_id]["hits"])

        before = empty.cached()[image_id]
        eventually(lambda: hits() >= 3, "hits are counted")
        assert empty.cached()[image_id]["last_accessed"] > before["last_accessed"]

    def test_queued_images_are_cached(self, empty: Node) -> None:
        ids = [empty.image(BYTES) for _ in range(3)]
        for image_id in ids:
            answer = empty.request("PUT", f"/v2/cache/{image_id}")
            assert (answer.status, answer.body) == (202, b"")
        for image_id in ids:
            empty.await_copy(image_id)
            assert (empty.cache / image_id).read_bytes() == BYTES
        eventually(lambda: not empty.listed()["queued_images"], "the queue is empty")

    def test_what_cannot_be_queued(self, empty: Node) -> None:
        image_id = empty.create()
        answer = empty.request("PUT", f"/v2/cache/{image_id}")
        assert answer.status == 400
        assert b"active" in answer.body
        for name in (UNKNOWN, "abc"):
            assert empty.request("PUT", f"/v2/cache/{name}").status == 404
        assert empty.listed()["queued_images"] == []

    def test_copies_are_removed(self, empty: Node) -> None:
        kept, removed = empty.image(BYTES), empty.image(BYTES)
        empty.warm(kept)
        empty.warm(removed)
        answer = empty.request("DELETE", f"/v2/cache/{removed}")
        assert (answer.status, answer.body) == (204, b"")
        assert set(empty.cached()) == {kept}
        assert not empty.has(removed)
        # Nothing to be done is as good.
        assert empty.request("DELETE", f"/v2/cache/{removed}").status == 204
        assert empty.request("DELETE", f"/v2/cache/{UNKNOWN}").status == 404
        assert empty.download(removed).body == BYTES
        empty.await_copy(removed)

    def test_copies_of_deleted_images(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        empty.warm(image_id)
        assert empty.request("DELETE", f"/v2/images/{image_id}").status == 204
        eventually(lambda: not empty.has(image_id), "the copy is gone")
        assert empty.cached() == {}
        # Such as another node's API would leave.
        (empty.cache / UNKNOWN).write_bytes(BYTES)
        assert empty.request("DELETE", f"/v2/cache/{UNKNOWN}").status == 204
        assert not empty.has(UNKNOWN)

    def test_clear(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        header = "X-Image-Cache-Clear-Target"
        for target, left in (("queue", True), ("cache", False), ("", False), (None, False)):
            empty.warm(image_id)
            headers = {} if target is None else {header: target}
            answer = empty.request("DELETE", "/v2/cache", headers=headers)
            assert (answer.status, answer.body) == (204, b"")
            assert empty.has(image_id) == left
        empty.warm(image_id)
        assert empty.request("DELETE", "/v2/cache", headers={header: "all"}).status == 400
        assert empty.has(image_id)

    def test_clean(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        empty.warm(image_id)
        (empty.cache / "invalid" / UNKNOWN).write_bytes(b"broken")
        stale = empty.cache / "incomplete" / UNKNOWN
        stale.write_bytes(b"half")
        os.utime(stale, (1, 1))
        answer = empty.request("POST", "/v2/cache/clean")
        assert (answer.status, answer.body) == (200, b"")
        assert list((empty.cache / "invalid").iterdir()) == []
        assert not stale.exists()
        assert set(empty.cached()) == {image_id}

    def test_prune_of_what_is_not_too_much(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        empty.warm(image_id)
        answer = empty.request("POST", "/v2/cache/prune")
        assert answer.json == {"total_files_pruned": 0, "total_bytes_pruned": 0}
        assert empty.has(image_id)

    def test_nodes(self, empty: Node) -> None:
        image_id, other = empty.image(BYTES), empty.image(BYTES)
        empty.warm(image_id)
        answer = empty.request("GET", f"/v2/cache/nodes/{image_id}")
        if "worker_self_reference_url" not in _settings(empty):
            assert answer.status == 409
            return
        assert answer.status == 200
        path = f"/v2/cache/nodes/{image_id}"
        eventually(lambda: empty.request("GET", path).json == [URL], "the node is told")
        assert empty.request("GET", f"/v2/cache/nodes/{other}").json == []
        assert empty.request("GET", f"/v2/cache/nodes/{UNKNOWN}").status == 404

    def test_ranges(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        for _ in range(2):
            answer = empty.download(image_id, Range="bytes=1000000-1000009")
            assert (answer.status, answer.body) == (206, BYTES[1_000_000:1_000_010])
            assert answer.headers["Content-Range"] == f"bytes 1000000-1000009/{SIZE}"
            empty.warm(image_id)

    def test_heads_are_the_same(self, empty: Node) -> None:
        image_id = empty.image(BYTES)
        heads = []
        for _ in range(2):
            answer = empty.download(image_id)
            assert answer.body == BYTES
            heads.append({k: v for k, v in answer.headers.items() if k in _TELLING})
            empty.await_copy(image_id)
        assert heads[0] == heads[1]
        assert heads[0]["Content-Length"] == str(SIZE)


_TELLING = {"Content-Length", "Content-Type", "Content-MD5", "ETag", "Accept-Ranges"}


def _settings(node: Node) -> set[str]:
    return {
        name.removeprefix("OS_DEFAULT__").lower()
        for name in node._env
        if name.startswith("OS_DEFAULT__")
    }


def test_prune() -> None:
    """The limit was lowered."""
    node = Node({"image_cache_driver": "sqlite", "cache_upkeep": False})
    with node:
        ids = [node.image(BYTES) for _ in range(3)]
        for image_id in ids:
            node.warm(image_id)

        def hits() -> int:
            assert node.download(ids[0]).status == 200
            return int(node.cached()[ids[0]]["hits"])

        eventually(lambda: hits() > 0, "a hit is counted")
        assert [item["image_id"] for item in node.listed()["cached_images"]][0] == ids[0]
        node.stop()
        node.configure({"DEFAULT": {"image_cache_max_size": SIZE}})
        node.start()
        answer = node.request("POST", "/v2/cache/prune")
        assert answer.json == {"total_files_pruned": 2, "total_bytes_pruned": 2 * SIZE}
        assert set(node.cached()) == {ids[0]}
        assert node.trouble() == []


def test_two_nodes() -> None:
    """One catalogue, two directories."""
    first, second = "http://one.example", "http://two.example"
    with Node({"worker_self_reference_url": first}) as one:
        other = Node({"worker_self_reference_url": second})
        other.configure(
            {
                "database": {"connection": f"sqlite:///{one.state}/glance.sqlite"},
                "glance_store": {"filesystem_store_datadir": one.images},
            }
        )

        def both_say(image_id: str, *nodes: str) -> None:
            # A copy is there a moment before it is recorded.
            path = f"/v2/cache/nodes/{image_id}"
            eventually(
                lambda: all(node.request("GET", path).json == [*nodes] for node in (one, other)),
                f"both tell of {nodes}",
            )

        with other:
            image_id = one.image(BYTES)
            one.warm(image_id)
            both_say(image_id, first)
            assert other.cached() == {}
            other.warm(image_id)
            both_say(image_id, first, second)
            assert one.request("DELETE", f"/v2/cache/{image_id}").status == 204
            both_say(image_id, second)
            assert set(other.cached()) == {image_id}
            assert other.trouble() == []
        assert one.trouble() == []


class TestRoutesOfOld:
    def test_copies(self, old_node: Node) -> None:
        ids = [old_node.image(BYTES) for _ in range(2)]
        for image_id in ids:
            old_node.warm(image_id)
        answer = old_node.request("GET", "/v2/cached_images")
        assert answer.json == {"cached_images": old_node.listed()["cached_images"]}
        assert set(answer.json["cached_images"][0]) == {
            "image_id", "hits", "last_accessed", "last_modified", "size",
        }  # fmt: skip
        for _ in range(2):
            answer = old_node.request("DELETE", f"/v2/cached_images/{ids[0]}")
            assert (answer.status, answer.json) == (200, None)
        assert not old_node.has(ids[0])
        assert old_node.request("DELETE", "/v2/cached_images").json == {"num_deleted": 1}
        assert not old_node.has(ids[1])

    def test_wishes(self, old_node: Node) -> None:
        image_id = old_node.image(BYTES)
        answer = old_node.request("PUT", f"/v2/queued_images/{image_id}")
        assert (answer.status, answer.json) == (200, None)
        old_node.await_copy(image_id)
        # What is no image is taken, and forgotten.
        for name in (UNKNOWN, "abc"):
            assert old_node.request("PUT", f"/v2/queued_images/{name}").status == 200
        queued = "/v2/queued_images"
        eventually(lambda: not old_node.request("GET", queued).json["queued_images"], "is empty")
        assert old_node.request("DELETE", f"{queued}/{UNKNOWN}").json is None
        assert old_node.request("DELETE", queued).json == {"num_deleted": 0}

    def test_other_methods(self, old_node: Node) -> None:
        for method in ("POST", "PUT", "PATCH", "HEAD"):
            assert old_node.request(method, "/v2/cached_images").status == 404
            assert old_node.request(method, "/v2/queued_images").status == 404
        for method in ("GET", "POST", "PUT"):
            assert old_node.request(method, f"/v2/cached_images/{UNKNOWN}").status == 404

    def test_only_where_the_flavor_asks_for_them(self) -> None:
        with Node(DRIVERS["sqlite"], flavor="caching") as node:
            for path in ("cached_images", "queued_images"):
                assert node.request("GET", f"/v2/{path}").status == 404
            assert node.listed() == {"cached_images": [], "queued_images": []}


class TestVersions:
    def minors(self, server: Server) -> list[str]:
        answer = server.request("GET", "/versions")
        return [version["id"] for version in answer.json["versions"]]

    def test_with_a_cache(self, old_node: Node) -> None:
        found = self.minors(old_node)
        assert found[0] == "v2.18"
        assert {"v2.14", "v2.16"} < set(found)
        assert old_node.request("GET", "/v2.16/cache").status == 200

    def test_without(self, server: Server) -> None:
        assert not {"v2.14", "v2.16", "v2.18"} & set(self.minors(server))
        assert server.request("GET", "/v2/cache").status == 404
        assert server.request("GET", "/v2/cached_images").status == 404


class TestGate:
    """Whether there is a copy makes no difference to who may have the data."""

    #: What each caller gets: the image of a project that nobody else may see.
    STATUSES = dict(zip(CALLERS, (200, 200, 403, 404, 404, 404, 401), strict=True))

    def download(self, cloud: Cloud, who: str, image_id: str, **headers: str) -> Answer:
        return cloud.call(who, "GET", f"/v2/images/{image_id}/file", None, headers)

    def cached(self, cloud: Cloud, **fields: Any) -> str:
        """An image that there is a copy of."""
        image_id = cloud.image(**fields)
        assert self.download(cloud, "member", image_id).body == DATA
        eventually(lambda: self.copy(cloud, image_id).exists(), "the image is cached")
        return image_id

    @staticmethod
    def copy(cloud: Cloud, image_id: str) -> Path:
        return cloud.server.state / "cache" / image_id

    @pytest.mark.parametrize("who", CALLERS)
    @pytest.mark.parametrize("cached", [False, True])
    @pytest.mark.parametrize("wanted", [{}, {"Range": "bytes=1-2"}], ids=["whole", "range"])
    def test_private(self, cloud: Cloud, who: str, cached: bool, wanted: dict[str, str]) -> None:
        image_id = self.cached(cloud) if cached else cloud.image()
        answer = self.download(cloud, who, image_id, **wanted)
        expected = self.STATUSES[who]
        assert answer.status == (206 if wanted and expected == 200 else expected)
        if expected != 200:
            assert DATA not in answer.body
        if not cached and expected != 200:
            assert not self.copy(cloud, image_id).exists()

    @pytest.mark.parametrize("wanted", [{}, {"Range": "bytes=1-2"}], ids=["whole", "range"])
    def test_deactivated(self, cloud: Cloud, wanted: dict[str, str]) -> None:
        image_id = self.cached(cloud)
        path = f"/v2/images/{image_id}/actions"
        assert cloud.call("member", "POST", f"{path}/deactivate").status == 204
        assert self.download(cloud, "member", image_id, **wanted).status == 403
        assert self.copy(cloud, image_id).exists()
        assert cloud.call("member", "POST", f"{path}/reactivate").status == 204
        assert self.download(cloud, "member", image_id).body == DATA

    def test_deleted(self, cloud: Cloud) -> None:
        image_id = self.cached(cloud)
        assert cloud.call("member", "DELETE", f"/v2/images/{image_id}").status == 204
        assert self.download(cloud, "member", image_id).status == 404
        eventually(lambda: not self.copy(cloud, image_id).exists(), "the copy is gone")

    def test_no_longer_shared(self, cloud: Cloud) -> None:
        image_id = self.cached(cloud)
        cloud.share(image_id)
        assert self.download(cloud, "other project", image_id).status == 200
        path = f"/v2/images/{image_id}/members/p2"
        assert cloud.call("member", "DELETE", path).status == 204
        assert self.download(cloud, "other project", image_id).status == 404

    def test_conditions(self, cloud: Cloud) -> None:
        image_id = self.cached(cloud)
        tag = self.download(cloud, "member", image_id).headers["ETag"]
        assert self.download(cloud, "member", image_id, **{"If-None-Match": tag}).status == 304
        assert self.download(cloud, "reader", image_id, **{"If-None-Match": tag}).status == 403

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v2/cache"),
            ("DELETE", "/v2/cache"),
            ("DELETE", "/v2/cache/{}"),
            ("POST", "/v2/cache/clean"),
            ("POST", "/v2/cache/prune"),
            ("GET", "/v2/cache/nodes/{}"),
            ("GET", "/v2/cached_images"),
            ("DELETE", "/v2/cached_images"),
            ("DELETE", "/v2/cached_images/{}"),
            ("DELETE", "/v2/queued_images"),
        ],
    )
    def test_management_is_for_administrators(self, cloud: Cloud, method: str, path: str) -> None:
        image_id = self.cached(cloud)
        for who, status in (("member", 403), ("anonymous", 401)):
            assert cloud.call(who, method, path.format(image_id)).status == status
        assert self.copy(cloud, image_id).exists()

    def test_rules_of_the_operators_own(self) -> None:
        with Cloud(cache=True) as cloud:
            image_id = self.cached(cloud)
            policy = cloud.server.home / "policy.yaml"
            policy.write_text('"cache_list": "role:member"\n"download_image": "role:service"\n')
            cloud.server.stop()
            cloud.server.configure({"oslo_policy": {"policy_file": policy}})
            cloud.server.start()
            assert cloud.call("member", "GET", "/v2/cache").status == 200
            assert cloud.call("member", "DELETE", "/v2/cache").status == 403
            assert self.copy(cloud, image_id).exists()
            assert self.download(cloud, "member", image_id).status == 403


def test_turned_on_by_a_reload() -> None:
    server = ConfiguredServer({"workers": 0})
    cache = server.state / "cache"
    with server:
        image_id = server.image(BYTES)
        assert server.request("GET", "/v2/cache").status == 404
        server.write(image_cache_dir=server.images)
        server.reload()
        assert "image_cache_dir" in server.log_text()
        assert server.request("GET", "/v2/cache").status == 404
        server.write(image_cache_dir=cache)
        server.reload()
        assert server.request("PUT", f"/v2/cache/{image_id}").status == 202
        eventually(lambda: (cache / image_id).exists(), "the image is cached")
        assert server.trouble() == []


class TestStart:
    @pytest.mark.parametrize("flavor", ["caching", "cachemanagement"])
    def test_flavor_without_a_directory(self, refused: Refused, flavor: str) -> None:
        said = refused(paste_deploy__flavor=flavor)
        assert f"[paste_deploy]flavor = {flavor}" in said
        assert "[DEFAULT]image_cache_dir" in said

    def test_driver_without_a_url(self, refused: Refused, tmp_path: Path) -> None:
        said = refused(image_cache_dir=tmp_path / "c", image_cache_driver="centralized_db")
        assert "[DEFAULT]image_cache_driver" in said
        assert "[DEFAULT]worker_self_reference_url" in said
        assert not (tmp_path / "c").exists()

    @pytest.mark.parametrize("place", ["state/images", "state/images/cache"])
    def test_directory_of_a_store(self, refused: Refused, tmp_path: Path, place: str) -> None:
        said = refused(image_cache_dir=tmp_path / place)
        assert "[DEFAULT]image_cache_dir" in said
        assert "store" in said

    def test_directory_that_cannot_be_used(self, refused: Refused, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        said = refused(image_cache_dir=tmp_path / "file")
        assert said.startswith("[DEFAULT]image_cache_dir")
