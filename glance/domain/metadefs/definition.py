"""A namespace with all that it defines, as one value.

What it consists of is kept alike for every kind, by name, so that reading, comparing and writing
need to be said once only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

#: Whom a namespace belongs to whose file does not say.
DEFAULT_OWNER = "admin"

#: What is said of a namespace itself, in the order in which files have it.
OWN_FIELDS = ("display_name", "description", "visibility", "protected", "owner")


class Kind(Enum):
    """What a namespace consists of; the value is how people call one."""

    RESOURCE_TYPE = "resource type"
    PROPERTY = "property"
    OBJECT = "object"
    TAG = "tag"

    def counted(self, number: int) -> str:
        """Return a number of these, in words."""
        if number == 1:
            return f"1 {self.value}"
        return f"{number} {'properties' if self is Kind.PROPERTY else self.value + 's'}"


@dataclass(frozen=True, slots=True)
class Association:
    """What a namespace is to a type of resources.

    :param prefix: comes before the names of its properties on such a resource.
    :param properties_target: what of the resource has the properties, if not itself.
    """

    prefix: str | None = None
    properties_target: str | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """Properties that belong together.

    :param required: names of those that have to be given.
    :param properties: their schemas by name.
    """

    description: str | None = None
    required: tuple[str, ...] = ()
    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


#: What there is of each kind, by name: an :class:`Association`, a property's schema, an
#: :class:`Object`, ``None`` for a tag.
Parts = Mapping[Kind, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Definition:
    """A namespace.

    :param own: values of ``OWN_FIELDS``, those that are said.
    :param parts: every kind, in the order in which each is to be kept.
    """

    name: str
    own: Mapping[str, Any]
    parts: Parts
