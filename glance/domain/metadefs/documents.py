"""The JSON schema documents of metadata definitions, below ``/v2/schemas/metadefs``.

Clients read them to learn the fields there are and refuse what does not fit, so names, types and
limits are a contract; the descriptions are for people.
"""

from __future__ import annotations

from typing import Any

from glance.domain.metadefs.names import (
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    LONGEST_OWNER,
    TYPES,
    VISIBILITIES,
)

Document = dict[str, Any]

_TEXT: Document = {"type": "string"}
_NAME: Document = {"type": "string", "maxLength": LONGEST_NAME}
_LINK: Document = {"readOnly": True, "type": "string"}
_FLAG: Document = {"type": "boolean"}
_TEXTS: Document = {"type": "array", "items": _TEXT}
_COUNT: Document = {"$ref": "#/definitions/positiveInteger"}
_COUNT_OR_0: Document = {"$ref": "#/definitions/positiveIntegerDefault0"}
_NAMES: Document = {"$ref": "#/definitions/stringArray"}
_PROPERTIES: Document = {"$ref": "#/definitions/property"}
# Whoever made these documents allowed null among the values and not among the types.
_TYPE: Document = {"type": "string", "enum": [*TYPES, None]}


def _time(what: str) -> Document:
    return {"type": "string", "readOnly": True, "format": "date-time", "description": what}


def _times() -> Document:
    return {
        "created_at": _time("When it was made"),
        "updated_at": _time("When it last changed"),
    }


def _property_fields() -> Document:
    return {
        "name": _NAME,
        "title": _TEXT,
        "description": _TEXT,
        "operators": _TEXTS,
        "type": _TYPE,
        "required": _NAMES,
        "minimum": {"type": "number"},
        "maximum": {"type": "number"},
        "maxLength": _COUNT,
        "minLength": _COUNT_OR_0,
        "pattern": {"type": "string", "format": "regex"},
        "enum": {"type": "array"},
        "readonly": _FLAG,
        "default": {},
        "items": {"type": "object", "properties": {"type": _TYPE, "enum": {"type": "array"}}},
        "maxItems": _COUNT,
        "minItems": _COUNT_OR_0,
        "uniqueItems": {"type": "boolean", "default": False},
        "additionalItems": _FLAG,
    }


def _definitions(**of_texts: Any) -> Document:
    return {
        "positiveInteger": {"type": "integer", "minimum": 0},
        "positiveIntegerDefault0": {"allOf": [_COUNT, {"default": 0}]},
        "stringArray": {"type": "array", "items": _TEXT, **of_texts, "uniqueItems": True},
    }


def _definitions_with_property() -> Document:
    return {
        **_definitions(),
        "property": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["title", "type"],
                "properties": _property_fields(),
            },
        },
    }


def _item(name: str, properties: Document, required: list[str]) -> Document:
    return {
        "name": name,
        "properties": properties,
        "additionalProperties": False,
        "required": required,
    }


def _page(name: str, entries: Document) -> Document:
    return {
        "name": name,
        "properties": {name: entries, "first": _TEXT, "next": _TEXT, "schema": _TEXT},
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _list(name: str, item: Document) -> Document:
    return _page(name, {"type": "array", "items": item})


def _namespace() -> Document:
    properties = {
        "namespace": _NAME | {"description": "Name of the namespace, which no other has"},
        "display_name": _NAME | {"description": "Name for people"},
        "description": {
            "type": "string",
            "maxLength": LONGEST_DESCRIPTION,
            "description": "What the namespace is about",
        },
        "visibility": {
            "type": "string",
            "enum": list(VISIBILITIES),
            "description": "Who sees the namespace",
        },
        "protected": _FLAG | {"description": "Whether deletion is refused"},
        "owner": {
            "type": "string",
            "maxLength": LONGEST_OWNER,
            "description": "Project that the namespace belongs to",
        },
        **_times(),
        "schema": _LINK,
        "self": _LINK,
        "resource_type_associations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": _TEXT, "prefix": _TEXT, "properties_target": _TEXT},
            },
        },
        "properties": _PROPERTIES,
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "description": _TEXT,
                    "required": _NAMES,
                    "properties": _PROPERTIES,
                },
            },
        },
        "tags": {"type": "array", "items": {"type": "object", "properties": {"name": _TEXT}}},
    }
    return _item("namespace", properties, ["namespace"])


def _resource_type() -> Document:
    properties = {
        "name": _NAME | {"description": "Name of the resource type, such as OS::Nova::Flavor"},
        "prefix": _NAME
        | {"description": "What names of properties begin with there, with the sign that ends it"},
        "properties_target": _NAME
        | {"description": "Which of its properties are meant, where it has several: image"},
        **_times(),
    }
    return _item("resource_type_association", properties, ["name"])


def _object() -> Document:
    properties = {
        "name": _NAME,
        "description": _TEXT,
        "required": _NAMES,
        "properties": _PROPERTIES,
        "schema": _LINK,
        "self": _LINK,
        **_times(),
    }
    return _item("object", properties, ["name"])


def _property(*required: str) -> Document:
    return _item("property", _property_fields(), list(required))


def _tag() -> Document:
    return _item("tag", {"name": _NAME, **_times()}, ["name"])


def metadef_schemas() -> dict[str, Document]:
    """Return every document by its path below ``/v2/schemas/``."""
    whole = {"definitions": _definitions_with_property()}
    some = {"definitions": _definitions(minItems=1)}
    properties = {"type": "object", "additionalProperties": _property("type", "title")}
    documents = {
        "namespace": _namespace() | whole,
        "namespaces": _list("namespaces", _namespace()) | whole,
        "resource_type": _resource_type(),
        "resource_types": _list("resource_type_associations", _resource_type()),
        "property": _property("type", "title", "name") | some,
        "properties": _page("properties", properties) | some,
        "object": _object() | whole,
        "objects": _list("objects", _object()) | whole,
        "tag": _tag(),
        "tags": _list("tags", _tag()),
    }
    return {f"metadefs/{name}": document for name, document in documents.items()}
