"""What policy rules are asked about, as the attributes that checks may name.

An attribute without a value is not there at all: a check that names it fails. So a caller without
a project is never taken for the owner of an image without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, Protocol

from glance.domain.image import SHARED, Image
from glance.domain.metadefs.model import Namespace

#: Reads an attribute's text off a target; ``None`` when it has none.
Getter = Callable[[Any], str | None]

#: Fields of images that checks may name. Where the data is stays out: it may hold credentials.
_FIELDS = frozenset(field.name for field in fields(Image)) - {"properties", "locations"}

#: Fields that are text already.
_TEXTS = frozenset({"id", "status", "name", "visibility", "owner"})


class Kind(Protocol):
    """One kind of target."""

    def attribute(self, name: str, project_id: str | None) -> Getter | str | None:
        """Return how to read an attribute, or its text where it is the same for all targets.

        :param project_id: the caller's project.
        """

    def mapping(self, target: Any, project_id: str | None) -> Mapping[str, Any]:
        """Return all attributes of a target."""


class _Images:
    """Images: their fields, custom properties by name, the owner again as ``project_id``, and
    ``member_id``, the caller's project where the image is shared with it.

    That it is shared with just this project need not be looked up: nobody else comes across a
    shared image of another project.
    """

    def attribute(self, name: str, project_id: str | None) -> Getter | str | None:
        if name == "project_id":
            return attrgetter("owner")
        if name == "member_id":
            if project_id is None:
                return None
            return lambda image: project_id if _shared_with(image, project_id) else None
        if name in _TEXTS:
            return attrgetter(name)
        if name in _FIELDS:
            read = attrgetter(name)
            return lambda image: None if (value := read(image)) is None else str(value)
        # Properties come last, so that none of them passes for a field.
        return lambda image: image.properties.get(name)

    def mapping(self, target: Any, project_id: str | None) -> Mapping[str, Any]:
        found: dict[str, Any] = {
            **target.properties,
            **{name: getattr(target, name) for name in _FIELDS},
            "project_id": target.owner,
            "member_id": project_id if _shared_with(target, project_id) else None,
        }
        return {name: value for name, value in found.items() if value is not None}


class _Namespaces:
    """Namespaces of metadata definitions: name, visibility, owner, and that as ``project_id``."""

    def attribute(self, name: str, project_id: str | None) -> Getter | str | None:
        field = _NAMESPACE_FIELDS.get(name)
        return None if field is None else attrgetter(field)

    def mapping(self, target: Namespace, project_id: str | None) -> Mapping[str, Any]:
        return {name: getattr(target, field) for name, field in _NAMESPACE_FIELDS.items()}


#: Attributes of namespaces that checks may name, and the fields where they are.
_NAMESPACE_FIELDS = {
    "project_id": "owner", "owner": "owner", "visibility": "visibility", "namespace": "name",
}  # fmt: skip


class _Mappings:
    """Whatever has been put into a mapping of attributes by name."""

    def attribute(self, name: str, project_id: str | None) -> Getter | str | None:
        return lambda target: None if (value := target.get(name)) is None else str(value)

    def mapping(self, target: Any, project_id: str | None) -> Mapping[str, Any]:
        return {name: value for name, value in target.items() if value is not None}


class _Nothing:
    """No target: what is asked for is the caller's project's."""

    def attribute(self, name: str, project_id: str | None) -> Getter | str | None:
        return project_id if name == "project_id" else None

    def mapping(self, target: Any, project_id: str | None) -> Mapping[str, Any]:
        return {} if project_id is None else {"project_id": project_id}


IMAGES: Kind = _Images()
NAMESPACES: Kind = _Namespaces()
MAPPINGS: Kind = _Mappings()
NOTHING: Kind = _Nothing()


def _shared_with(image: Image, project_id: str | None) -> bool:
    return image.visibility == SHARED and image.owner != project_id
