"""The rules that a client's description of an image must meet, and how one becomes an image.

The JSON schema says most of it; what it cannot say (what databases can hold, which names belong to
the service) is checked here too, so that nothing further in meets a value it cannot keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import fastjsonschema

from glance.domain.documents import (
    Document,
    image_schema,
    images_schema,
    member_schema,
    members_schema,
    served_schemas,
    task_schema,
    tasks_schema,
)
from glance.domain.errors import ConfigError, Forbidden
from glance.domain.image import INT_MAX, Image
from glance.domain.protection import Guard
from glance.domain.quotas import INTERNAL_PREFIX, Quotas
from glance.domain.text import check_storable, shape, shorten
from glance.domain.violations import check_fits, mismatch

__all__ = [
    "BASE_FIELDS",
    "READ_ONLY",
    "ImageValidator",
    "assign",
    "check_name_free",
    "image_schema",
    "images_schema",
    "member_schema",
    "members_schema",
    "parse_create",
    "served_schemas",
    "task_schema",
    "tasks_schema",
]

#: Fields of every image that its owner sets.
_SETTABLE = frozenset(
    {
        "name", "visibility", "protected", "os_hidden", "owner", "container_format", "disk_format",
        "min_ram", "min_disk", "tags",
    }
)  # fmt: skip
#: Fields that only the service sets. The identifier may be chosen when the image is made.
READ_ONLY = frozenset(
    {
        "checksum", "created_at", "direct_url", "file", "os_hash_algo", "os_hash_value", "schema",
        "self", "size", "status", "stores", "updated_at", "virtual_size",
    }
)  # fmt: skip
#: Names that are no fields, yet cannot be custom properties either.
_RESERVED = frozenset({"location", "deleted", "deleted_at"})
BASE_FIELDS = _SETTABLE | READ_ONLY | {"id", "locations"}

#: Width of the column that holds a custom property's name.
_NAME_LENGTH = 255


class ImageValidator:
    """Check fields of images against the schema and against what can be stored.

    :param disk_formats: values of the option ``[image_format] disk_formats``.
    :param container_formats: values of the option ``[image_format] container_formats``.
    :param custom: the content of ``schema-image.json``, if there is one.
    :raises ConfigError: the content of ``schema-image.json`` cannot be used.
    """

    def __init__(
        self,
        disk_formats: Sequence[str],
        container_formats: Sequence[str],
        custom: Mapping[str, Any] | None = None,
    ) -> None:
        document = image_schema(disk_formats, container_formats, custom)
        self._whole = _compile(document)
        # A change names some fields only, so it cannot be asked for the required ones.
        self._part = self._whole
        if "required" in document:
            self._part = _compile({k: v for k, v in document.items() if k != "required"})

    def validate_create(self, body: object) -> None:
        """Check the description of a new image.

        :param body: the decoded JSON of the request.
        :raises Invalid: it is no object, or a field breaks a rule; the message names the field.
        """
        if not isinstance(body, dict):
            raise mismatch("image", f"it must be a JSON object, not {shape(body)}.")
        self._check(self._whole, body)

    def validate_fields(self, fields: Mapping[str, Any]) -> None:
        """Check new values of some fields.

        :param fields: names and values.
        :raises Invalid: a field breaks a rule; the message names it.
        """
        self._check(self._part, fields)

    @staticmethod
    def _check(matches: Callable[[Any], Any], fields: Mapping[str, Any]) -> None:
        check_fits(matches, fields, "image")
        for name, value in fields.items():
            if name not in BASE_FIELDS:
                _check_custom(name, value)
            elif name in ("min_ram", "min_disk"):
                if not 0 <= value <= INT_MAX:
                    raise mismatch(
                        "image", f"{name!r} must be from 0 to {INT_MAX}, not {shape(value)}."
                    )
            elif name in ("name", "owner"):
                check_storable(value or "", name)
            elif name == "tags":
                for tag in value:
                    check_storable(tag, f"Tag {shorten(tag)}")


def check_name_free(name: str) -> None:
    """Check that a client may write a field or custom property of this name at all.

    :param name: the name.
    :raises Forbidden: only the service writes it.
    """
    if name in READ_ONLY:
        raise Forbidden(f"Attribute {name} is read-only.")
    if name in _RESERVED or name.startswith(INTERNAL_PREFIX):
        raise Forbidden(f"Attribute {shorten(name)} is reserved for the service.")


def assign(image: Image, name: str, value: Any) -> None:
    """Set a field or custom property of an image to a value that was validated.

    :param image: the image, which is changed.
    :param name: one of the settable fields, or the name of a custom property.
    :param value: the new value.
    """
    if name == "tags":
        image.tags = list(dict.fromkeys(value))
    elif name in ("min_ram", "min_disk"):
        setattr(image, name, int(value))  # JSON schema takes 1.0 for an integer
    elif name in _SETTABLE:
        setattr(image, name, value)
    else:
        image.properties[name] = value


def parse_create(
    body: object,
    *,
    default_owner: str | None,
    validator: ImageValidator,
    quotas: Quotas = Quotas(),  # noqa: B008 - immutable
    guard: Guard | None = None,
    new_id: Callable[[], str] = lambda: str(uuid4()),
) -> Image:
    """Make a new image of a client's description.

    :param body: the decoded JSON of the request.
    :param default_owner: the caller's project.
    :param validator: the rules of the configuration.
    :param quotas: how much the image may hold.
    :param guard: what the caller may do to custom properties, where they are protected.
    :param new_id: makes the identifier when the description has none.
    :raises Invalid: the description breaks a rule.
    :raises Forbidden: it sets what only the service sets, or a property protected from the caller.
    :raises LimitExceeded: it has too many properties or tags.
    """
    validator.validate_create(body)
    assert isinstance(body, dict)
    identifier = body.get("id")
    image = Image(new_id() if identifier is None else identifier.lower(), owner=default_owner)
    for name, value in body.items():
        check_name_free(name)
        if name == "locations":
            raise Forbidden("Attribute locations is reserved: a new image has no data yet.")
        if guard is not None and name not in BASE_FIELDS:
            guard.check("create", name)
        if name != "id":
            assign(image, name, value)
    quotas.check_properties(image.properties)
    quotas.check_tags(len(image.tags))
    return image


def _compile(document: Document) -> Callable[[Any], Any]:
    try:
        return fastjsonschema.compile(document, use_default=False)
    except Exception as error:  # whatever a file written by hand can provoke in the compiler
        raise ConfigError(
            f"schema-image.json: {_culprit(document)} has a description that is no JSON schema: "
            f"{error}"
        ) from error


def _culprit(document: Document) -> str:
    for name, schema in document["properties"].items():
        try:
            fastjsonschema.compile(schema, use_default=False)
        except Exception:
            return f"property {shorten(name)}"
    return "a property"


def _check_custom(name: str, value: object) -> None:
    if not name:
        raise mismatch("image", "the name of a property must not be empty.")
    if len(name) > _NAME_LENGTH:
        raise mismatch(
            "image", f"the name {shorten(name)} is longer than {_NAME_LENGTH} characters."
        )
    check_storable(name, f"The property name {shorten(name)}")
    # schema-image.json may allow other types; the catalogue holds text, or null where allowed.
    if isinstance(value, str):
        check_storable(value, f"Property {shorten(name)}")
    elif value is not None:
        raise mismatch("image", f"{shorten(name)} must be a string, not {shape(value)}.")
