"""Every route, every caller, every documented status, against a live service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glance.api.routing import statuses_of
from tests.functional import matrix
from tests.functional.cloud import CALLERS, Cloud
from tests.functional.matrix import ANYWHERE, NEED_MORE, ROUTES
from tests.functional.server import Answer, Server

_DESCRIBED = matrix.routes()
_DOCUMENTED = [
    (name, status) for name, route in _DESCRIBED.items() for status in statuses_of(route)
]


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A service with everything in it."""
    with Cloud(cache=True) as cloud:
        yield cloud
        assert cloud.server.trouble() == []


def test_every_route_is_here() -> None:
    assert set(ROUTES) == set(_DESCRIBED)


def test_every_route_is_described_to_clients(cloud: Cloud) -> None:
    paths = cloud.call("member", "GET", "/v2/openapi.json").json["paths"]
    described = {
        f"{method.upper()} {path}": sorted(int(status) for status in operation["responses"])
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert described == {
        f"{route.method} /v2{route.path.replace('<', '{').replace('>', '}')}": statuses_of(route)
        for route in _DESCRIBED.values()
    }


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("name", ROUTES)
def test_caller(cloud: Cloud, name: str, who: str) -> None:
    case = ROUTES[name]
    call = case.call(cloud)
    answer = cloud.call(who, name.partition(" ")[0], call.path, call.body, call.headers)
    assert answer.status == case.gets[who], answer
    _check_form(answer)


@pytest.mark.parametrize(("name", "status"), _DOCUMENTED)
def test_status(cloud: Cloud, server: Server, name: str, status: int) -> None:
    case = ROUTES[name]
    method = name.partition(" ")[0]
    if status in case.also:
        answer = case.also[status](cloud)
    elif status in case.gets.values():
        # Which test_caller sees.
        return
    elif name in NEED_MORE and status == 404:
        answer = server.request(method, case.call(cloud).path)
    else:
        answer = ANYWHERE[status](cloud, method, case.call(cloud))
    assert answer.status == status, answer
    _check_form(answer)


def _check_form(answer: Answer) -> None:
    if answer.status >= 400 and answer.body and "json" in answer.headers["Content-Type"]:
        error = answer.json
        assert set(error) == {"message", "code", "title"}
        assert error["code"].startswith(str(answer.status))
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"] == 'Keystone uri="http://identity.example/v3"'
    if answer.status == 503:
        assert int(answer.headers["Retry-After"]) > 0


def test_page_of_the_manual_is_up_to_date() -> None:
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page(), (
        "run: python -m tests.functional.matrix"
    )
