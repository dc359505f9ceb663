"""Members: the projects that an image is shared with, and what they answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from glance.domain.documents import MEMBER_STATUSES
from glance.domain.errors import Invalid
from glance.domain.image import Image
from glance.domain.text import check_storable, shape, shorten
from glance.domain.viewer import Viewer

PENDING = "pending"
ACCEPTED = "accepted"

#: Width of the column that holds a member's project.
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Member:
    """One project that an image is shared with.

    :param member_id: the project.
    :param status: its answer to the offer: one of ``MEMBER_STATUSES``.
    """

    image_id: str
    member_id: str
    status: str = PENDING
    created_at: datetime | None = None
    updated_at: datetime | None = None


def parse_new_member(body: object) -> str:
    """Return the project that a request wants to share an image with.

    :param body: the decoded JSON of the request.
    :raises Invalid: it is not ``{"member": <project id>}``.
    """
    project = _field(body, "member")
    if not project:
        raise Invalid("member must be the id of a project, not an empty string.")
    if len(project) > _LONGEST:
        raise Invalid(f"member is longer than {_LONGEST} characters.")
    check_storable(project, "member")
    return project


def parse_member_status(body: object) -> str:
    """Return the answer that a member's request gives.

    :param body: the decoded JSON of the request.
    :raises Invalid: it is not ``{"status": <answer>}``.
    """
    status = _field(body, "status")
    if status not in MEMBER_STATUSES:
        raise Invalid(f"status must be one of {', '.join(MEMBER_STATUSES)}, not {shorten(status)}.")
    return status


def sees_member(viewer: Viewer, image: Image, member: Member) -> bool:
    """Tell whether a viewer may know of a member of an image that it sees.

    Administrators and the owner know of all members, a member of itself.
    """
    return viewer.is_admin or viewer.project_id in (image.owner, member.member_id)


def render_member(member: Member) -> dict[str, Any]:
    """Build the JSON object of a member."""
    created, updated = member.created_at, member.updated_at
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": created and created.isoformat(timespec="seconds") + "Z",
        "updated_at": updated and updated.isoformat(timespec="seconds") + "Z",
        "schema": "/v2/schemas/member",
    }


def _field(body: object, name: str) -> str:
    if not isinstance(body, dict):
        raise Invalid(f"The body must be a JSON object with {name}, not {shape(body)}.")
    if name not in body:
        raise Invalid(f"The body must have {name}.")
    value = body[name]
    if not isinstance(value, str):
        raise Invalid(f"{name} must be a string, not {shape(value)}.")
    return value
