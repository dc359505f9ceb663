"""The projects that an image is shared with: list, add, show, answer, remove."""

from __future__ import annotations

from sqlalchemy import Connection

from glance.api.routing import NO_CONTENT, Reply, json_reply, read_json, route
from glance.api.settings import ApiSettings
from glance.api.streaming import StreamingRequest
from glance.db import images, members
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict, Forbidden, NotFound
from glance.domain.image import SHARED, Image
from glance.domain.member import (
    Member,
    parse_member_status,
    parse_new_member,
    render_member,
    sees_member,
)
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy


class MembersResource:
    """The routes ``/images/{image_id}/members``.

    The owner and administrators see all members of an image, a member sees itself.
    """

    def __init__(self, database: Database, policy: IPolicy, settings: ApiSettings) -> None:
        self._database = database
        self._policy = policy
        self._settings = settings

    @route(
        "GET",
        "/images/<image_id>/members",
        no_body=True,
        policies=("get_members", "get_member"),
        errors=(403, 404),
        reply="members",
    )
    async def list(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """List the projects that an image is shared with."""

        def thd_list(connection: Connection) -> list[Member]:
            image = images.thd_get(connection, image_id, context.viewer)
            self._policy.check(context, "get_members", image)
            _check_shared(image)
            self._policy.check(context, "get_member", image)
            viewer = context.viewer
            return [
                m for m in members.thd_list(connection, image_id) if sees_member(viewer, image, m)
            ]

        found = await self._database.runReading(thd_list)
        body = {"members": [render_member(m) for m in found], "schema": "/v2/schemas/members"}
        return json_reply(body)

    @route(
        "POST",
        "/images/<image_id>/members",
        policies=("add_member",),
        errors=(404, 409, 413),
        request="new_member",
        reply="member",
    )
    async def create(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Share an image with one more project."""
        project = parse_new_member(read_json(request))

        def thd_create(connection: Connection) -> Member:
            image = images.thd_get(connection, image_id, context.viewer, lock=True)
            self._policy.check(context, "add_member", image)
            _check_shared(image)
            present = members.thd_list(connection, image_id)
            if any(member.member_id == project for member in present):
                raise Conflict(f"Image {image_id} is shared with that project already.")
            self._settings.quotas.check_members(len(present) + 1)
            return members.thd_add(connection, image_id, project)

        return json_reply(render_member(await self._database.runInteraction(thd_create)))

    @route(
        "GET",
        "/images/<image_id>/members/<member_id>",
        no_body=True,
        policies=("get_member",),
        errors=(404,),
        reply="member",
    )
    async def show(
        self, request: StreamingRequest, context: RequestContext, image_id: str, member_id: str
    ) -> Reply:
        """Show one project that an image is shared with, and its answer."""

        def thd_show(connection: Connection) -> Member:
            image = images.thd_get(connection, image_id, context.viewer)
            try:
                self._policy.check(context, "get_member", image)
            except Forbidden:
                raise members.missing(image_id) from None
            return _thd_member(connection, context, image, member_id)

        return json_reply(render_member(await self._database.runReading(thd_show)))

    @route(
        "PUT",
        "/images/<image_id>/members/<member_id>",
        policies=("modify_member",),
        errors=(404,),
        request="member_status",
        reply="member",
    )
    async def update(
        self, request: StreamingRequest, context: RequestContext, image_id: str, member_id: str
    ) -> Reply:
        """Accept or reject an image that is shared with one's own project."""
        status = parse_member_status(read_json(request))

        def thd_update(connection: Connection) -> Member:
            image = images.thd_get(connection, image_id, context.viewer, lock=True)
            member = self._thd_to_change(connection, context, "modify_member", image, member_id)
            return members.thd_set_status(connection, member, status)

        return json_reply(render_member(await self._database.runInteraction(thd_update)))

    @route(
        "DELETE",
        "/images/<image_id>/members/<member_id>",
        no_body=True,
        policies=("delete_member",),
        success=(204,),
        errors=(404,),
    )
    async def delete(
        self, request: StreamingRequest, context: RequestContext, image_id: str, member_id: str
    ) -> Reply:
        """Stop sharing an image with a project."""

        def thd_delete(connection: Connection) -> None:
            image = images.thd_get(connection, image_id, context.viewer, lock=True)
            member = self._thd_to_change(connection, context, "delete_member", image, member_id)
            members.thd_remove(connection, member)

        await self._database.runInteraction(thd_delete)
        return NO_CONTENT

    def _thd_to_change(
        self,
        connection: Connection,
        context: RequestContext,
        rule: str,
        image: Image,
        member_id: str,
    ) -> Member:
        self._policy.check(context, "get_image", image)
        _check_shared(image)
        member = _thd_member(connection, context, image, member_id)
        self._policy.check(context, rule, image)
        return member


def _check_shared(image: Image) -> None:
    if image.visibility != SHARED:
        raise Forbidden(f"Image {image.id} is {image.visibility}; only shared images have members.")


def _thd_member(
    connection: Connection, context: RequestContext, image: Image, member_id: str
) -> Member:
    """Return a member as far as the caller may know of it.

    :raises NotFound: there is none, or not for this caller.
    """
    if image.visibility != SHARED:
        raise NotFound(f"Image {image.id} has no members: it is {image.visibility}.")
    member = members.thd_get(connection, image.id, member_id)
    if not sees_member(context.viewer, image, member):
        raise members.missing(image.id)
    return member
