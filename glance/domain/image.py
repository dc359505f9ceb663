"""The image: its fields, its states and the moves between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from glance.domain.errors import Invalid, InvalidStatus, NotFound

QUEUED = "queued"
SAVING = "saving"
UPLOADING = "uploading"
IMPORTING = "importing"
ACTIVE = "active"
KILLED = "killed"
PENDING_DELETE = "pending_delete"
DELETED = "deleted"
DEACTIVATED = "deactivated"

#: Which states each state may be left for (API reference, image statuses).
TRANSITIONS: dict[str, frozenset[str]] = {
    QUEUED: frozenset({SAVING, UPLOADING, IMPORTING, ACTIVE, DELETED}),
    SAVING: frozenset({ACTIVE, KILLED, DELETED, QUEUED}),
    UPLOADING: frozenset({IMPORTING, QUEUED, DELETED}),
    IMPORTING: frozenset({ACTIVE, DELETED, QUEUED}),
    ACTIVE: frozenset({PENDING_DELETE, DELETED, DEACTIVATED}),
    KILLED: frozenset({DELETED}),
    PENDING_DELETE: frozenset({DELETED, ACTIVE}),
    DEACTIVATED: frozenset({ACTIVE, DELETED}),
    DELETED: frozenset(),
}

#: The order in which the API's schema lists the states.
STATUSES = (
    QUEUED, SAVING, ACTIVE, KILLED, DELETED, UPLOADING, IMPORTING, PENDING_DELETE, DEACTIVATED,
)  # fmt: skip

PUBLIC = "public"
COMMUNITY = "community"
SHARED = "shared"
PRIVATE = "private"
VISIBILITIES = (COMMUNITY, PUBLIC, PRIVATE, SHARED)

#: Largest value of min_disk and min_ram: they are 32-bit columns in every database.
INT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Location:
    """One stored copy of an image's data.

    :param url: where the store finds the data; may hold credentials, so never show or log it.
    :param metadata: what the store said of it, ``{"store": <store id>}`` among others.
    :param id: the row in the catalogue, ``None`` before it is saved.
    """

    url: str
    metadata: dict[str, Any] = field(default_factory=dict)
    status: str = ACTIVE
    id: int | None = None

    @property
    def store_id(self) -> str | None:
        """The store that holds it; releases up to 18 of the OpenStack service said "backend"."""
        return self.metadata.get("store") or self.metadata.get("backend")


def is_readable(url: str) -> bool:
    """Tell whether a location is a URL, and not something sealed that nobody could open."""
    return ":" in url


@dataclass(slots=True)
class Image:
    """One image as the catalogue knows it.

    Sizes are bytes, ``min_ram`` MiB, ``min_disk`` GiB; timestamps are naive UTC.
    """

    id: str
    status: str = QUEUED
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    visibility: str = SHARED
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    protected: bool = False
    min_ram: int = 0
    min_disk: int = 0
    owner: str | None = None
    os_hidden: bool = False
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    properties: dict[str, str | None] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    locations: list[Location] = field(default_factory=list)


def no_such_image(image_id: str) -> NotFound:
    """Return the error for an image that is not there, or not there for this caller."""
    return NotFound(f"No image found with ID {image_id}.")


def check_transition(image: Image, target: str) -> None:
    """Check that an image may move to another state.

    :param image: the image in its present state.
    :param target: the state to move to.
    :raises InvalidStatus: the state machine has no such move.
    :raises Invalid: the move needs a disk and a container format and one is not set.
    """
    if target not in TRANSITIONS[image.status]:
        raise InvalidStatus(
            f"Image {image.id} is {image.status}; it cannot become {target} from there."
        )
    if image.status in (QUEUED, UPLOADING) and target in (SAVING, ACTIVE, IMPORTING):
        missing = [n for n in ("disk_format", "container_format") if getattr(image, n) is None]
        if missing:
            raise Invalid(
                f"Properties {', '.join(missing)} must be set before the image's data arrives."
            )
