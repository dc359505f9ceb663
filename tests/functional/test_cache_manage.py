"""glance-cache-manage beside the real service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cachemanage import Manage
from tests.functional.server import Server, eventually

DATA = b"an image" * 1000
NOBODY = "99999999-2222-3333-4444-555555555555"


@pytest.fixture(scope="module", params=["older", "newer"])
def server(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Server]:
    """A service with a cache, with the older routes and without them."""
    cache = tmp_path_factory.mktemp("cache")
    settings = {
        "image_cache_dir": cache,
        "image_cache_driver": "sqlite",
        # What lies in the queue, and was not queued over the API, stays there for a while.
        "cache_prefetcher_interval": 86400,
    }
    flavor = {"paste_deploy": {"flavor": "cachemanagement"}} if request.param == "older" else {}
    with Server(settings=settings, options=flavor) as server:
        server.cache = cache  # type: ignore[attr-defined]
        answer = server.request("GET", "/v2/cached_images")
        assert answer.status == (200 if request.param == "older" else 404)
        yield server
        assert server.trouble() == []


@pytest.fixture
def cache(server: Server) -> Path:
    """The directory of an empty cache."""
    found: Path = server.cache  # type: ignore[attr-defined]
    for half in ("cache", "queue"):
        headers = {"X-Image-Cache-Clear-Target": half}
        assert server.request("DELETE", "/v2/cache", headers=headers).status == 204
    return found


@pytest.fixture
def manage(server: Server, tmp_path: Path) -> Manage:
    return Manage(tmp_path, options=("-H", "127.0.0.1", "-p", str(server.port)))


def cached(manage: Manage) -> dict[str, dict[str, float]]:
    """Return what is cached, by image."""
    found = json.loads(manage.says("list-cached", "--json"))["cached_images"]
    return {entry["image_id"]: entry for entry in found}


def test_download_and_delete(server: Server, cache: Path, manage: Manage) -> None:
    assert manage.says("list-cached") == "No cached images.\n"
    image, other = server.image(DATA), server.image(DATA)
    for name in (image, other):
        assert server.download(name).body == DATA
    # Who comes earlier may be sent the copy while it is made, which is no hit.
    eventually(lambda: len(cached(manage)) == 2, "both are cached")
    for _ in range(2):
        assert server.download(image).body == DATA
    eventually(lambda: cached(manage)[image]["hits"] == 2, "its hits are counted")
    said = manage.says("list-cached")
    assert said.startswith("Found 2 cached images...\n")
    row = re.search(rf"^\| {image} \| ([^|]+) \| ([^|]+) \| +8000 \| +2 \|$", said, re.MULTILINE)
    assert row is not None, said
    for told in row.groups():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?", told.strip())
    said = manage.says("delete-cached-image", "-v", image, said="y\n")
    assert f"Deleted cached image {image}\n" in said
    assert [*cached(manage)] == [other]
    assert not (cache / image).exists()
    assert manage.says("-fv", "delete-all-cached-images").startswith("Deleted 1 cached images\n")
    assert manage.says("list-cached") == "No cached images.\n"


def test_queue_and_wait(server: Server, cache: Path, manage: Manage) -> None:
    images = [server.image(DATA), server.image(DATA)]
    done = manage.run("-f", "queue-image", "--wait", *images)
    assert (done.returncode, done.stdout) == (0, ""), done
    told = {line for line in done.stderr.splitlines() if line.startswith("Image ")}
    assert told == {f"Image {image}: cached" for image in images}
    assert {*cached(manage)} == {*images}
    assert (cache / images[0]).read_bytes() == DATA
    assert manage.says("list-queued") == "No queued images.\n"


def test_queue(server: Server, cache: Path, manage: Manage) -> None:
    images = [server.image(DATA), server.image(DATA)]
    for image in images:
        (cache / "queue" / image).touch()
    said = manage.says("list-queued")
    assert said.startswith("Found 2 queued images...\n")
    for image in images:
        assert f"| {image} |" in said
    assert manage.says("-f", "delete-queued-image", images[0]) == ""
    assert images[0] not in manage.says("list-queued")
    assert manage.says("-fv", "delete-all-queued-images").startswith("Deleted 1 queued images\n")
    assert manage.says("list-queued") == "No queued images.\n"


def test_only_what_was_said_is_deleted(server: Server, cache: Path, manage: Manage) -> None:
    here, there = server.image(DATA), server.image(DATA)
    manage.run("-f", "queue-image", "--wait", here)
    (cache / "queue" / there).touch()
    manage.says("-f", "delete-cached-image", there)
    manage.says("-f", "delete-queued-image", here)
    assert [*cached(manage)] == [here]
    assert there in manage.says("list-queued")
    manage.says("-f", "delete-all-queued-images")
    assert [*cached(manage)] == [here]


def test_image_that_there_is_not(server: Server, cache: Path, manage: Manage) -> None:
    """The older routes take any id; what comes of it is nothing all the same."""
    done = manage.run("-f", "queue-image", "--wait", "--wait-time", "5", NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr
    assert NOBODY not in cached(manage)


def test_service_without_a_cache(tmp_path: Path) -> None:
    with Server() as server:
        manage = Manage(tmp_path, options=("-p", str(server.port)))
        for argv in (["list-cached"], ["-f", "queue-image", NOBODY]):
            first, _ = manage.fails(*argv)
            assert first == "Cache management middleware not enabled on host 0.0.0.0"
        assert server.trouble() == []
