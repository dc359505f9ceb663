"""What queries, headers and paths may hold, in the terms of OpenAPI 3.1, by the names routes use.

Patterns are of what is promised. Where the service takes more, such as a time in another of the
forms of ISO 8601, it does so out of kindness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glance.domain.digests import ALGORITHMS, DIGEST_HEADERS
from glance.domain.documents import MEMBER_STATUSES
from glance.domain.image import STATUSES, VISIBILITIES
from glance.domain.listing import SORT_KEYS
from glance.domain.metadefs import listing as metadefs
from glance.domain.metadefs.names import LONGEST_NAME
from glance.domain.metadefs.names import VISIBILITIES as METADEF_VISIBILITIES
from glance.domain.preferences import INCLUDE_MEMBERS

Schema = dict[str, Any]

# Beyond: see glance.domain.text. Both ECMAScript's and Python's regular expressions read these.
_STORABLE = r"\u0001-\uD7FF\uE000-\uFFFF"
_STORABLE_BUT_COLON = r"\u0001-9;-\uD7FF\uE000-\uFFFF"
_INT64_MAX = 2**63 - 1

#: Text that the catalogue can hold.
STORABLE_PATTERN = f"^[{_STORABLE}]*$"

_TEXT: Schema = {"type": "string", "pattern": STORABLE_PATTERN}
_OPERATED: Schema = {
    "type": "string",
    "pattern": f"^([{_STORABLE_BUT_COLON}]*|(eq|in):[{_STORABLE}]*)$",
}
_TIME: Schema = {
    "type": "string",
    "pattern": "^((gt|gte|lt|lte|eq|neq):)?"
    "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?)?$",
}
_BYTES: Schema = {"type": "integer", "minimum": -_INT64_MAX, "maximum": _INT64_MAX}
_FLAG: Schema = {"type": "string", "enum": ["true", "false"]}
_DIRECTION: Schema = {"type": "string", "enum": ["asc", "desc"]}
_DIGEST = f"({'|'.join(ALGORITHMS)})=:[A-Za-z0-9+/]+={{0,2}}:"
_PATTERN_OF_KEYS = "|".join(SORT_KEYS)

#: What names of metadata definitions are: parts of paths.
NAME_PATTERN = r"^[\u0001-.0-\uD7FF\uE000-\uFFFF]+$"
_NAME: Schema = {"maxLength": LONGEST_NAME, "pattern": NAME_PATTERN}

#: Parameters of queries and headers, by the names that routes use.
PARAMETERS: dict[str, Schema] = {}
#: Parameters that are parts of paths.
PARTS: dict[str, Schema] = {}


def _put(
    name: str, where: str, schema: Schema, description: str, key: str | None = None, **more: Any
) -> None:
    PARAMETERS[key or name] = {
        "name": name, "in": where, "schema": schema, "description": description, **more,
    }  # fmt: skip


def _query(name: str, schema: Schema, description: str, **more: Any) -> None:
    _put(name, "query", schema, description, **more)


def _header(name: str, schema: Schema, description: str, **more: Any) -> None:
    _put(name, "header", schema, description, **more)


def _part(name: str, description: str, **schema: Any) -> None:
    PARTS[name] = {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, **schema},
        "description": description,
    }


_query(
    "limit",
    {"type": "integer", "minimum": 0, "maximum": _INT64_MAX},
    "Most images of the page; more than api_limit_max are never given",
)
_query("marker", _TEXT, "Id of the last image of the page before")
_query(
    "sort_key",
    {"type": "array", "items": {"type": "string", "enum": list(SORT_KEYS)}},
    "Fields to sort by; not together with sort",
)
_query(
    "sort_dir",
    {"type": "array", "items": _DIRECTION},
    "Directions, one for all fields or one for each",
)
_query(
    "sort",
    {
        "type": "string",
        "pattern": f"^({_PATTERN_OF_KEYS})(:(asc|desc))?(,({_PATTERN_OF_KEYS})(:(asc|desc))?)*$",
    },
    "Fields and directions in one; the direction is desc where none is given",
    example="name:asc,size",
)
_query("visibility", {"type": "string", "enum": [*VISIBILITIES, "all"]}, "Images of one visibility")
_query(
    "member_status",
    {"type": "string", "enum": [*MEMBER_STATUSES, "all"]},
    "Shared images by the answer that one's own project gave",
)
_query("os_hidden", _FLAG, "Hidden images, and these alone")
_query("protected", _FLAG, "Images that are protected, or that are not")
_query("tag", {"type": "array", "items": _TEXT}, "Images that have all these tags")
_query("owner", _TEXT, "Images of one project")
for _name, _what in (
    ("id", "identifier"),
    ("name", "name"),
    ("container_format", "container format"),
    ("disk_format", "disk format"),
):
    _query(_name, _OPERATED, f"Images of this {_what}, or of one of several (in:a,b)")
_query("status", _OPERATED, f"Images in a state: {', '.join(STATUSES)}; or in:…", example="active")
for _name in ("created_at", "updated_at"):
    _query(
        _name,
        _TIME,
        "Time (ISO 8601), with an operator in front: gt, gte, lt, lte, eq, neq",
        example="gte:2026-01-31T12:00:00Z",
    )
for _name in ("checksum", "os_hash_algo", "os_hash_value"):
    _query(_name, _TEXT, f"Images with this {_name}")
for _name in ("size", "virtual_size", "min_disk", "min_ram"):
    _query(_name, _BYTES, f"Images with this {_name}")
    _query(f"{_name}_min", _BYTES, f"Images with this {_name} or a greater one")
    _query(f"{_name}_max", _BYTES, f"Images with this {_name} or a smaller one")
_query(
    "properties",
    {
        "type": "object",
        "propertyNames": {"minLength": 1, "pattern": STORABLE_PATTERN},
        "additionalProperties": _TEXT,
    },
    "Images with these custom properties; each is a parameter of its own: os_distro=debian",
    style="form",
    explode=True,
)
_query("prefer", {"type": "string"}, "Stores to read from if they have a copy, parted by commas")
_header("X-Image-Meta-Store", {"type": "string"}, "Store that is to hold the data")
_header(
    "X-OpenStack-Image-Size",
    {"type": "integer", "minimum": 0, "maximum": 10**19 - 1},
    "Bytes that will come, where Content-Length cannot tell",
)
for _name in DIGEST_HEADERS:
    _header(
        _name,
        {"type": "string", "pattern": f"^{_DIGEST}(, {_DIGEST})*$"},
        f"Digests that the data must have, or it is refused and nothing of it is kept (RFC 9530):"
        f" {', '.join(ALGORITHMS)}; others are ignored",
        example="sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
    )
_header(
    "Range",
    {"type": "string", "pattern": "^bytes=([0-9]{1,20}-[0-9]{0,20}|-[0-9]{1,20})$"},
    "One range of bytes (RFC 9110, section 14.2)",
    example="bytes=0-1023",
)
_header(
    "Content-Range",
    {"type": "string", "pattern": r"^bytes [0-9]{1,20}-[0-9]{1,20}/([0-9]{1,20}|\*)$"},
    "What old clients send in the place of Range",
    example="bytes 0-1023/*",
    deprecated=True,
)
_header("If-None-Match", {"type": "string"}, "ETag of the data that the client has")
_header("If-Range", {"type": "string"}, "ETag of the data that the client has a part of")
_header(
    "Prefer",
    {"type": "string"},
    "include=members (RFC 7240): each shared image whose members the caller may list has them as"
    " its members, and Preference-Applied says so; what else is preferred is ignored",
    example="=".join(INCLUDE_MEMBERS),
)
_header(
    "X-Image-Cache-Clear-Target",
    {"type": "string", "enum": ["cache", "queue", ""]},
    "Whether copies go, or wishes for some; empty or absent: both",
)
_header(
    "X-OpenStack-Request-ID",
    {"type": "string"},
    "Name of the request in logs, made up by the caller: visible ASCII; one that is longer than the"
    " service is configured to take, usually 64 characters, is refused",
    example="req-5d3f2a0e-7d0b-4f34-9d24-0b1a9a2f4a5c",
)

_part("image_id", "Identifier of an image", example="71c675ab-d94f-49cd-a114-e12490b328d9")
_part("member_id", "Project that the image is shared with")
_part("tag", "The tag", maxLength=255, pattern=STORABLE_PATTERN)
_part("store_id", "Identifier of a store")
_part("name", "Name of a schema")
_part("namespace_name", "Name of a namespace", example="OS::Software::DBMS", **_NAME)
_part("object_name", "Name of an object", **_NAME)
_part(
    "property_name", "Name of a property; with its prefix, where a resource type is given", **_NAME
)
_part("tag_name", "The tag", **_NAME)
_part("resource_type_name", "Name of a resource type", example="OS::Nova::Flavor", **_NAME)

#: The order of filters in the description of the list of images.
LIST_PARAMETERS = tuple(
    name
    for name, parameter in PARAMETERS.items()
    if parameter["in"] == "query" and name != "prefer"
)

# Of metadata definitions.


def _listing(what: str, plural: str, keys: Sequence[str]) -> None:
    """Declare how a list is cut and sorted."""
    limit = {"type": "integer", "minimum": 0, "maximum": _INT64_MAX}
    _query("limit", limit, f"Most {plural} of the page", key=f"{plural}_limit")
    marker = f"Name of the last {what} of the page before"
    _query("marker", _TEXT, marker, key=f"{plural}_marker")
    sorts = {"type": "string", "enum": list(keys)}
    _query("sort_key", sorts, "What to sort by; created_at if not given", key=f"{plural}_sort_key")
    _query("sort_dir", _DIRECTION, "Direction; desc if not given", key=f"{plural}_sort_dir")


_listing("namespace", "namespaces", metadefs.NAMESPACE_SORT_KEYS)
_query(
    "visibility",
    {"type": "string", "enum": list(METADEF_VISIBILITIES)},
    "Namespaces of one visibility",
    key="namespaces_visibility",
)
_query(
    "resource_types",
    _TEXT,
    f"Namespaces that are for one of these, at most {metadefs.MOST_RESOURCE_TYPES}, with commas in"
    " between",
    example="OS::Nova::Flavor,OS::Glance::Image",
)
_listing("tag", "tags", metadefs.TAG_SORT_KEYS)
_query(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": _INT64_MAX},
    "Has no effect: all objects are listed",
    key="objects_limit",
    deprecated=True,
)
_query(
    "visibility",
    {"type": "string", "enum": [*METADEF_VISIBILITIES, "shared"]},
    "Has no effect: all objects are listed",
    key="objects_visibility",
    deprecated=True,
)
_query(
    "resource_type",
    _TEXT,
    "What properties are wanted for: their names have the prefix that they have there",
    example="OS::Nova::Flavor",
)
_header(
    "X-OpenStack-Append",
    _FLAG,
    "Whether tags that the namespace has stay; they are replaced otherwise",
)

NAMESPACES_PARAMETERS = (
    "namespaces_limit", "namespaces_marker", "namespaces_sort_key", "namespaces_sort_dir",
    "namespaces_visibility", "resource_types",
)  # fmt: skip
TAGS_PARAMETERS = ("tags_limit", "tags_marker", "tags_sort_key", "tags_sort_dir")
OBJECTS_PARAMETERS = ("objects_limit", "objects_visibility")
