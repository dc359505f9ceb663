"""The shapes of what goes in and out, in the terms of OpenAPI 3.1, by the names routes use.

Pure data. Where a document of ``/v2/schemas`` describes the same thing, it is made from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glance.domain.documents import MEMBER_STATUSES
from glance.domain.image import INT_MAX, STATUSES, VISIBILITIES
from glance.domain.listing import SORT_KEYS
from glance.domain.patch import MEDIA_TYPE_V20, MEDIA_TYPE_V21

Schema = dict[str, Any]

JSON = "application/json"
OCTETS = "application/octet-stream"

#: Media types of request bodies that are not plain JSON.
REQUEST_MEDIA: dict[str, tuple[str, ...]] = {
    "data": (OCTETS,),
    "image_patch": (MEDIA_TYPE_V21, MEDIA_TYPE_V20),
}
#: The same of answers.
REPLY_MEDIA: dict[str, tuple[str, ...]] = {"data": (OCTETS,)}

#: Keywords of the served documents that JSON Schema does not know.
_FOREIGN = frozenset({"name", "links", "is_base"})

_TEXT: Schema = {"type": "string"}
_UUID: Schema = {"type": "string", "description": "Identifier of an image"}


def schemas(served: Mapping[str, Mapping[str, Any]]) -> dict[str, Schema]:
    """Return every shape by its name.

    :param served: the documents of ``/v2/schemas`` (``glance.domain.documents.served_schemas``).
    """
    image = _plain(served["image"])
    member = _plain(served["member"])
    return {
        "data": {"type": "string", "format": "binary"},
        "error": _ERROR,
        "image": image,
        "images": _plain(served["images"]),
        "new_image": _writable(image),
        "image_patch": _PATCH,
        "member": member,
        "members": _plain(served["members"]),
        "new_member": _object({"member": {**_TEXT, "minLength": 1, "maxLength": 255}}),
        "member_status": _object({"status": {**_TEXT, "enum": list(MEMBER_STATUSES)}}),
        "new_location": _NEW_LOCATION,
        "locations": {"type": "array", "items": _LOCATION},
        "stores": _object({"stores": {"type": "array", "items": _STORE}}),
        "image_tasks": _object({"tasks": {"type": "array", "items": {"type": "object"}}}),
        "import_info": _object({"import-methods": {"type": "object"}}),
        "usage": _object({"usage": {"type": "object", "additionalProperties": _USAGE}}),
        "schema": {"type": "object"},
        "openapi": {"type": "object"},
    }


#: Parameters of queries and headers, by the names that routes use.
PARAMETERS: dict[str, Schema] = {}


def _parameter(name: str, where: str, schema: Schema, description: str, **more: Any) -> None:
    PARAMETERS[name] = {
        "name": name, "in": where, "schema": schema, "description": description, **more,
    }  # fmt: skip


_parameter("limit", "query", {"type": "integer", "minimum": 0}, "Most images of the page")
_parameter("marker", "query", _TEXT, "Last image of the page before")
_parameter(
    "sort_key",
    "query",
    {"type": "array", "items": {"type": "string", "enum": list(SORT_KEYS)}},
    "Fields to sort by",
)
_parameter(
    "sort_dir",
    "query",
    {"type": "array", "items": {"type": "string", "enum": ["asc", "desc"]}},
    "Directions, one for all fields or one for each",
)
_parameter("sort", "query", _TEXT, "Fields and directions in one, such as name:asc,size")
_parameter(
    "visibility",
    "query",
    {"type": "string", "enum": [*VISIBILITIES, "all"]},
    "Images of one visibility",
)
_parameter(
    "member_status",
    "query",
    {"type": "string", "enum": [*MEMBER_STATUSES, "all"]},
    "Shared images by the answer that one's own project gave",
)
_parameter("os_hidden", "query", {"type": "string", "enum": ["true", "false"]}, "Hidden images")
_parameter("protected", "query", {"type": "string", "enum": ["true", "false"]}, "Protected images")
_parameter("tag", "query", {"type": "array", "items": _TEXT}, "Images that have all these tags")
_parameter("name", "query", _TEXT, "Images of a name, or of one of several (in:a,b)")
_parameter("status", "query", _TEXT, f"Images in a state: {', '.join(STATUSES)}; or in:…")
_parameter("created_at", "query", _TEXT, "Time, with an operator such as gt: in front")
_parameter("updated_at", "query", _TEXT, "Time, with an operator such as gt: in front")
_parameter("size_min", "query", {"type": "integer"}, "Fewest bytes")
_parameter("size_max", "query", {"type": "integer"}, "Most bytes")
_parameter("owner", "query", _TEXT, "Images of one project")
_parameter("prefer", "query", _TEXT, "Stores to read from if they have a copy, parted by commas")
_parameter("X-Image-Meta-Store", "header", _TEXT, "Store that is to hold the data")
_parameter(
    "X-OpenStack-Image-Size", "header", {"type": "integer", "minimum": 0}, "Bytes that will come"
)
_parameter("Range", "header", _TEXT, "One range of bytes (RFC 9110, section 14.2)")
_parameter("If-None-Match", "header", _TEXT, "ETag of the data that the client has")
_parameter("If-Range", "header", _TEXT, "ETag of the data that the client has a part of")


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


_LOCATION: Schema = {
    "type": "object",
    "properties": {"url": _TEXT, "metadata": {"type": "object"}},
    "required": ["url", "metadata"],
}
_STORE: Schema = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "description": _TEXT,
        "default": {"type": "string", "enum": ["true"]},
        "read-only": {"type": "string", "enum": ["true"]},
        "type": _TEXT,
        "weight": {"type": "integer"},
        "properties": {"type": "object"},
    },
    "required": ["id"],
}
_USAGE: Schema = _object({"usage": {"type": "integer"}, "limit": {"type": "integer"}})
_ERROR: Schema = _object({"message": _TEXT, "code": _TEXT, "title": _TEXT})
_NEW_LOCATION: Schema = {
    "type": "object",
    "properties": {
        "url": {**_TEXT, "minLength": 1},
        "validation_data": {
            "type": "object",
            "properties": {
                "os_hash_algo": {**_TEXT, "enum": ["sha1", "sha256", "sha512", "md5"]},
                "os_hash_value": {**_TEXT, "maxLength": 128},
            },
            "additionalProperties": False,
        },
    },
    "required": ["url"],
}
_POINTER: Schema = {**_TEXT, "pattern": "^/"}
_PATCH: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "op": {"type": "string", "enum": ["add", "replace", "remove"]},
            "path": _POINTER,
            "value": {},
            "add": _POINTER,
            "replace": _POINTER,
            "remove": _POINTER,
        },
        "description": "op and path, or in the older media type the operation with the path",
    },
}


def _plain(schema: Any) -> Any:
    """Return a served document without what JSON Schema does not know."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, Mapping):
            plain[key] = {name: _plain(inner) for name, inner in value.items()}
        elif key not in _FOREIGN:
            plain[key] = _plain(value)
    return {"type": "object", **plain} if "properties" in plain else plain


def _writable(image: Schema) -> Schema:
    """Return the shape of an image that a client describes."""
    properties = {
        name: schema
        for name, schema in image["properties"].items()
        if not schema.get("readOnly") and name not in ("locations", "is_base")
    }
    for name in ("min_ram", "min_disk"):
        properties[name] = {**properties[name], "minimum": 0, "maximum": INT_MAX}
    return {**image, "properties": properties}
