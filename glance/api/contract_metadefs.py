"""The shapes of metadata definitions, in the terms of OpenAPI 3.1, by the names routes use.

Pure data, made from the documents of ``/v2/schemas/metadefs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from glance.api.parameters import NAME_PATTERN, STORABLE_PATTERN
from glance.domain.image import INT_MAX
from glance.domain.metadefs.names import LONGEST_NAME

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_STORABLE: Schema = {"type": "string", "pattern": STORABLE_PATTERN}
_NAME: Schema = {
    "type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": NAME_PATTERN,
}  # fmt: skip
_SHORT: Schema = {**_STORABLE, "maxLength": LONGEST_NAME}
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": INT_MAX}
_BOUND: Schema = {"type": "number", "minimum": -(2**63), "maximum": 2**63 - 1}
_DEFAULT: Schema = {
    "type": ["string", "number", "boolean", "null"],
    "description": "Kept and shown as text",
}
_PROPERTY: Schema = {
    "title": _TEXT,
    "type": _TEXT,
    "name": _TEXT,
    "confidential": {"type": "boolean"},
}

#: What a request looks like, by the name of the shape.
EXAMPLES: dict[str, Any] = {
    "new_metadef_namespace": {
        "namespace": "Acme::Watchdog",
        "display_name": "Watchdog",
        "visibility": "public",
        "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
        "properties": {
            "watchdog_action": {
                "title": "What the watchdog does",
                "type": "string",
                "enum": ["disabled", "reset", "poweroff"],
            }
        },
        "tags": [{"name": "availability"}],
    },
    "metadef_namespace_change": {"namespace": "Acme::Watchdog", "visibility": "private"},
    "new_metadef_association": {"name": "OS::Nova::Flavor", "prefix": "hw:"},
    "new_metadef_property": {"name": "cores", "title": "Cores", "type": "integer", "minimum": 1},
    "new_metadef_object": {
        "name": "Topology",
        "required": ["cores"],
        "properties": {"cores": {"title": "Cores", "type": "integer"}},
    },
    "new_metadef_tag": {"name": "availability"},
    "new_metadef_tags": {"tags": [{"name": "availability"}, {"name": "power"}]},
}


def shapes(
    served: Mapping[str, Mapping[str, Any]], plain: Callable[[Any], Any]
) -> dict[str, Schema]:
    """Return every shape by its name.

    :param served: the documents of ``/v2/schemas``.
    :param plain: takes what JSON Schema does not know out of one.
    """

    def document(name: str) -> Schema:
        found = served[f"metadefs/{name}"]
        resolved = _resolved(found, found.get("definitions", {}))
        del resolved["additionalProperties"]
        resolved.pop("definitions", None)
        shape: Schema = plain(resolved)
        return shape

    namespace, item, tag = document("namespace"), document("object"), document("tag")
    association = document("resource_type")
    schema = namespace["properties"]["properties"]["additionalProperties"]
    reply = {**schema, "properties": {**schema["properties"], "default": _TEXT, **_PROPERTY}}
    property_shape = {**reply, "required": ["name", "title", "type"]}
    namespace_reply = _with(namespace, properties=_map(reply))
    object_reply = _with(item, properties=_map(reply))
    return {
        "metadef_namespace": {
            **namespace_reply,
            "required": [
                "namespace", "visibility", "protected", "owner", "created_at", "self", "schema",
            ],
        },
        "metadef_namespaces": _page("namespaces", "metadef_namespace", "first"),
        "new_metadef_namespace": _new_namespace(namespace, schema),
        "metadef_namespace_change": _own(_new_namespace(namespace, schema)),
        "metadef_association": {**association, "required": ["name", "created_at"]},
        "metadef_associations": _page("resource_type_associations", "metadef_association"),
        "new_metadef_association": _new(
            association, name=_NAME, prefix=_SHORT, properties_target=_SHORT
        ),
        "metadef_resource_types": _object(
            {
                "resource_types": {
                    "type": "array",
                    "items": {**_part(association, "name", "created_at", "updated_at"),
                              "required": ["name", "created_at"]},
                }
            }
        ),
        "metadef_property": property_shape,
        "metadef_properties": _object({"properties": _map(reply)}),
        "new_metadef_property": {
            **_new_property(schema, name=_NAME),
            "required": ["name", "title", "type"],
        },
        "metadef_object": {
            **object_reply,
            "required": ["name", "required", "properties", "created_at", "self", "schema"],
        },
        "metadef_objects": _page("objects", "metadef_object", "schema"),
        "new_metadef_object": _new_object(item, schema),
        "metadef_tag": {**tag, "required": ["name", "created_at"]},
        "metadef_tags": _object({"tags": {"type": "array", "items": _object({"name": _TEXT})}}),
        "new_metadef_tag": _new(tag, name=_NAME),
        "new_metadef_tags": {
            **_object({"tags": _unique(_new(tag, name=_NAME))}),
            "additionalProperties": False,
        },
    }  # fmt: skip


def _resolved(value: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a document with its definitions where it refers to them."""
    if isinstance(value, list):
        return [_resolved(item, definitions) for item in value]
    if not isinstance(value, Mapping):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        return _resolved(definitions[reference.rpartition("/")[2]], definitions)
    return {key: _resolved(inner, definitions) for key, inner in value.items()}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _map(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def _page(name: str, item: str, *more: str) -> Schema:
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}}
    links = dict.fromkeys(("first", "next", "schema"), _TEXT)
    return {
        "type": "object", "properties": {name: items, **links}, "required": [name, *more],
    }  # fmt: skip


def _with(shape: Schema, **fields: Schema) -> Schema:
    return {**shape, "properties": {**shape["properties"], **fields}}


def _part(shape: Schema, *names: str) -> Schema:
    return {"type": "object", "properties": {name: shape["properties"][name] for name in names}}


def _unique(items: Schema) -> Schema:
    return {"type": "array", "items": items, "uniqueItems": True}


def _new(shape: Schema, **fields: Schema) -> Schema:
    """Return the shape of what a client describes: without what only the service sets."""
    kept = {
        name: schema for name, schema in shape["properties"].items() if not schema.get("readOnly")
    }
    return {
        "type": "object",
        "properties": {**kept, **fields},
        "required": shape["required"],
        "additionalProperties": False,
    }


def _new_property(schema: Schema, **fields: Schema) -> Schema:
    texts = {"type": "array", "items": _STORABLE}
    properties = {
        **schema["properties"],
        "title": _STORABLE,
        "description": _STORABLE,
        "default": _DEFAULT,
        "pattern": {**schema["properties"]["pattern"], **_STORABLE},
        "enum": texts,
        "operators": texts,
        **dict.fromkeys(("minimum", "maximum"), _BOUND),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _COUNT),
        "items": {
            **schema["properties"]["items"],
            "properties": {**schema["properties"]["items"]["properties"], "enum": texts},
            "required": ["type"],
            "additionalProperties": False,
        },
        **fields,
    }
    return {**schema, "properties": properties, "additionalProperties": False}


def _new_properties(schema: Schema) -> Schema:
    nested = _new_property(schema, confidential={"type": "boolean"})
    return {"type": "object", "propertyNames": _NAME, "additionalProperties": nested}


def _new_object(item: Schema, schema: Schema) -> Schema:
    required = {
        **_STORABLE, "minLength": 1, "maxLength": LONGEST_NAME, "not": {"pattern": ","},
    }  # fmt: skip
    return _new(
        item,
        name=_NAME,
        description=_STORABLE,
        required=_unique(required),
        properties=_new_properties(schema),
    )


def _own(new: Schema) -> Schema:
    """Return the shape of a namespace without what it defines."""
    parts = ("resource_type_associations", "properties", "objects", "tags")
    own = {name: schema for name, schema in new["properties"].items() if name not in parts}
    return {**new, "properties": own}


def _new_namespace(namespace: Schema, schema: Schema) -> Schema:
    fields = namespace["properties"]
    item = {**fields["objects"]["items"], "required": ["name"]}
    association = {**fields["resource_type_associations"]["items"], "required": ["name"]}
    tag = {**fields["tags"]["items"], "required": ["name"]}
    associations = _new(association, name=_NAME, prefix=_SHORT, properties_target=_SHORT)
    return _new(
        namespace,
        namespace=_NAME,
        display_name=_SHORT,
        description={**fields["description"], "pattern": STORABLE_PATTERN},
        owner={**fields["owner"], "pattern": STORABLE_PATTERN},
        resource_type_associations=_unique(associations),
        properties=_new_properties(schema),
        objects=_unique(_new_object(item, schema)),
        tags=_unique(_new(tag, name=_NAME)),
    )
