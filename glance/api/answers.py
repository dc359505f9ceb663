"""What answers tell beside their bodies: headers, and what can be asked next, for OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from glance.api.metadefs import NAMESPACE, NAMESPACES
from glance.api.routing import Route
from glance.domain.preferences import INCLUDE_MEMBERS

_TEXT = {"type": "string"}


def _header(description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {
        "description": description, "required": required, "schema": {**_TEXT, **schema},
    }  # fmt: skip


_REQUEST_ID = "x-openstack-request-id"
_ETAG = {
    "ETag": _header("Strong validator: the hash of the data", pattern='^".*"$'),
    "Accept-Ranges": _header("Ranges are answered", required=True, enum=["bytes"]),
}
_DATA = {**_ETAG, "Content-MD5": _header("MD5 of all the data, in hexadecimal, where known")}

#: By status: what every answer of that status has.
_BY_STATUS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": _header("Where to get a token", required=True)},
    503: {"Retry-After": _header("Seconds to wait", required=True, pattern="^[0-9]+$")},
}
_CREATED = {
    "Location": _header("URL of the image", required=True, format="uri"),
    "OpenStack-image-import-methods": _header("Methods of import that there are"),
    "OpenStack-image-store-ids": _header("Stores that there are, parted by commas"),
}
_PREFERRED = {
    "Preference-Applied": _header(
        "That the members of shared images are included", enum=["=".join(INCLUDE_MEMBERS)]
    )
}
_PATCH_REFUSED = {"Accept-Patch": _header("Media types of patches", required=True)}
_PART = {**_DATA, "Content-Range": _header("Which bytes", required=True, pattern="^bytes ")}

#: By method, path and status: what answers of that route have beyond that.
_BY_ROUTE: dict[tuple[str, str, int], dict[str, Any]] = {
    ("POST", "/images", 201): _CREATED,
    ("POST", NAMESPACES, 201): {
        "Location": _header("URL of the namespace", required=True, format="uri")
    },
    ("PATCH", "/images/<image_id>", 415): _PATCH_REFUSED,
    ("GET", "/images", 200): _PREFERRED,
    ("GET", "/images/<image_id>", 200): _PREFERRED,
    ("GET", "/images/<image_id>/file", 200): _DATA,
    ("GET", "/images/<image_id>/file", 206): _PART,
    ("GET", "/images/<image_id>/file", 304): _ETAG,
    ("HEAD", "/images/<image_id>/file", 200): _DATA,
    ("HEAD", "/images/<image_id>/file", 304): _ETAG,
}

#: Headers of all answers.
HEADERS: dict[str, dict[str, Any]] = {
    _REQUEST_ID: _header("Name of the request in logs", required=True, pattern="^req-")
}


def headers_of(status: int) -> dict[str, Any]:
    """Return the headers of every answer of one status."""
    name = {_REQUEST_ID: {"$ref": f"#/components/headers/{_REQUEST_ID}"}}
    return {**name, **_BY_STATUS.get(status, {})}


def own_headers_of(found: Route, status: int) -> dict[str, Any]:
    """Return the headers that a route's answers of one status have beyond these."""
    return _BY_ROUTE.get((found.method, found.path, status), {})


_IMAGE = "/images/<image_id>"
_MEMBER = f"{_IMAGE}/members/<member_id>"
_CACHED = "/cache/<image_id>"

#: Where clients go on to, by method, path and status: which routes, and where parts of their path
#: are found.
_NEXT: dict[tuple[str, str, int], tuple[dict[str, str], tuple[tuple[str, str], ...]]] = {
    ("POST", "/images", 201): (
        {"image_id": "$response.body#/id"},
        (
            ("GET", _IMAGE),
            ("PATCH", _IMAGE),
            ("DELETE", _IMAGE),
            ("PUT", f"{_IMAGE}/file"),
            ("GET", f"{_IMAGE}/file"),
            ("PUT", f"{_IMAGE}/tags/<tag>"),
            ("GET", f"{_IMAGE}/members"),
            ("POST", f"{_IMAGE}/members"),
            ("POST", f"{_IMAGE}/locations"),
            ("GET", f"{_IMAGE}/locations"),
            ("GET", f"{_IMAGE}/tasks"),
        ),
    ),
    ("GET", "/images", 200): (
        {"image_id": "$response.body#/images/0/id"},
        (("GET", _IMAGE), ("GET", f"{_IMAGE}/file")),
    ),
    ("PUT", f"{_IMAGE}/file", 204): (
        {"image_id": "$request.path.image_id"},
        (
            ("GET", _IMAGE),
            ("GET", f"{_IMAGE}/file"),
            ("HEAD", f"{_IMAGE}/file"),
            ("POST", f"{_IMAGE}/actions/deactivate"),
            ("DELETE", _IMAGE),
            ("PUT", _CACHED),
        ),
    ),
    ("PUT", _CACHED, 202): (
        {"image_id": "$request.path.image_id"},
        (("GET", "/cache/nodes/<image_id>"), ("DELETE", _CACHED)),
    ),
    ("POST", f"{_IMAGE}/actions/deactivate", 204): (
        {"image_id": "$request.path.image_id"},
        (("POST", f"{_IMAGE}/actions/reactivate"), ("GET", f"{_IMAGE}/file")),
    ),
    ("PUT", f"{_IMAGE}/tags/<tag>", 204): (
        {"image_id": "$request.path.image_id", "tag": "$request.path.tag"},
        (("DELETE", f"{_IMAGE}/tags/<tag>"),),
    ),
    ("POST", f"{_IMAGE}/members", 200): (
        {"image_id": "$request.path.image_id", "member_id": "$response.body#/member_id"},
        (("GET", _MEMBER), ("PUT", _MEMBER), ("DELETE", _MEMBER)),
    ),
    ("POST", f"{_IMAGE}/locations", 202): (
        {"image_id": "$request.path.image_id"},
        (("GET", f"{_IMAGE}/locations"), ("GET", f"{_IMAGE}/tasks"), ("GET", _IMAGE)),
    ),
}

_NAMED = "$request.path.namespace_name"
_PART_OF_NAMESPACE = {
    "objects": "object_name", "properties": "property_name", "tags": "tag_name",
}  # fmt: skip


def _in_namespace(part: str) -> tuple[tuple[str, str], ...]:
    path = f"{NAMESPACE}/{part}/<{_PART_OF_NAMESPACE[part]}>"
    return tuple((method, path) for method in ("GET", "PUT", "DELETE"))


_NEXT |= {
    ("POST", NAMESPACES, 201): (
        {"namespace_name": "$response.body#/namespace"},
        (
            *((method, NAMESPACE) for method in ("GET", "PUT", "DELETE")),
            *((method, f"{NAMESPACE}/{part}") for part in _PART_OF_NAMESPACE
              for method in ("GET", "POST", "DELETE")),
            *((method, f"{NAMESPACE}/resource_types") for method in ("GET", "POST")),
        ),
    ),
    ("GET", NAMESPACES, 200): (
        {"namespace_name": "$response.body#/namespaces/0/namespace"}, (("GET", NAMESPACE),),
    ),
    **{
        ("POST", f"{NAMESPACE}/{part}", 201): (
            {"namespace_name": _NAMED, name: "$response.body#/name"}, _in_namespace(part),
        )
        for part, name in _PART_OF_NAMESPACE.items() if part != "tags"
    },
    ("POST", f"{NAMESPACE}/tags", 201): (
        {"namespace_name": _NAMED, "tag_name": "$response.body#/tags/0/name"},
        _in_namespace("tags"),
    ),
    ("POST", f"{NAMESPACE}/resource_types", 201): (
        {"namespace_name": _NAMED, "resource_type_name": "$response.body#/name"},
        (("DELETE", f"{NAMESPACE}/resource_types/<resource_type_name>"),),
    ),
}  # fmt: skip


def links_of(found: Route, status: int) -> dict[str, Any]:
    """Return where a route's answers of one status lead to, by the names of links."""
    parts, targets = _NEXT.get((found.method, found.path, status), ({}, ()))
    names = [operation_id(method, path) for method, path in targets]
    return {name: {"operationId": name, "parameters": parts} for name in names}


def operation_id(method: str, path: str) -> str:
    """Return the name of a route, which programs made from the description may call it by."""
    words = path.replace(".", "_").replace("<", "").replace(">", "")
    return method.lower() + words.replace("/", "_")
