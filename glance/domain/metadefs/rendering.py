"""How metadata definitions look in a reply: what has no value is left out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from glance.domain.metadefs.model import (
    Association,
    Namespace,
    Object,
    Property,
    ResourceType,
    Tag,
)
from glance.domain.rendering import page_of

PATH = "/v2/metadefs/namespaces"

# What a part of a path may have as it is (RFC 3986, section 3.3).
_PLAIN = ":@!$&'()*+,;="


@lru_cache(maxsize=1024)
def path_of(namespace: str, *parts: str) -> str:
    """Return the path of a namespace or of something in it."""
    return "/".join([PATH, *(quote(part, safe=_PLAIN) for part in (namespace, *parts))])


def render_namespace(namespace: Namespace) -> dict[str, Any]:
    """Build the JSON object of a namespace, without what it defines."""
    return _ended(_namespace(namespace), namespace)


def render_entry(namespace: Namespace) -> dict[str, Any]:
    """Build the JSON object of a namespace in a list, which tells what the namespace is for."""
    body = _namespace(namespace)
    if namespace.associations:
        body["resource_type_associations"] = render_associations(namespace.associations)
    return _ended(body, namespace)


def render_whole(namespace: Namespace, resource_type: str | None = None) -> dict[str, Any]:
    """Build the JSON object of a namespace with all that it defines.

    :param resource_type: what the properties are wanted for: they have the names that they have
        there.
    """
    body = _namespace(namespace)
    prefix = prefix_for(namespace.associations, resource_type)
    if namespace.associations:
        body["resource_type_associations"] = render_associations(namespace.associations)
    if namespace.properties:
        body["properties"] = render_properties(namespace.properties, prefix)
    if namespace.objects:
        body["objects"] = [
            render_object(item, namespace.name, prefix) for item in namespace.objects
        ]
    if namespace.tags:
        body["tags"] = [{"name": tag.name} for tag in namespace.tags]
    return _ended(body, namespace)


def prefix_for(associations: Iterable[Association], resource_type: str | None) -> str:
    """Return what names of properties begin with for a resource type."""
    for association in associations:
        if association.name == resource_type:
            return association.prefix or ""
    return ""


def render_namespaces(
    entries: Iterable[dict[str, Any]], first: str, following: str | None
) -> dict[str, Any]:
    """Build the JSON object of one page of the list of namespaces.

    :param entries: the rendered namespaces.
    :param first: the link to the list's first page.
    :param following: the link to the page after this one, ``None`` on the last.
    """
    return page_of("namespaces", entries, first, following, "/v2/schemas/metadefs/namespaces")


def render_associations(associations: Iterable[Association]) -> list[dict[str, Any]]:
    """Build the JSON list of the resource types that a namespace is for."""
    return [render_association(association) for association in associations]


def render_association(association: Association) -> dict[str, Any]:
    """Build the JSON object of an association with a resource type."""
    body: dict[str, Any] = {"name": association.name}
    if association.prefix is not None:
        body["prefix"] = association.prefix
    if association.properties_target is not None:
        body["properties_target"] = association.properties_target
    return _timed(body, association)


def render_resource_type(resource_type: ResourceType) -> dict[str, Any]:
    """Build the JSON object of a resource type."""
    return _timed({"name": resource_type.name}, resource_type)


def render_property(item: Property) -> dict[str, Any]:
    """Build the JSON object of a property by itself."""
    return {"name": item.name, **item.schema}


def render_properties(items: Iterable[Property], prefix: str = "") -> dict[str, Any]:
    """Build the JSON object of properties by their names."""
    return {prefix + item.name: item.schema for item in items}


def render_object(item: Object, namespace: str, prefix: str = "") -> dict[str, Any]:
    """Build the JSON object of an object.

    :param namespace: the name of its namespace.
    :param prefix: what names of properties begin with.
    """
    body: dict[str, Any] = {"name": item.name}
    if item.description is not None:
        body["description"] = item.description
    body["required"] = [prefix + name for name in item.required]
    body["properties"] = {prefix + name: schema for name, schema in item.properties.items()}
    body = _timed(body, item)
    body["self"] = path_of(namespace, "objects", item.name)
    body["schema"] = "/v2/schemas/metadefs/object"
    return body


def render_tag(tag: Tag) -> dict[str, Any]:
    """Build the JSON object of a tag."""
    return _timed({"name": tag.name}, tag)


def _namespace(namespace: Namespace) -> dict[str, Any]:
    body: dict[str, Any] = {"namespace": namespace.name}
    if namespace.display_name is not None:
        body["display_name"] = namespace.display_name
    if namespace.description is not None:
        body["description"] = namespace.description
    body["visibility"] = namespace.visibility
    body["protected"] = namespace.protected
    body["owner"] = namespace.owner
    return _timed(body, namespace)


def _ended(body: dict[str, Any], namespace: Namespace) -> dict[str, Any]:
    body["self"] = path_of(namespace.name)
    body["schema"] = "/v2/schemas/metadefs/namespace"
    return body


def _timed(body: dict[str, Any], item: Any) -> dict[str, Any]:
    created: datetime | None = item.created_at
    updated: datetime | None = item.updated_at
    if created is not None:
        body["created_at"] = created.isoformat(timespec="seconds") + "Z"
    if updated is not None:
        body["updated_at"] = updated.isoformat(timespec="seconds") + "Z"
    return body
