"""The members of shared images, told together with the images to clients that prefer so.

Who wants to know whom all images are shared with would otherwise have to ask for each of them. What
a caller sees of members is what ``glance.api.members`` shows it.
"""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection

from glance.api.streaming import StreamingRequest
from glance.db import members
from glance.domain.image import SHARED, Image
from glance.domain.member import render_member, sees_member
from glance.domain.preferences import INCLUDE_MEMBERS, parse_prefer
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy

_FIELD = "members"
_VARY = ("Vary", "Prefer")
_APPLIED = ("Preference-Applied", "=".join(INCLUDE_MEMBERS))

#: By the ids of images: the members of each, in JSON.
Lists = dict[str, orjson.Fragment]


def prefers_members(request: StreamingRequest) -> bool:
    """Tell whether the client would like to have members with their images."""
    lines = request.requestHeaders.getRawHeaders(b"prefer")
    if lines is None:
        return False
    name, value = INCLUDE_MEMBERS
    return parse_prefer(b",".join(lines).decode("latin-1")).get(name) == value


def thd_lists(
    connection: Connection, policy: IPolicy, context: RequestContext, found: list[Image]
) -> Lists:
    """Return the members of those of some images whose members the caller may list."""
    viewer = context.viewer
    shared = {
        image.id: image
        for image in found
        if image.visibility == SHARED
        and policy.permits(context, "get_members", image)
        and policy.permits(context, "get_member", image)
    }
    lists: dict[str, list[Any]] = {image_id: [] for image_id in shared}
    for member in members.thd_list_of(connection, list(shared), viewer):
        if sees_member(viewer, shared[member.image_id], member):
            lists[member.image_id].append(render_member(member))
    # Written here, for there may be a hundred thousand, and the reactor has others to serve.
    return {image_id: orjson.Fragment(orjson.dumps(of_it)) for image_id, of_it in lists.items()}


def include(shown: list[dict[str, Any]], lists: Lists | None) -> list[tuple[str, str]]:
    """Put lists of members into images, and return the headers that say so.

    An image may have a custom property of the same name. Then nothing is put into any of them: in
    an answer that is said to include members the name means nothing else.

    :param shown: the images, as answers tell of them.
    :param lists: ``None`` where nobody wants any.
    """
    if lists is None:
        return []
    if any(_FIELD in body for body in shown):
        return [_VARY]
    for body in shown:
        if body["id"] in lists:
            body[_FIELD] = lists[body["id"]]
    return [_VARY, _APPLIED]
