"""Images and their tags: create, list, show, change, delete."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection

from glance.api.links import absolute
from glance.api.routing import (
    NO_CONTENT,
    Reply,
    json_reply,
    media_type,
    query_pairs,
    read_json,
    route,
)
from glance.api.settings import ApiSettings
from glance.api.streaming import StreamingRequest
from glance.db import images, quotas
from glance.db.image_listing import thd_list
from glance.db.txdbapi import Database
from glance.domain import patch
from glance.domain.errors import (
    Invalid,
    InvalidStatus,
    NotFound,
    UnsupportedContent,
)
from glance.domain.image import COMMUNITY, PUBLIC, Image
from glance.domain.listing import page_links, parse_list_query
from glance.domain.quotas import OwnerLimits, Quotas
from glance.domain.rendering import render_image, render_page
from glance.domain.schemas import parse_create
from glance.domain.text import check_storable
from glance.identity.context import RequestContext
from glance.identity.limits import IOwnerLimits, under_limits
from glance.identity.policy import IPolicy
from glance.transfers.detached import detached
from glance.transfers.removal import Remover

_PARSE_PATCH = {patch.MEDIA_TYPE_V21: patch.parse_v21, patch.MEDIA_TYPE_V20: patch.parse_v20}


class UnsupportedPatch(UnsupportedContent):
    """The media type of a PATCH is none that this resource takes."""


class ImagesResource:
    """The routes ``/images`` and ``/images/{image_id}``, with tags."""

    def __init__(
        self,
        database: Database,
        policy: IPolicy,
        remover: Remover,
        settings: ApiSettings,
        limits: IOwnerLimits,
    ) -> None:
        self._database = database
        self._policy = policy
        self._remover = remover
        self._settings = settings
        self._limits = limits

    def _render(self, image: Image, context: RequestContext) -> dict[str, Any]:
        settings = self._settings
        return render_image(
            image,
            show_direct_url=settings.show_image_direct_url,
            show_multiple_locations=settings.show_multiple_locations,
            stores_enabled=settings.stores_enabled,
            is_admin=context.is_admin,
        )

    @route("GET", "/images")
    async def list(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List images, a page at a time."""
        pairs = query_pairs(request)
        query = parse_list_query(
            pairs,
            limit_default=self._settings.limit_param_default,
            limit_max=self._settings.api_limit_max,
        )
        self._policy.check(context, "get_images")
        page = await self._database.runReading(thd_list, query, context.viewer)
        full = bool(page) and len(page) == query.limit
        first, following = page_links(pairs, page[-1].id if full else None)
        shown = [self._render(image, context) for image in page]
        return json_reply(render_page(shown, first, following))

    @route("POST", "/images")
    async def create(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Create an image without data."""
        body = read_json(request)
        self._policy.check(context, "add_image")
        image = parse_create(
            body,
            default_owner=context.project_id,
            is_admin=context.is_admin,
            validator=self._settings.validator,
            quotas=self._settings.quotas,
        )
        self._check_visibility(context, image)
        chosen = body.get("id") is not None
        image = await under_limits(
            self._limits,
            image.owner,
            lambda limits: self._database.runInteraction(_thd_create, image, chosen, limits),
        )
        location = absolute(request, self._settings.public_endpoint, f"/v2/images/{image.id}")
        return json_reply(self._render(image, context), 201, ("Location", location))

    @route("GET", "/images/<image_id>", no_body=True)
    async def show(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Show one image."""
        image = await self._database.runReading(images.thd_get, image_id, context.viewer)
        self._policy.check(context, "get_image", image)
        return json_reply(self._render(image, context))

    @route("PATCH", "/images/<image_id>")
    async def update(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Change an image by a JSON patch of either draft."""
        form = media_type(request)
        if form not in _PARSE_PATCH:
            accepted = ", ".join(_PARSE_PATCH)
            request.setHeader("Accept-Patch", accepted)
            raise UnsupportedPatch(f"The media type of a PATCH is one of {accepted}.")
        operations = _PARSE_PATCH[form](read_json(request))

        def thd_change(connection: Connection) -> Image:
            before = images.thd_get(connection, image_id, context.viewer, lock=True)
            after = patch.apply(
                before,
                operations,
                is_admin=context.is_admin,
                validator=self._settings.validator,
                quotas=self._settings.quotas,
                show_multiple_locations=self._settings.show_multiple_locations,
            )
            if after.visibility != before.visibility:
                self._check_visibility(context, after)
            self._policy.check(context, "modify_image", before)
            return images.thd_update(connection, before, after)

        image = await self._database.runInteraction(thd_change)
        return json_reply(self._render(image, context))

    @route("DELETE", "/images/<image_id>", no_body=True)
    async def delete(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Delete an image and its data."""
        check = partial(self._policy.check, context, "delete_image")
        try:
            await detached(self._remover.remove(image_id, context.viewer, check))
        except InvalidStatus as error:
            raise Invalid(error.message) from None
        return NO_CONTENT

    @route("PUT", "/images/<image_id>/tags/<tag>", no_body=True)
    async def add_tag(
        self, request: StreamingRequest, context: RequestContext, image_id: str, tag: str
    ) -> Reply:
        """Put a tag on an image; having it already is fine."""
        check_storable(tag, "The tag")
        if len(tag) > 255:
            raise Invalid("A tag is at most 255 characters long.")
        await self._change_tag(context, image_id, tag, add=True)
        return NO_CONTENT

    @route("DELETE", "/images/<image_id>/tags/<tag>", no_body=True)
    async def delete_tag(
        self, request: StreamingRequest, context: RequestContext, image_id: str, tag: str
    ) -> Reply:
        """Take a tag off an image."""
        await self._change_tag(context, image_id, tag, add=False)
        return NO_CONTENT

    async def _change_tag(
        self, context: RequestContext, image_id: str, tag: str, *, add: bool
    ) -> None:
        policy = self._policy

        def thd_change(connection: Connection) -> None:
            image = images.thd_get(connection, image_id, context.viewer, lock=True)
            policy.check(context, "modify_image", image)
            if add:
                _thd_add_tag(connection, image, tag, self._settings.quotas)
            elif not images.thd_remove_tag(connection, image_id, tag):
                raise NotFound(f"Image {image_id} does not have this tag.")

        await self._database.runInteraction(thd_change)

    def _check_visibility(self, context: RequestContext, image: Image) -> None:
        if image.visibility == PUBLIC:
            self._policy.check(context, "publicize_image", image)
        elif image.visibility == COMMUNITY:
            self._policy.check(context, "communitize_image", image)


def _thd_create(connection: Connection, image: Image, chosen: bool, limits: OwnerLimits) -> Image:
    image = images.thd_insert(connection, image, chosen=chosen)
    quotas.thd_check_create(connection, image, limits)
    return image


def _thd_add_tag(connection: Connection, image: Image, tag: str, quotas: Quotas) -> None:
    if tag not in image.tags:
        quotas.check_tags(len(image.tags) + 1)
        images.thd_add_tag(connection, image.id, tag)
