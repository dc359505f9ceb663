"""What clients send of metadata definitions, checked and made into values of the model.

The JSON schemas say most of it; what they cannot say is checked here too: what databases can hold,
which names a path can have, what belongs to the service. What is taken here can be exported to a
file, and loaded from there again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import fastjsonschema
import orjson

from glance.domain.errors import Duplicate, Forbidden, Invalid
from glance.domain.image import INT_MAX
from glance.domain.metadefs.checking import LONGEST_TEXT
from glance.domain.metadefs.definition import DEFAULT_OWNER
from glance.domain.metadefs.documents import metadef_schemas
from glance.domain.metadefs.model import (
    PRIVATE,
    PROPERTY_FIELDS,
    Association,
    Namespace,
    Object,
    Property,
    Tag,
    ordered,
)
from glance.domain.metadefs.names import LONGEST_NAME, SEPARATOR, fits_path
from glance.domain.text import check_storable, shape, shorten
from glance.domain.violations import check_fits, mismatch

#: What only the service sets.
_READ_ONLY = frozenset({"created_at", "updated_at", "schema", "self"})
#: Fields that are whole numbers, which JSON schema takes 1.0 for as well.
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
#: Fields that are any numbers; whole ones are as large as programs in other languages can read.
_BOUNDS = ("minimum", "maximum")
_LARGEST = 2**63 - 1


def parse_namespace(body: object, project_id: str | None) -> Namespace:
    """Make a new namespace of a client's description, with all that it is to define.

    :param body: the decoded JSON of the request.
    :param project_id: the caller's project, which owns it unless the description says otherwise.
    :raises Invalid: the description breaks a rule; the message names the field.
    :raises Forbidden: it sets what only the service sets.
    :raises Duplicate: it defines something twice.
    """
    fields = _checked("namespace", body)
    namespace = _namespace(fields, project_id or DEFAULT_OWNER)
    namespace.associations = [
        _association(item) for item in fields.get("resource_type_associations", ())
    ]
    namespace.properties = [
        Property(_name(name, "property"), property_schema(schema, name))
        for name, schema in fields.get("properties", {}).items()
    ]
    namespace.objects = [_object(item) for item in fields.get("objects", ())]
    namespace.tags = [_tag(item) for item in fields.get("tags", ())]
    _check_unique("resource type", (item.name for item in namespace.associations))
    _check_unique("object", (item.name for item in namespace.objects))
    _check_unique("tag", (item.name for item in namespace.tags))
    return namespace


def parse_namespace_change(body: object, project_id: str | None) -> Namespace:
    """Make what a namespace is to become of a client's description.

    What is left out gets the value that it would have in a new one; what the namespace defines
    is none of it. The owner is empty where nobody says who.

    Parameters and errors are those of :func:`parse_namespace`.
    """
    return _namespace(_checked("namespace", body), project_id or "")


def parse_association(body: object) -> Association:
    """Make the association with a resource type of a client's description."""
    return _association(_checked("resource_type", body))


def parse_property(body: object) -> Property:
    """Make a property of a client's description."""
    fields = dict(_checked("property", body))
    name = _name(fields.pop("name"), "property")
    return Property(name, property_schema(fields, name))


def parse_object(body: object) -> Object:
    """Make an object of a client's description."""
    return _object(_checked("object", body))


def parse_tag(body: object) -> Tag:
    """Make a tag of a client's description."""
    return _tag(_checked("tag", body))


def parse_tags(body: object) -> list[Tag]:
    """Make several tags of a client's description.

    :raises Duplicate: one of them is there twice.
    """
    tags = [_tag(item) for item in _checked("tags", body)["tags"]]
    _check_unique("tag", (tag.name for tag in tags))
    return tags


def parse_tag_name(name: str) -> Tag:
    """Make a tag of its name alone."""
    return _tag({"name": name})


def property_schema(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the schema of a property as it is kept, of one that fits the served document.

    Default values are kept as text, whatever the property's type.

    :param name: the property, for messages.
    :raises Invalid: the schema has what no property has.
    """
    what = f"Property {shorten(name)}"
    # Among others it is known by the name that they have for it.
    _check_known(what, schema, (*PROPERTY_FIELDS, "name"))
    kept = ordered(schema)
    default = kept.get("default", "")
    if not isinstance(default, str):
        raise Invalid(
            f"{what}: default must be a string, a number or a boolean, not {shape(default)}."
        )
    for field in _COUNTS:
        if field in kept:
            kept[field] = int(kept[field])
            if kept[field] > INT_MAX:
                raise Invalid(f"{what}: {field} must be at most {INT_MAX}.")
    for field in _BOUNDS:
        bound = kept.get(field)
        if isinstance(bound, int) and not -_LARGEST - 1 <= bound <= _LARGEST:
            raise Invalid(f"{what}: {field} is too large a number.")
    _check_texts(kept.get("enum", ()), f"{what}: enum")
    items = kept.get("items")
    if items is not None:
        _check_known(f"{what}: items", items, ("type", "enum"))
        if "type" not in items:
            raise Invalid(f"{what}: items must have a type.")
        _check_texts(items.get("enum", ()), f"{what}: enum of items")
    for text in _texts(kept):
        check_storable(text, what)
    _check_size(orjson.dumps(kept), what)
    return kept


def _namespace(fields: Mapping[str, Any], owner: str) -> Namespace:
    namespace = Namespace(
        _name(fields["namespace"], "namespace"),
        owner=fields.get("owner") or owner,
        visibility=fields.get("visibility", PRIVATE),
        protected=fields.get("protected", False),
        display_name=fields.get("display_name"),
        description=fields.get("description"),
    )
    for field in ("owner", "display_name", "description"):
        check_storable(getattr(namespace, field) or "", field)
    return namespace


def _association(fields: Mapping[str, Any]) -> Association:
    _check_known("A resource type association", fields, ("name", "prefix", "properties_target"))
    association = Association(
        _name(fields.get("name"), "resource type"),
        fields.get("prefix"),
        fields.get("properties_target"),
    )
    for field in ("prefix", "properties_target"):
        _check_short(getattr(association, field) or "", field)
    return association


def _object(fields: Mapping[str, Any]) -> Object:
    name = _name(fields.get("name"), "object")
    what = f"Object {shorten(name)}"
    _check_known(what, fields, ("name", "description", "required", "properties"))
    description = fields.get("description")
    check_storable(description or "", f"{what}: description")
    _check_size((description or "").encode(), f"{what}: description")
    required = list(fields.get("required", ()))
    for required_name in required:
        # They are kept in one text, with commas between them.
        if not required_name or SEPARATOR in required_name:
            raise Invalid(
                f"{what}: required has {shorten(required_name)}; a name there must not be empty"
                " and must not contain a comma."
            )
        _check_short(required_name, f"{what}: a name in required")
    _check_size(SEPARATOR.join(required).encode(), f"{what}: required")
    properties = {}
    for inner, schema in fields.get("properties", {}).items():
        _name(inner, "property")
        properties[inner] = property_schema(schema, inner)
    _check_size(orjson.dumps(properties), f"{what}: properties")
    return Object(name, description, required, properties)


def _tag(fields: Mapping[str, Any]) -> Tag:
    _check_known("A tag", fields, ("name",))
    return Tag(_name(fields.get("name"), "tag"))


@cache
def _checker(name: str) -> Callable[[Any], Any]:
    document = metadef_schemas()[f"metadefs/{name}"]
    if name == "tags":
        # The one that is served is of answers, and does not say that each is an object.
        item = {**document["properties"]["tags"]["items"], "type": "object"}
        document = {
            "properties": {"tags": {"type": "array", "items": item}},
            "required": ["tags"],
            "additionalProperties": False,
        }
    # Patterns are for programs in other languages to read, whose expressions may be different ones.
    return fastjsonschema.compile(document, use_default=False, use_formats=False)


def _checked(name: str, body: object) -> dict[str, Any]:
    schema = "resource_type_association" if name == "resource_type" else name
    if not isinstance(body, dict):
        raise mismatch(schema, f"it must be a JSON object, not {shape(body)}.")
    read_only = next((field for field in body if field in _READ_ONLY), None)
    if read_only is not None and name != "tags":
        raise Forbidden(f"Attribute {read_only} is read-only.")
    check_fits(_checker(name), body, schema)
    return body


def _name(name: object, what: str) -> str:
    """Check a name that becomes part of a path."""
    if not isinstance(name, str) or not name:
        raise Invalid(f"The name of {_a(what)} must be given, and not be empty.")
    if not fits_path(name):
        raise Invalid(
            f"{shorten(name)} cannot be the name of {_a(what)}: no path could have it as a part."
        )
    _check_short(name, f"The name of {_a(what)}")
    return name


def _a(what: str) -> str:
    return f"an {what}" if what == "object" else f"a {what}"


def _check_short(text: str, what: str) -> None:
    if len(text) > LONGEST_NAME:
        raise Invalid(
            f"{what} must be a string of length {LONGEST_NAME} at most, not {shape(text)}."
        )
    check_storable(text, what)


def _check_size(kept: bytes, what: str) -> None:
    """Check that a text fits where it is kept, which not every database would say."""
    if len(kept) > LONGEST_TEXT:
        raise Invalid(f"{what} takes {len(kept)} bytes, but {LONGEST_TEXT} is the most.")


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts among the values of what fits a schema."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _check_known(what: str, fields: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse what has no place, but for what a copy of an answer has."""
    for name in fields:
        if name not in known and name not in _READ_ONLY:
            raise Invalid(f"{what} has {shorten(name)}, which is not one of {', '.join(known)}.")


def _check_texts(values: Iterable[Any], what: str) -> None:
    for value in values:
        if not isinstance(value, str):
            raise Invalid(f"{what} must be a list of strings; it has {shape(value)}.")


def _check_unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Duplicate(f"The {what} {shorten(name)} is there twice.")
        seen.add(name)
