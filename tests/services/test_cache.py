"""The image cache of the OpenStack Glance project's service: the same API, the same directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.functional.cloud import UNKNOWN
from tests.functional.server import eventually
from tests.services.adoption import DATA, Ours, Service, ask, create, image
from tests.services.managing import child
from tests.services.original import Original

pytestmark = pytest.mark.service

URL = "http://node1.example:9292"
TARGET = "X-Image-Cache-Clear-Target"

MakeOriginal = Callable[[str], Original]


@pytest.fixture
def make_original(tmp_path: Path, sqlite_url: str) -> Iterator[MakeOriginal]:
    """Starts the project's service with a cache and an index driver."""
    made: list[Original] = []

    def make(driver: str) -> Original:
        original = Original(
            tmp_path / "original",
            sqlite_url,
            flavor="cachemanagement",
            image_cache_driver=driver,
            worker_self_reference_url=URL,
        )
        made.append(original)
        original.binaries()
        original.start()
        return original

    yield make
    for original in made:
        original.stop()


def _cached(service: Service) -> dict[str, Any]:
    listed = ask(service, 200, "admin", "GET", "/v2/cache").json["cached_images"]
    return {item["image_id"]: item for item in listed}


def _warm(service: Service, image_id: str) -> None:
    assert ask(service, 200, "alice", "GET", f"/v2/images/{image_id}/file").body == DATA
    eventually(lambda: image_id in _cached(service), "the image is cached")


def _scenario(service: Service) -> Iterator[tuple[str, Any]]:
    """Manage a cache in every way; tell what is answered, without what differs each time."""
    cached, queued, other = image(service, data=DATA), create(service), image(service, data=DATA)
    foreign = image(service, "bob", visibility="private")
    names = {cached: "cached", queued: "queued", other: "other"}

    def tell(who: str, method: str, path: str, target: str | None = None) -> tuple[str, Any]:
        headers = {} if target is None else {TARGET: target}
        answer = service.request(who, method, path, None, headers)
        shown = path
        for image_id, name in [*names.items(), (foreign, "foreign")]:
            shown = shown.replace(image_id, name)
        if answer.status >= 400:
            return f"{who} {method} {shown} {target}", answer.status
        kind = answer.headers["Content-Type"] if answer.body else None
        body = answer.json if answer.body else None
        return f"{who} {method} {shown} {target}", (answer.status, kind, _plain(body, names))

    yield tell("admin", "GET", "/v2/cache")
    _warm(service, cached)
    yield tell("admin", "GET", "/v2/cache")
    yield tell("admin", "GET", "/v2/cached_images")
    for who in ("admin", "alice"):
        for image_id in (cached, queued, foreign, UNKNOWN, "abc"):
            yield tell(who, "PUT", f"/v2/cache/{image_id}")
        yield tell(who, "GET", f"/v2/cache/nodes/{cached}")
        yield tell(who, "GET", f"/v2/cache/nodes/{UNKNOWN}")
        yield tell(who, "POST", "/v2/cache/clean")
        yield tell(who, "POST", "/v2/cache/prune")
    eventually(lambda: len(_cached(service)) == 2, "what the administrator queued is cached")
    yield tell("admin", "DELETE", f"/v2/cache/{foreign}")
    for who in ("alice", "admin"):
        for image_id in (cached, cached, queued, foreign, UNKNOWN, "abc"):
            yield tell(who, "DELETE", f"/v2/cache/{image_id}")
    yield tell("admin", "GET", "/v2/cache")
    for target in (None, "", "cache", "queue", "all"):
        _warm(service, cached)
        yield tell("admin", "DELETE", "/v2/cache", target)
        yield tell("alice", "DELETE", "/v2/cache", target)
        yield tell("admin", "GET", "/v2/cache")
    for method in ("POST", "PUT", "PATCH", "HEAD"):
        yield tell("admin", method, "/v2/cache")
        yield tell("admin", method, "/v2/cached_images")
        yield tell("admin", method, f"/v2/cached_images/{cached}")
    yield tell("admin", "PUT", f"/v2/queued_images/{queued}")
    yield tell("admin", "DELETE", f"/v2/queued_images/{queued}")
    yield tell("admin", "DELETE", f"/v2/queued_images/{queued}")
    yield tell("admin", "GET", "/v2/queued_images")
    yield tell("admin", "DELETE", "/v2/queued_images")
    _warm(service, cached)
    yield tell("admin", "DELETE", f"/v2/cached_images/{other}")
    yield tell("admin", "DELETE", "/v2/cached_images")
    for method, path in (
        ("GET", "/v2/cached_images"),
        ("DELETE", "/v2/cached_images"),
        ("DELETE", f"/v2/cached_images/{cached}"),
        ("GET", "/v2/queued_images"),
        ("PUT", f"/v2/queued_images/{cached}"),
        ("DELETE", "/v2/queued_images"),
    ):
        yield tell("alice", method, path)
    yield tell("admin", "GET", "/versions")


def _plain(value: Any, names: dict[str, str]) -> Any:
    """Return a body with names for identifiers, and kinds for what differs each time."""
    if isinstance(value, list):
        return sorted((_plain(item, names) for item in value), key=str)
    if not isinstance(value, dict):
        return names.get(value, value) if isinstance(value, str) else value
    if "versions" in value:
        return [version["id"] for version in value["versions"]]
    plain = {}
    for key, item in value.items():
        # Hits are counted a moment later here.
        differs = key in ("id", "last_accessed", "last_modified", "hits")
        plain[key] = type(item).__name__ if differs else _plain(item, names)
    return plain


@pytest.mark.parametrize("driver", ["sqlite", "centralized_db"])
def test_answers_are_the_same(make_original: MakeOriginal, tmp_path: Path, driver: str) -> None:
    original = make_original(driver)
    theirs = list(_scenario(original))
    original.stop()
    assert child(tmp_path, original.configuration)("db", "sync").code == 0
    ask_anew = {"image_cache_dir": tmp_path / "cache"}
    with Ours(original.configuration, more_flavor="cachemanagement", **ask_anew) as ours:
        assert list(_scenario(ours)) == theirs


@pytest.mark.parametrize("driver", ["sqlite", "centralized_db"])
def test_adopted_and_handed_back(make_original: MakeOriginal, tmp_path: Path, driver: str) -> None:
    original = make_original(driver)
    ids = [image(original, data=DATA) for _ in range(3)]
    for image_id in ids[:2]:
        _warm(original, image_id)
    assert ask(original, 200, "alice", "GET", f"/v2/images/{ids[0]}/file").body == DATA
    eventually(lambda: _cached(original)[ids[0]]["hits"] == 1, "the hit is counted")
    before = _cached(original)
    original.stop()
    place = original.data / "cache"
    (place / "queue" / ids[2]).touch()
    (place / "invalid" / str(uuid4())).write_bytes(b"broken")
    assert child(tmp_path, original.configuration)("db", "sync").code == 0

    with Ours(original.configuration, more_flavor="cachemanagement") as ours:
        after = _cached(ours)
        assert {name: item["hits"] for name, item in after.items() if name in before} == {
            ids[0]: 1,
            ids[1]: 0,
        }
        for name, item in before.items():
            assert after[name]["size"] == item["size"] == len(DATA)
            for moment in ("last_accessed", "last_modified"):
                assert abs(after[name][moment] - item[moment]) < 1
        # From the copies: the store has lost its own.
        for image_id in ids[:2]:
            (original.store("fast") / image_id).unlink()
            assert ask(ours, 200, "alice", "GET", f"/v2/images/{image_id}/file").body == DATA
        eventually(lambda: _cached(ours)[ids[0]]["hits"] == 2, "our hit is counted")
        # What was queued there is fetched here.
        eventually(lambda: ids[2] in _cached(ours), "the queued image is cached")
        ask(ours, 200, "admin", "POST", "/v2/cache/clean")
        assert list((place / "invalid").iterdir()) == []
        ours_last = _cached(ours)

    original.start()
    back = _cached(original)
    assert set(back) == set(ours_last) == set(ids)
    assert {name: item["hits"] for name, item in back.items()} == {
        name: item["hits"] for name, item in ours_last.items()
    }
    for image_id in ids:
        assert ask(original, 200, "alice", "GET", f"/v2/images/{image_id}/file").body == DATA
