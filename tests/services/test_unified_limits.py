"""Limits out of a real Keystone: who may read them, where they are registered, when they count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.functional.server import OCTETS, Answer, Server
from tests.functional.wire import MIB
from tests.services.identity import DOMAIN, Login, Project
from tests.services.keystone import Keystone

pytestmark = pytest.mark.service

FORMATS = {"disk_format": "raw", "container_format": "bare"}
REGISTERED = {
    "image_size_total": 3,
    "image_stage_total": 10,
    "image_count_total": 4,
    "image_count_uploading": -1,
}


@pytest.fixture(scope="module")
def region(keystone: Keystone) -> str:
    """A region of its own, with an image service that has registered limits."""
    region = keystone.identity.region()
    keystone.identity.endpoint("image", "http://127.0.0.1:9292", region)
    for name, limit in REGISTERED.items():
        keystone.identity.registered_limit(name, limit, region)
    return region


def reader(keystone: Keystone, url: str | None = None) -> dict[str, object]:
    """Return the options of one who may read everything in the system."""
    user = keystone.identity.user()
    keystone.identity.assign(user, "reader")
    return {
        "auth_url": url or keystone.url,
        "username": user.name,
        "password": user.password,
        "user_domain_id": DOMAIN,
        "system_scope": "all",
    }


def serving(keystone: Keystone, **limits: object) -> Server:
    options = {
        "paste_deploy": {"flavor": "keystone"},
        "keystone_authtoken": keystone.identity.service().authtoken(keystone.url),
        "oslo_limit": limits,
    }
    settings = {"use_keystone_limits": True, "keystone_limits_cache_time": 0}
    return Server(settings=settings, options=options)


class Caller:
    """An administrator of a project."""

    def __init__(self, keystone: Keystone, server: Server) -> None:
        self.project: Project = keystone.identity.project()
        login = keystone.identity.login("admin", project=self.project)
        self._headers = keystone.identity.token(login).headers
        self._server = server

    def request(self, method: str, path: str, body: Any = None, **more: str) -> Answer:
        return self._server.request(method, path, body, {**self._headers, **more})

    def create(self) -> Answer:
        return self.request("POST", "/v2/images", FORMATS)

    def limits(self) -> dict[str, int]:
        usage = self.request("GET", "/v2/info/usage").json["usage"]
        return {name: entry["limit"] for name, entry in usage.items()}


def by_id(keystone: Keystone, region: str) -> dict[str, object]:
    query = f"service_id={keystone.identity.offer('image')}&region_id={region}"
    endpoints = keystone.identity.call("GET", f"/endpoints?{query}")["endpoints"]
    return {"endpoint_id": endpoints[0]["id"]}


def by_type(keystone: Keystone, region: str) -> dict[str, object]:
    return {"endpoint_service_type": "image", "endpoint_region_name": region}


@pytest.fixture(scope="module", params=[by_id, by_type])
def server(keystone: Keystone, region: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(keystone, **reader(keystone), **request.param(keystone, region)) as server:
        yield server
        assert server.trouble() == []


def test_registered_and_own_limits(keystone: Keystone, server: Server, region: str) -> None:
    caller = Caller(keystone, server)
    assert caller.limits() == REGISTERED
    keystone.identity.limit(caller.project, "image_size_total", 1, region)
    keystone.identity.limit(caller.project, "image_count_total", 1, region)
    assert caller.limits() == {**REGISTERED, "image_size_total": 1, "image_count_total": 1}
    image_id = caller.create().json["id"]
    assert caller.create().status == 413
    path = f"/v2/images/{image_id}/file"
    assert caller.request("PUT", path, bytes(MIB + 1), **OCTETS).status == 413
    assert caller.request("PUT", path, bytes(MIB), **OCTETS).status == 204
    keystone.identity.limit(caller.project, "image_count_total", -1, region)
    assert caller.create().status == 201
    other = Caller(keystone, server)
    assert other.limits() == REGISTERED


def test_several_regions_need_a_choice(keystone: Keystone, region: str) -> None:
    keystone.identity.endpoint("image", "http://127.0.0.1:9292", keystone.identity.region())
    with serving(keystone, **reader(keystone)) as server:
        assert Caller(keystone, server).create().status == 503
        assert "endpoint_region_name" in server.log_text()


def test_a_reader_who_may_not_see_limits_of_others(keystone: Keystone, region: str) -> None:
    """Keystone would show such a one no limit of a project: that must not count for none."""
    login: Login = keystone.identity.login("reader")
    limits = login.authtoken(keystone.url)
    with serving(keystone, **limits, **by_id(keystone, region)) as server:
        assert Caller(keystone, server).create().status == 503
        assert "role reader on the system" in server.log_text()


def test_keystone_goes_away(own_keystone: Keystone) -> None:
    keystone = own_keystone
    region = keystone.identity.region()
    keystone.identity.endpoint("image", "http://127.0.0.1:9292", region)
    keystone.identity.registered_limit("image_count_total", 1, region)
    with ExitStack() as stack:
        options = {**reader(keystone), **by_id(keystone, region)}
        server = stack.enter_context(serving(keystone, **options))
        caller = Caller(keystone, server)
        assert caller.create().status == 201
        keystone.stop()
        assert caller.create().status == 503
        keystone.start()
        assert caller.create().status == 413
