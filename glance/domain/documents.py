"""The JSON schema documents that ``/v2/schemas`` serves, as functions of the configuration.

Clients read them to learn the fields there are, so names, types, limits and order are a contract;
the descriptions are for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glance.domain.errors import ConfigError
from glance.domain.image import STATUSES, VISIBILITIES
from glance.domain.metadefs.documents import metadef_schemas

Document = dict[str, Any]

#: A UUID as the schemas write it; ``$`` means the end of the text in JSON schema.
UUID_PATTERN = (
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
)
MEMBER_STATUSES = ("pending", "accepted", "rejected")
TASK_TYPES = ("import", "api_image_import", "location_import")
TASK_STATUSES = ("pending", "processing", "success", "failure")

_TEXT = {"type": "string"}
_READ_ONLY = {"type": "string", "readOnly": True}
_DESCRIBED_BY = {"rel": "describedby", "href": "{schema}"}


def image_schema(
    disk_formats: Sequence[str],
    container_formats: Sequence[str],
    custom: Mapping[str, Any] | None = None,
) -> Document:
    """Return the schema of an image.

    :param disk_formats: values of the option ``[image_format] disk_formats``.
    :param container_formats: values of the option ``[image_format] container_formats``.
    :param custom: the content of ``schema-image.json``: property names and their schemas, or an
        object with these under ``properties`` and a list of names under ``required``.
    :raises ConfigError: ``custom`` is malformed or redefines a field of every image.
    """
    properties = _image_properties(disk_formats, container_formats)
    extra, required = split_custom(custom or {})
    for name, schema in extra.items():
        if name not in properties:
            properties[name] = {**schema, "is_base": False}
        elif _bare(schema) != _bare(properties[name]):
            raise ConfigError(
                f"schema-image.json: property {name!r} is a field of every image and cannot be"
                " redefined; remove it from the file."
            )
    document: Document = {
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            _DESCRIBED_BY,
        ],
    }
    if required:
        document["required"] = required
    return document


def images_schema(
    disk_formats: Sequence[str],
    container_formats: Sequence[str],
    custom: Mapping[str, Any] | None = None,
) -> Document:
    """Return the schema of a page of images; parameters as of :func:`image_schema`."""
    return _page("images", image_schema(disk_formats, container_formats, custom), paged=True)


def member_schema() -> Document:
    """Return the schema of an image's member."""
    return {
        "name": "member",
        "properties": {
            "member_id": _TEXT | {"description": "Project the image is shared with"},
            "image_id": _uuid("Image that is shared"),
            "created_at": _TEXT | {"description": "When the image was shared with the project"},
            "updated_at": _TEXT | {"description": "When the membership last changed"},
            "status": {
                "type": "string",
                "enum": list(MEMBER_STATUSES),
                "description": "The project's answer to the offer",
            },
            "schema": {"readOnly": True, "type": "string"},
        },
    }


def members_schema() -> Document:
    """Return the schema of the list of an image's members."""
    return _page("members", member_schema(), paged=False)


def task_schema() -> Document:
    """Return the schema of a task."""
    return {"name": "task", "properties": _task_properties()}


def tasks_schema() -> Document:
    """Return the schema of the list of tasks, whose entries lack what may be long."""
    properties = _task_properties()
    for name in ("input", "result", "message"):
        del properties[name]
    return _page("tasks", {"name": "task", "properties": properties}, paged=False)


def served_schemas(
    disk_formats: Sequence[str],
    container_formats: Sequence[str],
    custom: Mapping[str, Any] | None = None,
) -> dict[str, Document]:
    """Return every document by its path below ``/v2/schemas/``; parameters as of image_schema."""
    return {
        "image": image_schema(disk_formats, container_formats, custom),
        "images": images_schema(disk_formats, container_formats, custom),
        "member": member_schema(),
        "members": members_schema(),
        "task": task_schema(),
        "tasks": tasks_schema(),
        **metadef_schemas(),
    }


def split_custom(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the properties and the required names that ``schema-image.json`` declares.

    :param content: the parsed file, in either of its two forms.
    :raises ConfigError: the file is malformed.
    """
    properties: Any = content
    required: Any = []
    inner = content.get("properties")
    # A flat file may have a property called "properties": then what it holds is one schema.
    if (
        isinstance(inner, dict)
        and set(content) <= {"properties", "required"}
        and all(isinstance(schema, dict) for schema in inner.values())
    ):
        properties, required = inner, content.get("required", [])
    for name, schema in properties.items():
        if not name or not isinstance(schema, dict):
            raise ConfigError(
                f"schema-image.json: property {name!r} must have a name and an object that"
                ' describes it, for example {"type": "string"}.'
            )
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ConfigError("schema-image.json: required must be a list of property names.")
    return dict(properties), required


def _bare(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in schema.items() if k not in ("description", "is_base")}


def _uuid(description: str) -> Document:
    return {"type": "string", "pattern": UUID_PATTERN, "description": description}


def _page(name: str, item: Document, *, paged: bool) -> Document:
    properties: Document = {name: {"type": "array", "items": item}}
    links = [_DESCRIBED_BY]
    if paged:
        properties |= {"first": _TEXT, "next": _TEXT}
        links = [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            _DESCRIBED_BY,
        ]
    properties["schema"] = _TEXT
    return {"name": name, "properties": properties, "links": links}


def _text_or_null(longest: int, description: str, **more: Any) -> Document:
    return {
        "type": ["null", "string"],
        **more,
        "maxLength": longest,
        "description": description,
    }


def _format(choices: Sequence[str], description: str) -> Document:
    return {
        "type": ["null", "string"],
        "enum": [None, *choices],
        "description": description,
    }


def _image_properties(disk_formats: Sequence[str], container_formats: Sequence[str]) -> Document:
    number_or_null = {"type": ["null", "integer"], "readOnly": True}
    return {
        "id": _uuid("Identifier of the image"),
        "name": _text_or_null(255, "Name of the image; several images may share one"),
        "status": _READ_ONLY | {"enum": list(STATUSES), "description": "State of the image"},
        "visibility": _TEXT | {"enum": list(VISIBILITIES), "description": "Who can use the image"},
        "protected": {"type": "boolean", "description": "Whether deletion is refused"},
        "os_hidden": {"type": "boolean", "description": "Whether lists leave the image out"},
        "checksum": _text_or_null(32, "MD5 of the data in hexadecimal", readOnly=True),
        "os_hash_algo": _text_or_null(64, "Hash algorithm of os_hash_value", readOnly=True),
        "os_hash_value": _text_or_null(128, "Hash of the data in hexadecimal", readOnly=True),
        "owner": _text_or_null(255, "Project that the image belongs to"),
        "size": number_or_null | {"description": "Bytes of the data as stored"},
        "virtual_size": number_or_null | {"description": "Bytes of the disk that the data makes"},
        "container_format": _format(container_formats, "Format of the wrapping around the disk"),
        "disk_format": _format(disk_formats, "Format of the disk"),
        "created_at": _READ_ONLY | {"description": "When the image was registered"},
        "updated_at": _READ_ONLY | {"description": "When the image last changed"},
        "tags": {
            "type": "array",
            "items": {"type": "string", "maxLength": 255},
            "description": "Words to find the image by",
        },
        "direct_url": _READ_ONLY | {"description": "Where the data is in its store"},
        "min_ram": {"type": "integer", "description": "MiB of memory needed to start the image"},
        "min_disk": {"type": "integer", "description": "GiB of disk needed to start the image"},
        "self": _READ_ONLY | {"description": "Link to the image"},
        "file": _READ_ONLY | {"description": "Link to the data"},
        "stores": _READ_ONLY | {"description": "Stores that hold the data, parted by commas"},
        "schema": _READ_ONLY | {"description": "Link to this document"},
        "locations": _locations(),
    }


def _locations() -> Document:
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "url": {"type": "string", "maxLength": 255},
                "metadata": {"type": "object"},
                "validation_data": {
                    "type": "object",
                    "writeOnly": True,
                    "additionalProperties": False,
                    "properties": {
                        "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                        "os_hash_algo": {"type": "string", "maxLength": 64},
                        "os_hash_value": {"type": "string", "maxLength": 128},
                    },
                    "required": ["os_hash_algo", "os_hash_value"],
                    "description": "Hashes that the data must have",
                },
            },
            "required": ["url", "metadata"],
        },
        "description": "Where copies of the data are",
    }


def _task_properties() -> Document:
    object_or_null = {"type": ["null", "object"]}
    return {
        "id": _uuid("Identifier of the task"),
        "type": {"enum": list(TASK_TYPES), "type": "string", "description": "What the task does"},
        "status": {"enum": list(TASK_STATUSES), "type": "string", "description": "How far it is"},
        "input": object_or_null | {"description": "What the task was given"},
        "result": object_or_null | {"description": "What the task produced"},
        "owner": _TEXT | {"description": "Project that the task belongs to"},
        "message": _TEXT | {"description": "Why the task failed, or how it went"},
        "image_id": _TEXT | {"description": "Image that the task works on"},
        "request_id": _TEXT | {"description": "Request that made the task"},
        "user_id": _TEXT | {"description": "User whose request made the task"},
        "expires_at": {
            "type": ["null", "string"],
            "description": "When the record of the finished task goes",
        },
        "created_at": _TEXT | {"description": "When the task was made"},
        "updated_at": _TEXT | {"description": "When the task last changed"},
        "self": {"readOnly": True, "type": "string"},
        "schema": {"readOnly": True, "type": "string"},
    }
