"""An image as the replicator sees it: what is copied of it, and what proves a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: What an image has besides tags, properties and members, and what is written on the other side.
FIELDS = (
    "name",
    "disk_format",
    "container_format",
    "visibility",
    "owner",
    "protected",
    "os_hidden",
    "min_disk",
    "min_ram",
)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What is known of an image.

    :param image_id: a UUID; the same on both sides.
    :param status: as the Image API has it, such as ``active``.
    :param size: of its data, in bytes.
    :param checksum: MD5 of its data, in hexadecimal digits.
    :param hash_algorithm: of ``hash_value``, as Python's hashlib calls it.
    :param fields: by the names of :data:`FIELDS`; what is not known is not there.
    :param tags: ``None`` where they are not known, as in dumps of Image API v1.
    :param members: status by the member's project; ``None`` where nobody asked.
    :param created_at: as the service wrote it.
    :param updated_at: as the service wrote it.
    :param trouble: why the image cannot be read, if so: then nothing but its id is known, and it
        failed.
    """

    image_id: str
    status: str
    size: int | None = None
    checksum: str | None = None
    hash_algorithm: str | None = None
    hash_value: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] | None = frozenset()
    properties: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] | None = None
    created_at: str | None = None
    updated_at: str | None = None
    trouble: str = ""
