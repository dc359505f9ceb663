"""Changes to an image in the form of JSON patch, both media types of the API.

Parsing (is this a list of operations on fields?) is apart from applying (may this image be changed
so?), because the API answers 400 to the first and mostly 403 or 409 to the second. Applying works
on a copy, so a list of operations takes effect wholly or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from glance.domain import location_changes
from glance.domain.errors import Conflict, Forbidden, Invalid
from glance.domain.image import IMPORTING, QUEUED, Image
from glance.domain.location_changes import NewPlaces
from glance.domain.protection import Guard
from glance.domain.quotas import Quotas
from glance.domain.schemas import BASE_FIELDS, ImageValidator, assign, check_name_free
from glance.domain.text import shape, shorten

#: The media types of ``PATCH``, as ``Accept-Patch`` lists them.
MEDIA_TYPE_V21 = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPE_V20 = "application/openstack-images-v2.0-json-patch"

Op = Literal["add", "replace", "remove"]

_OPS = ("add", "replace", "remove")
_BAD_ESCAPE = re.compile("~(?![01])")
_POSITION = re.compile("-|[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One change.

    :param op: what is done.
    :param path: the name of the field or custom property; for ``locations`` also the position.
    :param value: the new value; nothing for ``remove``.
    :param exclusive: whether ``add`` refuses to overwrite, as it does in the older media type.
    """

    op: Op
    path: tuple[str, ...]
    value: Any = None
    exclusive: bool = False


def parse_v21(body: object) -> list[Operation]:
    """Read a body of the media type v2.1: ``{"op": …, "path": …, "value": …}``.

    :param body: the decoded JSON of the request.
    :raises Invalid: it is no list of such operations.
    """
    operations = []
    for item in _items(body):
        op = item.get("op")
        if op not in _OPS:
            known = "not supported" if op in ("move", "copy", "test") else "unknown or missing"
            raise Invalid(f"A change's op is {known}: use add, replace or remove.")
        if "path" not in item:
            raise Invalid(f"A change's path is missing: {op} needs one.")
        operations.append(_operation(op, item["path"], item, exclusive=False))
    return operations


def parse_v20(body: object) -> list[Operation]:
    """Read a body of the media type v2.0: ``{"<op>": <path>, "value": …}``.

    :param body: the decoded JSON of the request.
    :raises Invalid: it is no list of such operations.
    """
    operations = []
    for item in _items(body):
        ops = [op for op in _OPS if op in item]
        if len(ops) != 1:
            raise Invalid("A change must have exactly one of the keys add, replace and remove.")
        operations.append(_operation(ops[0], item[ops[0]], item, exclusive=ops[0] == "add"))
    return operations


def apply(
    image: Image,
    operations: list[Operation],
    *,
    is_admin: bool,
    validator: ImageValidator,
    quotas: Quotas,
    places: NewPlaces | None = None,
    guard: Guard | None = None,
) -> Image:
    """Return a changed copy of an image.

    :param image: the image as it is; it stays so.
    :param operations: the changes, done in order.
    :param is_admin: whether the caller may give the image to another project.
    :param validator: the rules of the configuration.
    :param quotas: how much the image may hold.
    :param places: what was found out of the locations that are added; ``None`` where callers
        may not see locations, nor change them.
    :param guard: what the caller may do to custom properties, where they are protected.
    :raises Invalid: a value breaks a rule.
    :raises Forbidden: the field cannot be changed, or not by this caller, or not in this state.
    :raises Conflict: a property to replace or remove is not there, or one to add is.
    :raises LimitExceeded: the image would get too many properties or tags.
    """
    changed = replace(
        image,
        properties=dict(image.properties),
        tags=list(image.tags),
        locations=list(image.locations),
    )
    for operation in operations:
        name = operation.path[0]
        if name == "locations":
            _change_locations(changed, operation, places, quotas)
            continue
        check_name_free(name)
        if name == "id":
            raise Forbidden("Attribute id is read-only.")
        if guard is not None and name not in BASE_FIELDS:
            guard.check_change(operation.op, name, present=name in changed.properties)
        if operation.op == "remove":
            _remove(changed, name)
        else:
            _set(changed, operation, is_admin, validator)
    # An image may exceed a quota that was lowered: what it has, it keeps, and can be made less.
    if changed.properties.keys() - image.properties.keys():
        quotas.check_properties(changed.properties)
    if set(changed.tags) - set(image.tags):
        quotas.check_tags(len(changed.tags))
    return changed


def _items(body: object) -> list[dict[str, Any]]:
    if not isinstance(body, list):
        raise Invalid(f"The body must be a JSON list of changes, not {shape(body)}.")
    for item in body:
        if not isinstance(item, dict):
            raise Invalid(f"Each change must be a JSON object, not {shape(item)}.")
    return body


def _operation(op: str, path: object, item: dict[str, Any], *, exclusive: bool) -> Operation:
    pointer = _pointer(op, path)
    if op == "remove":
        return Operation("remove", pointer)
    if "value" not in item:
        raise Invalid(f"A change's value is missing: {op} needs one.")
    return Operation(cast(Op, op), pointer, item["value"], exclusive)


def _pointer(op: str, path: object) -> tuple[str, ...]:
    """Read a JSON pointer to a field, a custom property or one location."""
    if not isinstance(path, str):
        raise Invalid(f"A change's path must be a string, not {shape(path)}.")
    if not path.startswith("/"):
        raise Invalid(f"The path {shorten(path)} must start with a slash.")
    if _BAD_ESCAPE.search(path):
        raise Invalid(f"The path {shorten(path)} has a ~ that is neither ~0 nor ~1.")
    tokens = path[1:].split("/")
    if not all(tokens):
        raise Invalid(f"The path {shorten(path)} has an empty part.")
    pointer = tuple([token.replace("~1", "/").replace("~0", "~") for token in tokens])
    if pointer[0] == "locations" and op != "replace":
        if len(pointer) != 2 or not _POSITION.fullmatch(pointer[1]):
            raise Invalid(f"The path to {op} a location is /locations/ and a number or -.")
    elif len(pointer) != 1:
        raise Invalid(
            f"The path {shorten(path)} goes too deep: a field is changed as a whole, and a slash"
            " within a name is written ~1."
        )
    return pointer


def added_locations(operations: Iterable[Operation]) -> list[object]:
    """Return the values of the locations that a patch adds, as they are."""
    values: list[object] = []
    for operation in operations:
        if operation.path[0] != "locations" or operation.op == "remove":
            continue
        if operation.op == "add":
            values.append(operation.value)
        elif isinstance(operation.value, list):
            values += operation.value
    return values


def touches_locations(operations: Iterable[Operation], *ops: Op) -> bool:
    """Tell whether a patch does one of some operations to locations."""
    return any(op.path[0] == "locations" and op.op in ops for op in operations)


def _change_locations(
    image: Image, operation: Operation, places: NewPlaces | None, quotas: Quotas
) -> None:
    if places is None:
        raise Forbidden(location_changes.HIDDEN)
    if operation.op == "add":
        location_changes.add(image, operation.path[1], operation.value, places, quotas)
    elif operation.op == "remove":
        location_changes.remove(image, operation.path[1])
    else:
        location_changes.replace_all(image, operation.value, places, quotas)


def _remove(image: Image, name: str) -> None:
    if name in BASE_FIELDS:
        raise Forbidden(f"Attribute {name} is part of every image and cannot be removed.")
    if name not in image.properties:
        raise _missing(name)
    del image.properties[name]


def _set(image: Image, operation: Operation, is_admin: bool, validator: ImageValidator) -> None:
    name = operation.path[0]
    base = name in BASE_FIELDS
    validator.validate_fields({name: operation.value})
    if name == "owner" and not is_admin:
        raise Forbidden("Only an administrator can change an image's owner.")
    if name in ("disk_format", "container_format") and not (
        image.status == QUEUED or (image.status == IMPORTING and operation.value is not None)
    ):
        raise Forbidden(
            f"Attribute {name} can be changed only before the image has data;"
            f" the image is {image.status}."
        )
    if operation.exclusive and (base or name in image.properties):
        raise Conflict(f"Property {shorten(name)} is already present; replace it instead.")
    if operation.op == "replace" and not base and name not in image.properties:
        raise _missing(name)
    assign(image, name, operation.value)


def _missing(name: str) -> Conflict:
    return Conflict(f"Property {shorten(name)} does not exist.")
