"""Limits that Keystone has for projects, with two workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest

from tests.functional.limits import LimitServer
from tests.functional.quota_scenarios import WORKERS, at_once
from tests.functional.server import OCTETS, Answer, Server
from tests.functional.wire import MIB, Wire

UNLIMITED = {
    "image_size_total": -1,
    "image_stage_total": -1,
    "image_count_total": -1,
    "image_count_uploading": -1,
}
#: A limit of every owner that must not count here.
SETTINGS = {"use_keystone_limits": True, "keystone_limits_cache_time": 0, "user_storage_quota": 1}
FORMATS = {"disk_format": "raw", "container_format": "bare"}


@pytest.fixture(scope="module")
def identity() -> Iterator[LimitServer]:
    with LimitServer() as identity:
        identity.registered.update(UNLIMITED)
        yield identity


@pytest.fixture(scope="module")
def server(identity: LimitServer) -> Iterator[Server]:
    with Server(settings=SETTINGS, arguments=WORKERS, options=identity.options()) as server:
        yield server
        assert server.trouble() == []


class Project:
    """A project and someone who acts for it."""

    def __init__(self, server: Server, identity: LimitServer) -> None:
        self.id = uuid4().hex
        self._server = server
        self._identity = identity
        self.headers = {"X-Auth-Token": identity.token("admin", project=self.id)}

    def limit(self, **limits: int) -> None:
        self._identity.limits[self.id] = limits

    def request(self, method: str, path: str, body: Any = None, **more: str) -> Answer:
        return self._server.request(method, path, body, {**self.headers, **more})

    def create(self, **fields: Any) -> Answer:
        return self.request("POST", "/v2/images", {**FORMATS, **fields})

    def image(self) -> str:
        return str(self.create().json["id"])

    def upload(self, image_id: str, data: Any) -> Answer:
        return self.request("PUT", f"/v2/images/{image_id}/file", data, **OCTETS)

    def status(self, image_id: str) -> str:
        return str(self.request("GET", f"/v2/images/{image_id}").json["status"])

    def usage(self) -> dict[str, dict[str, int]]:
        shown: dict[str, dict[str, int]] = self.request("GET", "/v2/info/usage").json["usage"]
        return shown


@pytest.fixture
def project(server: Server, identity: LimitServer) -> Project:
    return Project(server, identity)


def test_usage(project: Project) -> None:
    project.limit(image_size_total=10, image_count_total=3)
    assert project.usage() == {
        "image_size_total": {"usage": 0, "limit": 10},
        "image_stage_total": {"usage": 0, "limit": -1},
        "image_count_total": {"usage": 0, "limit": 3},
        "image_count_uploading": {"usage": 0, "limit": -1},
    }
    assert project.upload(project.image(), bytes(2 * MIB)).status == 204
    project.image()
    usage = {name: entry["usage"] for name, entry in project.usage().items()}
    assert usage == {
        "image_size_total": 2,
        "image_stage_total": 0,
        "image_count_total": 2,
        "image_count_uploading": 0,
    }
    assert project.request("POST", "/v2/info/usage", {}).status == 405


def test_images(project: Project) -> None:
    project.limit(image_count_total=9)
    answers = at_once([project.create] * 12)
    assert sorted(answer.status for answer in answers) == [201] * 9 + [413] * 3
    refused = next(answer for answer in answers if answer.status == 413)
    assert "9 images; 9 are taken, so 0 are left" in refused.body.decode()
    assert project.usage()["image_count_total"]["usage"] == 9
    made = next(answer.json["id"] for answer in answers if answer.status == 201)
    assert project.request("DELETE", f"/v2/images/{made}").status == 204
    assert project.create().status == 201


@pytest.mark.parametrize("chunked", [False, True])
def test_bytes(project: Project, chunked: bool) -> None:
    project.limit(image_size_total=2)
    images = [project.image() for _ in range(5)]
    share = bytes(MIB // 2)

    def upload(image_id: str) -> int:
        return project.upload(image_id, iter([share]) if chunked else share).status

    answers = at_once(lambda i=image_id: upload(i) for image_id in images)
    assert sorted(answers) == [204] * 4 + [413]
    assert project.usage()["image_size_total"] == {"usage": 2, "limit": 2}
    refused = images[answers.index(413)]
    assert project.status(refused) == "queued"
    project.limit(image_size_total=3)
    assert project.upload(refused, share).status == 204


def test_uploads_at_once(server: Server, project: Project) -> None:
    project.limit(image_count_uploading=1)
    first, second = project.image(), project.image()
    token = f"X-Auth-Token: {project.headers['X-Auth-Token']}"
    with Wire(server) as wire:
        wire.put(first, token, "Content-Length: 2")
        wire.send(b"x")
        while project.status(first) != "saving":
            pass
        assert project.usage()["image_count_uploading"] == {"usage": 1, "limit": 1}
        refused = project.upload(second, b"x")
        assert refused.status == 413
        assert "1 are taken, so 0 are left" in refused.body.decode()
        wire.send(b"x")
        assert wire.answer().status == 204
    assert project.upload(second, b"x").status == 204


def test_what_is_not_registered_allows_nothing(project: Project, identity: LimitServer) -> None:
    del identity.registered["image_count_total"]
    try:
        assert project.create().status == 413
        project.limit(image_count_total=1)
        assert project.create().status == 201
    finally:
        identity.registered.update(UNLIMITED)


def test_an_administrator_s_image_for_another_project(
    server: Server, identity: LimitServer, project: Project
) -> None:
    other = Project(server, identity)
    other.limit(image_count_total=1, image_size_total=0)
    project.limit(image_count_total=0, image_size_total=1)
    assert project.create().status == 413
    made = project.create(owner=other.id)
    assert made.status == 201
    assert project.create(owner=other.id).status == 413
    assert project.upload(made.json["id"], b"x").status == 413
    other.limit(image_size_total=1)
    assert project.upload(made.json["id"], b"x").status == 204
    # Nobody's images are not limited.
    assert project.create(owner=None).status == 201


def test_keystone_does_not_tell(project: Project, identity: LimitServer) -> None:
    image_id = project.image()
    with ExitStack() as stack:
        stack.callback(setattr, identity, "silent", False)
        identity.silent = True
        for answer in (
            project.create(),
            project.upload(image_id, b"x"),
            project.request("GET", "/v2/info/usage"),
        ):
            assert answer.status == 503
            assert "quota" in answer.body.decode()
            assert answer.headers["Retry-After"]
        # What takes nothing goes on.
        assert project.status(image_id) == "queued"
    assert project.upload(image_id, b"x").status == 204
