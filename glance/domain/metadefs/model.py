"""What the catalogue of metadata definitions holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from glance.domain.errors import NotFound
from glance.domain.metadefs.definition import DEFAULT_OWNER
from glance.domain.metadefs.names import VISIBILITIES
from glance.domain.text import shorten

PUBLIC, PRIVATE = VISIBILITIES


@dataclass(slots=True)
class Association:
    """A resource type that a namespace is for.

    :param name: of the resource type, such as ``OS::Nova::Flavor``.
    :param prefix: what names of the namespace's properties begin with there.
    :param properties_target: which of the resource's properties are meant, where it has several.
    """

    name: str
    prefix: str | None = None
    properties_target: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(slots=True)
class ResourceType:
    """A kind of things that properties are for.

    :param protected: whether it came with the catalogue.
    """

    name: str
    protected: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(slots=True)
class Property:
    """A property that things may have.

    :param schema: what values it takes, by the names of :data:`PROPERTY_FIELDS`.
    """

    name: str
    schema: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(slots=True)
class Object:
    """Properties that go together.

    :param required: names of those that must be set with the others.
    :param properties: schemas by the names of properties.
    """

    name: str
    description: str | None = None
    required: list[str] = field(default_factory=list)
    properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(slots=True)
class Tag:
    """A word that things may be given."""

    name: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(slots=True)
class Namespace:
    """A named part of the catalogue, with all that it defines.

    :param id: the catalogue's own number; 0 until it is saved.
    :param owner: the project that it belongs to.
    :param protected: whether it and what is in it are kept from being deleted.
    """

    name: str
    owner: str = DEFAULT_OWNER
    visibility: str = PRIVATE
    protected: bool = False
    display_name: str | None = None
    description: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    id: int = 0
    associations: list[Association] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)


#: What a property's schema may tell, in the order in which it is shown.
PROPERTY_FIELDS = (
    "type", "title", "description", "operators", "default", "required", "readonly",
    "confidential", "minimum", "maximum", "enum", "pattern", "minLength", "maxLength", "items",
    "uniqueItems", "minItems", "maxItems", "additionalItems",
)  # fmt: skip


def ordered(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property's schema as it is shown: known fields that have a value, in order.

    Defaults are text, whatever the property's type, and however they came into the catalogue.
    """
    shown = {
        name: value
        for name in PROPERTY_FIELDS
        if name in schema and (value := schema[name]) is not None
    }
    default = shown.get("default")
    if isinstance(default, bool | int | float):
        shown["default"] = str(default)
    return shown


def no_such_namespace(name: str) -> NotFound:
    """Return the error for a namespace that is not there, or not there for this caller."""
    return NotFound(f"Namespace {shorten(name)} not found.")
