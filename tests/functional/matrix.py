"""Every route with every caller and every status that it documents, as a table to be driven.

``ROUTES`` says of each route how a request that could succeed looks, what each kind of caller gets
for it, and how to bring about every further status that the route documents. Statuses that all
routes share have one way each, :data:`ANYWHERE`. ``python -m tests.functional.matrix`` writes the
table of ``docs/routes.rst`` from it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import glance.api
from glance.api.routing import Route, routes_of, statuses_of
from tests.functional.cloud import CALLERS, DATA, UNKNOWN, V21, Cloud
from tests.functional.matrix_cases import (
    Call,
    Case,
    Scenario,
    admins,
    everybody,
    seen,
    unknown,
    who,
)
from tests.functional.matrix_metadefs import METADEF_ROUTES
from tests.functional.server import OCTETS, Answer, Server


def _owned(status: int) -> dict[str, int]:
    """The owner's members and administrators change an image of one project."""
    return who(status, status, 403, 404, 404, 404)


def _of_image(tail: str = "", body: Any = None, **fields: Any) -> Callable[[Cloud], Call]:
    """A request about a new image with data."""
    return lambda cloud: Call(f"/v2/images/{cloud.image(**fields)}{tail}", body)


def _patch(cloud: Cloud, *operations: object, image_id: str | None = None) -> Answer:
    return cloud.patch("member", image_id or cloud.create(), *operations)


def _too_many_tags(cloud: Cloud) -> Answer:
    image_id = cloud.create(tags=["a", "b"])
    return cloud.call("member", "PUT", f"/v2/images/{image_id}/tags/c")


def _shared(tail: str, body: Any = None) -> Callable[[Cloud], Call]:
    def call(cloud: Cloud) -> Call:
        image_id = cloud.create()
        cloud.share(image_id)
        return Call(f"/v2/images/{image_id}/members{tail}", body)

    return call


def _as_member_of(cloud: Cloud, body: Any) -> Answer:
    call = _shared("", body)(cloud)
    return cloud.call("member", "POST", call.path, call.body)


def _one_member_more(cloud: Cloud) -> Answer:
    image_id = cloud.create()
    cloud.share(image_id, "p2")
    cloud.share(image_id, "p3")
    path = f"/v2/images/{image_id}/members"
    return cloud.call("member", "POST", path, {"member": "p4"})


def _upload(cloud: Cloud) -> Call:
    return Call(f"/v2/images/{cloud.create()}/file", DATA, OCTETS)


def _send(cloud: Cloud, image_id: str, body: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v2/images/{image_id}/file"
    return cloud.call("member", "PUT", path, body, {**OCTETS, **named})


def _unmeasured(cloud: Cloud) -> Answer:
    """Send data with neither a length nor chunks, which a client library would never do."""
    connection = cloud.server.connection()
    connection.putrequest("PUT", f"/v2/images/{cloud.create()}/file")
    connection.putheader("X-Auth-Token", cloud.tokens["member"] or "")
    connection.putheader("Content-Type", OCTETS["Content-Type"])
    connection.endheaders()
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    connection.close()
    return answer


def _download(cloud: Cloud, image_id: str | None = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v2/images/{image_id or cloud.image()}/file"
    return cloud.call("member", "GET", path, None, named)


def _not_modified(method: str) -> Scenario:
    def scenario(cloud: Cloud) -> Answer:
        path = f"/v2/images/{cloud.image()}/file"
        tag = cloud.call("member", "GET", path).headers["ETag"]
        return cloud.call("member", method, path, None, {"If-None-Match": tag})

    return scenario


def _no_data(method: str) -> Scenario:
    return lambda cloud: cloud.call("member", method, f"/v2/images/{cloud.create()}/file")


def _action(name: str) -> Case:
    def call(cloud: Cloud) -> Call:
        image_id = cloud.image()
        if name == "reactivate":
            cloud.call("member", "POST", f"/v2/images/{image_id}/actions/deactivate")
        return Call(f"/v2/images/{image_id}/actions/{name}")

    return Case(
        call,
        _owned(204),
        {404: unknown("POST", f"/v2/images/{UNKNOWN}/actions/{name}")},
    )


def _locations(body: Any = None) -> Callable[[Cloud], Call]:
    return lambda cloud: Call(
        f"/v2/images/{cloud.create()}/locations", {"url": cloud.url("it"), **(body or {})}
    )


def _add_location(cloud: Cloud, image_id: str, url: str) -> Answer:
    return cloud.call("member", "POST", f"/v2/images/{image_id}/locations", {"url": url})


def _copy_in_fast(cloud: Cloud) -> Call:
    image_id = cloud.image()
    assert cloud.add_location(image_id).status == 200
    return Call(f"/v2/stores/fast/{image_id}")


def _protected(cloud: Cloud) -> Answer:
    image_id = cloud.create(protected=True)
    return cloud.call("member", "DELETE", f"/v2/images/{image_id}")


def _being_deleted(cloud: Cloud) -> Answer:
    """Delete an image that another node has begun to delete."""
    image_id = cloud.image()
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    with closing(sqlite3.connect(cloud.server.state / "glance.sqlite")) as catalogue, catalogue:
        catalogue.execute(
            "INSERT INTO transfer_leases (id, image_id, kind, node, worker, started_at,"
            " heartbeat_at) VALUES (?, ?, 'removal', 'another', '1.1', ?, ?)",
            (f"lease of {image_id}"[:36], image_id, now, now),
        )
    return cloud.call("member", "DELETE", f"/v2/images/{image_id}")


def _deleted_while_uploading(cloud: Cloud) -> Answer:
    image_id = cloud.create()

    def pieces() -> Any:
        yield DATA
        path = f"/v2/images/{image_id}"
        assert cloud.call("member", "DELETE", path).status == 204
        yield DATA

    return _send(cloud, image_id, pieces())


def _cached(path: str = "/v2/cache/") -> Callable[[Cloud], Call]:
    """A request about an image and the cache."""
    return lambda cloud: Call(path + cloud.image())


def _without_other_nodes(cloud: Cloud) -> Answer:
    """Ask a node whose cache keeps book by itself."""
    with Server(settings={"image_cache_driver": "sqlite"}) as server:
        server.stop()
        server.configure({"DEFAULT": {"image_cache_dir": server.state / "cache"}})
        server.start()
        return server.request("GET", f"/v2/cache/nodes/{UNKNOWN}")


_TAG = "/tags/spring"

ROUTES: dict[str, Case] = {
    "GET /images": Case(lambda cloud: Call("/v2/images"), who(200, 200, 200, 403, 200, 403)),
    "POST /images": Case(
        lambda cloud: Call("/v2/images", {"name": "new"}),
        who(201, 201, 403, 403, 201, 403),
        {
            409: lambda cloud: cloud.call("member", "POST", "/v2/images", {"id": cloud.create()}),
            413: lambda cloud: cloud.call(
                "member", "POST", "/v2/images", {"tags": ["a", "b", "c"]}
            ),
        },
    ),
    "GET /images/<image_id>": Case(
        _of_image(), seen(200), {404: unknown("GET", f"/v2/images/{UNKNOWN}")}
    ),
    "PATCH /images/<image_id>": Case(
        lambda cloud: Call(
            f"/v2/images/{cloud.create()}",
            [{"op": "replace", "path": "/name", "value": "new"}],
            {"Content-Type": V21},
        ),
        _owned(200),
        {
            409: lambda cloud: _patch(cloud, {"op": "remove", "path": "/missing"}),
            413: lambda cloud: _patch(
                cloud, {"op": "replace", "path": "/tags", "value": ["a", "b", "c"]}
            ),
            415: lambda cloud: cloud.call("member", "PATCH", f"/v2/images/{cloud.create()}", []),
        },
    ),
    "DELETE /images/<image_id>": Case(
        _of_image(),
        _owned(204),
        {403: _protected, 409: _being_deleted},
    ),
    "PUT /images/<image_id>/tags/<tag>": Case(_of_image(_TAG), _owned(204), {413: _too_many_tags}),
    "DELETE /images/<image_id>/tags/<tag>": Case(_of_image(_TAG, tags=["spring"]), _owned(204)),
    "PUT /images/<image_id>/file": Case(
        _upload,
        _owned(204),
        {
            409: lambda cloud: cloud.upload(cloud.image()),
            410: _deleted_while_uploading,
            411: _unmeasured,
            413: lambda cloud: _send(cloud, cloud.create(), bytes(1001)),
            415: lambda cloud: _send(cloud, cloud.create(), DATA, Content_Type="text/plain"),
        },
    ),
    "GET /images/<image_id>/file": Case(
        _of_image("/file"),
        who(200, 200, 403, 404, 404, 404),
        {
            204: _no_data("GET"),
            206: lambda cloud: _download(cloud, Range="bytes=1-2"),
            304: _not_modified("GET"),
            416: lambda cloud: _download(cloud, Range="bytes=1000-"),
        },
    ),
    "HEAD /images/<image_id>/file": Case(
        _of_image("/file"),
        who(200, 200, 403, 404, 404, 404),
        {204: _no_data("HEAD"), 304: _not_modified("HEAD")},
    ),
    "POST /images/<image_id>/actions/deactivate": _action("deactivate"),
    "POST /images/<image_id>/actions/reactivate": _action("reactivate"),
    "GET /images/<image_id>/members": Case(
        _shared(""),
        who(200, 200, 200, 404, 200, 404),
        {
            403: lambda cloud: cloud.call(
                "member", "GET", f"/v2/images/{cloud.create(visibility='private')}/members"
            )
        },
    ),
    "POST /images/<image_id>/members": Case(
        _shared("", {"member": "p3"}),
        who(200, 200, 403, 404, 403, 404),
        {409: lambda cloud: _as_member_of(cloud, {"member": "p2"}), 413: _one_member_more},
    ),
    "GET /images/<image_id>/members/<member_id>": Case(
        _shared("/p2"), who(200, 200, 200, 404, 200, 404)
    ),
    "PUT /images/<image_id>/members/<member_id>": Case(
        _shared("/p2", {"status": "accepted"}), who(200, 403, 403, 404, 200, 404)
    ),
    "DELETE /images/<image_id>/members/<member_id>": Case(
        _shared("/p2"), who(204, 204, 403, 404, 403, 404)
    ),
    "POST /images/<image_id>/locations": Case(
        _locations(),
        who(202, 202, 403, 404, 404, 404),
        {409: lambda cloud: _add_location(cloud, cloud.image(), cloud.url("it"))},
    ),
    "GET /images/<image_id>/locations": Case(
        _of_image("/locations"), who(200, 403, 403, 404, 404, 404)
    ),
    "GET /images/<image_id>/tasks": Case(_of_image("/tasks"), seen(200)),
    "GET /info/stores": Case(lambda cloud: Call("/v2/info/stores"), everybody(200)),
    "GET /info/stores/detail": Case(
        lambda cloud: Call("/v2/info/stores/detail"), who(200, 403, 403, 403, 403, 200)
    ),
    "DELETE /stores/<store_id>/<image_id>": Case(
        _copy_in_fast,
        who(204, 403, 403, 404, 404, 404),
        {409: lambda cloud: cloud.call("admin", "DELETE", f"/v2/stores/x/{cloud.image()}")},
    ),
    "GET /cache": Case(lambda cloud: Call("/v2/cache"), admins(200)),
    "DELETE /cache": Case(lambda cloud: Call("/v2/cache"), admins(204)),
    "PUT /cache/<image_id>": Case(
        _cached(),
        who(202, 403, 403, 404, 404, 404),
        {404: unknown("PUT", f"/v2/cache/{UNKNOWN}")},
    ),
    "DELETE /cache/<image_id>": Case(
        _cached(),
        who(204, 403, 403, 404, 404, 404),
        {404: unknown("DELETE", f"/v2/cache/{UNKNOWN}")},
    ),
    "GET /cache/nodes/<image_id>": Case(
        _cached("/v2/cache/nodes/"),
        admins(200),
        {404: unknown("GET", f"/v2/cache/nodes/{UNKNOWN}"), 409: _without_other_nodes},
    ),
    "POST /cache/clean": Case(lambda cloud: Call("/v2/cache/clean"), admins(200)),
    "POST /cache/prune": Case(lambda cloud: Call("/v2/cache/prune"), admins(200)),
    "GET /cached_images": Case(lambda cloud: Call("/v2/cached_images"), admins(200)),
    "DELETE /cached_images": Case(lambda cloud: Call("/v2/cached_images"), admins(200)),
    "DELETE /cached_images/<image_id>": Case(_cached("/v2/cached_images/"), admins(200)),
    "GET /queued_images": Case(lambda cloud: Call("/v2/queued_images"), admins(200)),
    "DELETE /queued_images": Case(lambda cloud: Call("/v2/queued_images"), admins(200)),
    "PUT /queued_images/<image_id>": Case(_cached("/v2/queued_images/"), admins(200)),
    "DELETE /queued_images/<image_id>": Case(_cached("/v2/queued_images/"), admins(200)),
    "GET /info/import": Case(lambda cloud: Call("/v2/info/import"), everybody(200)),
    "GET /info/usage": Case(lambda cloud: Call("/v2/info/usage"), everybody(200)),
    **METADEF_ROUTES,
    "GET /schemas/<name>": Case(
        lambda cloud: Call("/v2/schemas/image"),
        everybody(200),
        {404: unknown("GET", "/v2/schemas/none")},
    ),
    "GET /schemas/metadefs/<name>": Case(
        lambda cloud: Call("/v2/schemas/metadefs/namespace"),
        everybody(200),
        {404: unknown("GET", "/v2/schemas/metadefs/none")},
    ),
    "GET /openapi.json": Case(lambda cloud: Call("/v2/openapi.json"), everybody(200)),
}

#: Routes that are there only where several stores are configured, or a cache.
NEED_MORE = (
    "GET /info/stores",
    "GET /info/stores/detail",
    "GET /cache",
    "DELETE /cache",
    "POST /cache/clean",
    "POST /cache/prune",
)

PAGE = Path(__file__).parents[2] / "docs" / "routes.rst"
HEAD = """\
Routes
======

Every route with the policy rules that it asks, what each kind of caller gets for a request that
could succeed, and the further statuses that it may answer. Made by the functional tests, which
drive all of it against a running service: ``python -m tests.functional.matrix`` writes this page.

The callers are an administrator; a member and a reader of the project that owns the image, or the
namespace of metadata definitions, and one of its users without a role; a member of another project,
with which the image is shared where the route is about members; a service; and somebody without a
token. Images and namespaces are private.

Beside these, every route may answer 400 (malformed), 401 (no valid token), 431 (headers or request
id too long) and 503 with ``Retry-After`` (a part of the service does not answer); those that take a
body 413 (too long).

"""


def routes() -> dict[str, Route]:
    """Return every route that the service's resources have."""
    found = {}
    for module in pkgutil.iter_modules(glance.api.__path__, "glance.api."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and kind.__module__ == module.name:
                for route, _ in routes_of(kind):
                    found[f"{route.method} {route.path}"] = route
    return found


def page() -> str:
    """Return the page of the manual that tells of all routes."""
    titles = ["Route", "Policy rules", *CALLERS, "further"]
    lines = [HEAD + ".. list-table::", "   :header-rows: 1", ""]
    described = routes()
    rows = [titles]
    for name, case in ROUTES.items():
        route = described[name]
        further = {*statuses_of(route)} - {*case.gets.values()} - {*ANYWHERE, 401}
        further |= {*statuses_of(route)} & {*case.also}
        method, _, path = name.partition(" ")
        shown = f"``{method} /v2{path.replace('<', '{').replace('>', '}')}``"
        rules = ", ".join(f"``{rule}``" for rule in route.policies) or "none"
        statuses = [str(case.gets[who]) for who in CALLERS]
        rows.append([shown, rules, *statuses, ", ".join(map(str, sorted(further)))])
    for row in rows:
        first, *rest = row
        lines.append(f"   * - {first}")
        lines += [f"     - {cell}".rstrip() for cell in rest]
    return "\n".join(lines) + "\n"


def _long_body(cloud: Cloud, method: str, path: str) -> Answer:
    body = b'"' + bytes(2**20) + b'"'
    return cloud.call("member", method, path, body, {"Content-Type": V21})


def _strange_host(cloud: Cloud, method: str, call: Call) -> Answer:
    return cloud.call("admin", method, call.path, call.body, {**call.headers, "Host": "a b"})


def _long_request_id(cloud: Cloud, method: str, call: Call) -> Answer:
    headers = {**call.headers, "X-Openstack-Request-ID": "x" * 100}
    return cloud.call("admin", method, call.path, call.body, headers)


def _identity_away(cloud: Cloud, method: str, call: Call) -> Answer:
    headers = {**call.headers, "X-Auth-Token": cloud.token("admin")}
    cloud.identity.fault = 500
    try:
        return cloud.call("admin", method, call.path, call.body, headers)
    finally:
        cloud.identity.fault = None


def _too_much(cloud: Cloud, method: str, call: Call) -> Answer:
    return _long_body(cloud, method, call.path)


#: How to bring about what every route may answer.
ANYWHERE: dict[int, Callable[[Cloud, str, Call], Answer]] = {
    400: _strange_host,
    413: _too_much,
    431: _long_request_id,
    503: _identity_away,
}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
