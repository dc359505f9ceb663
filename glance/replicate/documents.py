"""Images as the Image API v2 has them in JSON, and what of them is copied.

What a service writes itself, such as sizes and hashes, proves a copy and is never sent; where data
is (locations, stores, direct_url) is a secret of its service and is not even kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from glance.replicate.reading import Reader
from glance.replicate.record import FIELDS, ImageRecord

#: Names that are no custom properties and are not copied: the service on the other side writes its
#: own, or the API reserves them.
NEVER_COPIED = frozenset(
    {
        "checksum", "created_at", "deleted", "deleted_at", "direct_url", "file", "id", "location",
        "locations", "os_hash_algo", "os_hash_value", "schema", "self", "size", "status", "stores",
        "updated_at", "virtual_size",
    }
)  # fmt: skip

#: Services note their own work in custom properties whose names begin so.
INTERNAL_PREFIX = "os_glance"

#: What ``--dontreplicate`` is where nobody says otherwise: names of fields or custom properties.
#: Beside these, ``tags``, ``members`` and ``properties`` stand for all of them.
DONT_REPLICATE = frozenset({"created_at", "date", "deleted_at", "location", "updated_at"})

_BASE = frozenset(FIELDS) | NEVER_COPIED | {"tags"}
_NUMBERS = ("min_disk", "min_ram")
_TRUTHS = ("protected", "os_hidden")
#: Null is a value of these: a name, a format or an owner that the image has not.
_NULLABLE = ("name", "disk_format", "container_format", "owner")


def is_property(name: str) -> bool:
    """Tell whether a member of an image in JSON is a custom property that can be copied."""
    return name not in _BASE and not name.startswith(INTERNAL_PREFIX)


def read_image(
    document: object, where: str, members: Mapping[str, str] | None = None
) -> ImageRecord:
    """Read an image as the Image API v2 shows it.

    :param document: the decoded JSON; with ``members``, a list, where the service gave them along.
    :param where: the image was found, for messages.
    :param members: as :func:`read_members` found them apart.
    :raises BadDocument: it cannot be read.
    """
    reader = Reader(document, where)
    properties = {
        name: reader.property(name)
        for name, value in reader.document.items()
        # A custom property may be called so, but is no list.
        if is_property(name) and not (name == "members" and isinstance(value, list))
    }
    if members is None and isinstance(reader.document.get("members"), list):
        members = read_members(document, where)
    return replace(
        read_proof(reader),
        fields=read_fields(reader),
        # A service always shows the tags, even if there are none.
        tags=reader.texts("tags") or frozenset(),
        properties=properties,
        members=members,
    )


def read_members(document: object, where: str) -> dict[str, str]:
    """Read the members of an image, as ``GET /v2/images/{id}/members`` or a dump has them.

    :param document: the decoded JSON, with a list of objects under ``members``.
    :param where: for messages.
    :returns: status by project.
    :raises BadDocument: it cannot be read.
    """
    return {
        member.needed("member_id"): member.needed("status")
        for member in Reader(document, where).objects("members")
    }


def read_proof(reader: Reader) -> ImageRecord:
    """Read what identifies an image and proves its data.

    :raises BadDocument: it cannot be read.
    """
    algorithm, value = reader.text("os_hash_algo"), reader.digest("os_hash_value")
    whole = bool(algorithm and value)
    return ImageRecord(
        reader.image_id("id"),
        reader.needed("status"),
        size=reader.number("size"),
        checksum=reader.digest("checksum"),
        hash_algorithm=algorithm if whole else None,
        hash_value=value if whole else None,
        created_at=reader.text("created_at"),
        updated_at=reader.text("updated_at"),
    )


def read_fields(reader: Reader) -> dict[str, Any]:
    """Read the fields that are copied, as far as they are there.

    :raises BadDocument: one cannot be read.
    """
    found: dict[str, Any] = {}
    for name in FIELDS:
        value: Any
        if name in _NUMBERS:
            value = reader.number(name)
        elif name in _TRUTHS:
            value = reader.truth(name)
        else:
            value = reader.text(name)
        if value is not None or (name in _NULLABLE and name in reader.document):
            found[name] = value
    return found


def without(record: ImageRecord, names: Collection[str]) -> ImageRecord:
    """Return a record without what is not to be replicated.

    What identifies an image, proves its data and tells its age is kept.

    :param names: of fields and custom properties; ``tags``, ``members`` and ``properties`` stand
        for all of them.
    """
    return replace(
        record,
        fields={name: value for name, value in record.fields.items() if name not in names},
        tags=None if "tags" in names else record.tags,
        properties={
            name: value
            for name, value in record.properties.items()
            if name not in names and "properties" not in names
        },
        members=None if "members" in names else record.members,
    )


def creation_body(
    record: ImageRecord, dontreplicate: Collection[str] = DONT_REPLICATE
) -> dict[str, Any]:
    """Return the body of ``POST /v2/images`` that makes an image of the same id and attributes.

    ``protected`` is not in it: an image that is not complete must be removable, so it is set when
    the data is there. A null is said of the owner alone, for other fields are null without saying.

    :param dontreplicate: names as of :func:`without`.
    """
    kept = without(record, dontreplicate)
    body: dict[str, Any] = {"id": record.image_id}
    for name, value in kept.fields.items():
        if name != "protected" and (value is not None or name == "owner"):
            body[name] = value
    if kept.tags:
        body["tags"] = sorted(kept.tags)
    body.update(kept.properties)
    return body
