"""The shapes of what goes in and out, in the terms of OpenAPI 3.1, by the names routes use.

Pure data. Where a document of ``/v2/schemas`` describes the same thing, it is made from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glance.api import contract_metadefs
from glance.api.parameters import STORABLE_PATTERN
from glance.domain.documents import MEMBER_STATUSES, TASK_STATUSES
from glance.domain.image import INT_MAX
from glance.domain.locations import ALGORITHMS, LONGEST_URL
from glance.domain.patch import MEDIA_TYPE_V20, MEDIA_TYPE_V21

Schema = dict[str, Any]

JSON = "application/json"
OCTETS = "application/octet-stream"

#: Media types of request bodies that are not plain JSON, with the shape of each.
REQUEST_MEDIA: dict[str, dict[str, str]] = {
    "data": {OCTETS: "data"},
    "image_patch": {MEDIA_TYPE_V21: "image_patch", MEDIA_TYPE_V20: "image_patch_v20"},
}
#: The same of answers.
REPLY_MEDIA: dict[str, dict[str, str]] = {"data": {OCTETS: "data"}}

_NAME = "fedora-42"
_URL = "http://images.example/fedora-42.qcow2"
#: What a request looks like, by media type or by the name of the shape.
EXAMPLES: dict[str, Any] = {
    "new_image": {
        "name": _NAME,
        "disk_format": "qcow2",
        "container_format": "bare",
        "tags": ["spring"],
        "os_distro": "fedora",
    },
    "image_patch": [
        {"op": "replace", "path": "/name", "value": _NAME},
        {"op": "add", "path": "/os_distro", "value": "fedora"},
    ],
    "image_patch_v20": [{"replace": "/name", "value": _NAME}],
    "new_member": {"member": "8989447062e04a818baf9e073fd04fa7"},
    "member_status": {"status": "accepted"},
    "new_location": {"url": _URL},
    **contract_metadefs.EXAMPLES,
    "error": {
        "message": "No image found with ID 71c675ab-d94f-49cd-a114-e12490b328d9",
        "code": "404 Not Found",
        "title": "Not Found",
    },
}

#: Keywords of the served documents that JSON Schema does not know.
_FOREIGN = frozenset({"name", "links", "is_base"})
#: What every image has in an answer; the rest depends on the configuration or on its state.
_ALWAYS = (
    "id", "name", "status", "visibility", "protected", "os_hidden", "checksum", "os_hash_algo",
    "os_hash_value", "owner", "size", "virtual_size", "container_format", "disk_format",
    "created_at", "updated_at", "tags", "min_ram", "min_disk", "self", "file", "schema",
)  # fmt: skip

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_STORABLE: Schema = {"type": "string", "pattern": STORABLE_PATTERN}


def schemas(served: Mapping[str, Mapping[str, Any]]) -> dict[str, Schema]:
    """Return every shape by its name.

    :param served: the documents of ``/v2/schemas`` (``glance.domain.documents.served_schemas``).
    """
    image = _plain(served["image"])
    member = _plain(served["member"])
    new_image = _writable(image)
    places = image["properties"]["locations"]
    shapes = {
        "data": {"type": "string", "format": "binary"},
        "error": _ERROR,
        "image": _shown(image),
        "images": _page(served["images"], "images", "first"),
        "new_image": new_image,
        "image_patch": _patch(new_image, places, _operation_v21),
        "image_patch_v20": _patch(new_image, places, _operation_v20),
        "member": {**member, "required": list(member["properties"])},
        "members": _page(served["members"], "members"),
        "new_member": _object({"member": {**_STORABLE, "minLength": 1, "maxLength": 255}}),
        "member_status": _object({"status": {**_TEXT, "enum": list(MEMBER_STATUSES)}}),
        "new_location": _NEW_LOCATION,
        "locations": {"type": "array", "items": _LOCATION},
        "stores": _object({"stores": {"type": "array", "items": _STORE}}),
        "image_tasks": _object({"tasks": {"type": "array", "items": _IMAGE_TASK}}),
        "import_info": _object({"import-methods": _IMPORT_METHODS}),
        "usage": _object({"usage": {"type": "object", "additionalProperties": _USAGE}}),
        "cache": _object({"cached_images": _COPIES, "queued_images": _IDS}),
        "cached_images": _object({"cached_images": _COPIES}),
        "queued_images": _object({"queued_images": _IDS}),
        "cache_nodes": {"type": "array", "items": _TEXT},
        "cache_pruned": _object({"total_files_pruned": _COUNT, "total_bytes_pruned": _COUNT}),
        "num_deleted": _object({"num_deleted": _COUNT}),
        "null": {"type": "null"},
        **contract_metadefs.shapes(served, _plain),
        "schema": {
            **_object({"name": _TEXT, "properties": {"type": "object"}}),
            "description": "A JSON schema, with the relations of links as an older draft had them",
        },
        "openapi": _object(
            {"openapi": _TEXT, **{name: {"type": "object"} for name in ("info", "paths")}}
        ),
    }
    for name, example in EXAMPLES.items():
        shapes[name] = {**shapes[name], "examples": [example]}
    return shapes


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


_LOCATION: Schema = _object({"url": _TEXT, "metadata": {"type": "object"}})
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
_IMPORT_METHODS: Schema = _object(
    {"description": _TEXT, "type": _TEXT, "value": {"type": "array", "items": _TEXT}}
)
_USAGE: Schema = _object(
    {
        "usage": {"type": "integer", "minimum": 0},
        "limit": {"type": "integer", "minimum": -1, "description": "-1 for none"},
    }
)
_COUNT: Schema = {"type": "integer", "minimum": 0}
_EPOCH: Schema = {"type": "number", "description": "Seconds since 1970-01-01T00:00:00Z"}
_IDS: Schema = {"type": "array", "items": _TEXT}
_COPY: Schema = _object(
    {
        "image_id": _TEXT,
        "hits": {**_COUNT, "description": "How often it was sent to the end"},
        "last_accessed": _EPOCH,
        "last_modified": _EPOCH,
        "size": _COUNT,
    }
)
# The driver centralized_db adds these.
_COPY["properties"] |= {"id": {"type": ["integer", "null"]}, "checksum": _TEXT_OR_NULL}
_COPIES: Schema = {"type": "array", "items": _COPY}
_ERROR: Schema = {
    **_object(
        {
            "message": {**_TEXT, "description": "What is wrong, for people"},
            "code": {**_TEXT, "pattern": "^[45][0-9]{2} ", "description": "Status and title"},
            "title": {**_TEXT, "description": "The words that go with the status"},
        }
    ),
    "description": "What a client gets that accepts JSON and neither text/html nor */*;"
    " these get a page, and clients that accept none of it plain text",
}
_IMAGE_TASK: Schema = _object(
    {
        "id": _TEXT,
        "type": _TEXT,
        "status": {**_TEXT, "enum": list(TASK_STATUSES)},
        "owner": _TEXT_OR_NULL,
        **dict.fromkeys(("expires_at", "created_at", "updated_at"), _TEXT_OR_NULL),
        "deleted_at": {"type": "null"},
        "deleted": {"type": "boolean", "enum": [False]},
        **dict.fromkeys(("image_id", "request_id", "user_id"), _TEXT_OR_NULL),
        "input": {"type": ["object", "null"]},
        "result": {"type": ["object", "null"]},
        "message": _TEXT_OR_NULL,
    }
)
_NEW_LOCATION: Schema = {
    "type": "object",
    "properties": {
        # What RFC 3986 calls a scheme; the rest depends on the store.
        "url": {
            **_TEXT,
            "pattern": "^[A-Za-z][A-Za-z0-9+.-]*://[!-\\[\\]^-~]+$",
            "maxLength": LONGEST_URL,
        },
        "validation_data": {
            "type": ["object", "null"],
            "properties": {
                "os_hash_algo": {**_TEXT, "enum": list(ALGORITHMS)},
                "os_hash_value": {**_TEXT, "pattern": "^[0-9A-Fa-f]+$", "maxLength": 128},
            },
            "dependentRequired": {
                "os_hash_algo": ["os_hash_value"],
                "os_hash_value": ["os_hash_algo"],
            },
            "additionalProperties": False,
        },
    },
    "required": ["url"],
    "additionalProperties": False,
}


def _operation_v21(op: str, path: Schema, value: Schema | None) -> Schema:
    given = {} if value is None else {"value": value}
    return _object({"op": {"type": "string", "enum": [op]}, "path": path, **given})


def _operation_v20(op: str, path: Schema, value: Schema | None) -> Schema:
    others = {name: False for name in ("add", "replace", "remove") if name != op}
    operation = _object({op: path} if value is None else {op: path, "value": value})
    operation["properties"].update(others)
    return operation


def _patch(new_image: Schema, places: Schema, operation: Any) -> Schema:
    """Return the shape of a list of changes.

    :param places: the shape of locations.
    :param operation: makes the shape of one change of operation, path and value.
    """
    fields = new_image["properties"]
    bases = sorted(name for name in fields if name != "id")
    changes = [
        operation(op, {"type": "string", "enum": [f"/{name}"]}, fields[name])
        for name in bases
        for op in ("add", "replace")
    ]
    path = {
        "type": "string",
        "pattern": "^/([^/~]|~[01])+$",
        "not": {"enum": [f"/{name}" for name in (*bases, "locations")]},
        "description": "A custom property",
    }
    custom = new_image["additionalProperties"]
    changes += [operation(op, path, custom) for op in ("add", "replace")]
    changes.append(operation("remove", path, None))
    location = {**places["items"], "additionalProperties": False}
    place = {"type": "string", "pattern": "^/locations/(-|[0-9]{1,9})$"}
    whole = {"type": "string", "enum": ["/locations"]}
    changes += [
        operation("add", place, location),
        operation("replace", whole, {**places, "items": location}),
        operation("remove", place, None),
    ]
    return {"type": "array", "items": {"anyOf": changes}}


def _page(document: Mapping[str, Any], name: str, *more: str) -> Schema:
    """Return the shape of a page, whose entries have a shape of their own."""
    page = _plain(document)
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{name.removesuffix('s')}"}}
    return {
        **page,
        "properties": {**page["properties"], name: items},
        "required": [name, *more, "schema"],
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


def _shown(image: Schema) -> Schema:
    """Return the shape of an image in an answer."""
    members: Schema = {
        "anyOf": [
            {"type": "array", "items": {"$ref": "#/components/schemas/member"}},
            image["properties"].get("members", image["additionalProperties"]),
        ],
        "description": "Whom the image is shared with, where Preference-Applied says"
        " include=members; elsewhere a custom property",
    }
    properties = {**image["properties"], "members": members}
    return {**image, "properties": properties, "required": list(_ALWAYS)}


def _writable(image: Schema) -> Schema:
    """Return the shape of an image that a client describes."""
    properties = {
        name: schema
        for name, schema in image["properties"].items()
        if not schema.get("readOnly") and name != "locations"
    }
    for name in ("min_ram", "min_disk"):
        properties[name] = {**properties[name], "minimum": 0, "maximum": INT_MAX}
    for name in ("name", "owner"):
        properties[name] = {**properties[name], "pattern": STORABLE_PATTERN}
    tags = properties["tags"]
    properties["tags"] = {**tags, "items": {**tags["items"], "pattern": STORABLE_PATTERN}}
    return {
        **image,
        "properties": properties,
        "propertyNames": {"minLength": 1, "maxLength": 255, "pattern": STORABLE_PATTERN},
        "additionalProperties": {**image["additionalProperties"], "pattern": STORABLE_PATTERN},
    }
