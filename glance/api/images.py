"""Images and their tags: create, list, show, change, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from glance.api.including import Lists, include, prefers_members, thd_lists
from glance.api.links import absolute
from glance.api.parameters import LIST_PARAMETERS
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
from glance.cache.front import ImageCache
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
from glance.domain.image import Image
from glance.domain.listing import page_links, parse_list_query
from glance.domain.location_changes import NewPlaces
from glance.domain.protection import Guard
from glance.domain.quotas import OwnerLimits, Quotas
from glance.domain.rendering import render_image, render_page
from glance.domain.schemas import parse_create
from glance.domain.text import check_storable
from glance.identity.context import RequestContext
from glance.identity.limits import IOwnerLimits, under_limits
from glance.identity.policy import VISIBILITY_RULES, IPolicy
from glance.stores.registry import Stores
from glance.transfers.detached import detached
from glance.transfers.locations import Leaving, LocationKeeper
from glance.transfers.removal import Remover

_PARSE_PATCH = {patch.MEDIA_TYPE_V21: patch.parse_v21, patch.MEDIA_TYPE_V20: patch.parse_v20}


#: The most locations that one request adds, each of which is looked at.
MOST_NEW_PLACES = 20


class UnsupportedPatch(UnsupportedContent):
    """The media type of a PATCH is none that this resource takes."""


class ImagesResource:
    """The routes ``/images`` and ``/images/{image_id}``, with tags.

    :param cache: this node's image cache, if it has one.
    """

    def __init__(
        self,
        database: Database,
        policy: IPolicy,
        stores: Stores,
        remover: Remover,
        keeper: LocationKeeper,
        settings: ApiSettings,
        limits: IOwnerLimits,
        cache: ImageCache | None = None,
    ) -> None:
        self._database = database
        self._policy = policy
        self._stores = stores
        self._remover = remover
        self._keeper = keeper
        self._settings = settings
        self._limits = limits
        self._cache = cache

    def _guard(self, context: RequestContext) -> Guard | None:
        """Return what the caller may do to custom properties, where any are protected."""
        protection = self._settings.protection
        if protection is None:
            return None
        identity = context.identity
        roles = identity.roles | identity.service_roles
        return protection.guard(roles, partial(self._policy.holds, context))

    def _render(
        self,
        image: Image,
        request: StreamingRequest,
        context: RequestContext,
        guard: Guard | None,
    ) -> dict[str, Any]:
        exposure = request.site.exposure
        image.locations = self._stores.by_preference(image.locations)
        return render_image(
            image,
            show_direct_url=exposure.direct_url,
            show_multiple_locations=exposure.locations,
            stores_enabled=self._settings.stores_enabled,
            is_admin=context.is_admin,
            guard=guard,
        )

    @route(
        "GET",
        "/images",
        policies=("get_images", "get_image", "get_members", "get_member"),
        errors=(403,),
        reply="images",
        parameters=(*LIST_PARAMETERS, "Prefer"),
    )
    async def list(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List images, a page at a time."""
        pairs = query_pairs(request)
        query = parse_list_query(
            pairs,
            limit_default=self._settings.limit_param_default,
            limit_max=self._settings.api_limit_max,
        )
        self._policy.check(context, "get_images")
        guard = self._guard(context)
        wanted = prefers_members(request)

        def thd_read(connection: Connection) -> tuple[list[Image], Lists | None]:
            page = thd_list(connection, query, context.viewer)
            return page, thd_lists(connection, self._policy, context, page) if wanted else None

        page: list[Image] = []
        lists: Lists | None = {} if wanted else None
        # What the caller may not read must not be told by what is found either.
        if guard is None or all(guard.can("read", name) for name in query.properties):
            page, lists = await self._database.runReading(thd_read)
        full = bool(page) and len(page) == query.limit
        # Of the page as it was read: what the policy hides has its place in the order all the same.
        first, following = page_links(pairs, page[-1].id if full else None)
        visible = self._policy.visible(context, page)
        shown = [self._render(image, request, context, guard) for image in visible]
        headers = include(shown, lists)
        return json_reply(render_page(shown, first, following), 200, *headers)

    @route(
        "POST",
        "/images",
        policies=("add_image", "publicize_image", "communitize_image"),
        success=(201,),
        errors=(409, 413),
        request="new_image",
        reply="image",
    )
    async def create(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Create an image without data."""
        body = read_json(request)
        guard = self._guard(context)
        image = parse_create(
            body,
            default_owner=context.project_id,
            validator=self._settings.validator,
            quotas=self._settings.quotas,
            guard=guard,
        )
        self._policy.check_create(context, image)
        chosen = body.get("id") is not None
        image = await under_limits(
            self._limits,
            image.owner,
            lambda limits: self._database.runInteraction(_thd_create, image, chosen, limits),
        )
        location = absolute(request, self._settings.public_endpoint, f"/v2/images/{image.id}")
        headers = [("Location", location)]
        if self._settings.import_methods:
            headers.append(
                ("OpenStack-image-import-methods", ",".join(self._settings.import_methods))
            )
        if self._settings.stores_enabled:
            ids = ",".join(store.store_id for store in self._stores.listed())
            headers.append(("OpenStack-image-store-ids", ids))
        return json_reply(self._render(image, request, context, guard), 201, *headers)

    @route(
        "GET",
        "/images/<image_id>",
        no_body=True,
        policies=("get_image", "get_members", "get_member"),
        errors=(404,),
        reply="image",
        parameters=("Prefer",),
    )
    async def show(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Show one image."""
        wanted = prefers_members(request)

        def thd_read(connection: Connection) -> tuple[Image, Lists | None]:
            image = images.thd_get(connection, image_id, context.viewer)
            return image, thd_lists(connection, self._policy, context, [image]) if wanted else None

        image, lists = await self._database.runReading(thd_read)
        self._policy.check(context, "get_image", image)
        shown = self._render(image, request, context, self._guard(context))
        headers = include([shown], lists)
        return json_reply(shown, 200, *headers)

    @route(
        "PATCH",
        "/images/<image_id>",
        policies=(
            "modify_image",
            "publicize_image",
            "communitize_image",
            "set_image_location",
            "delete_image_location",
        ),
        errors=(404, 409, 413, 415),
        request="image_patch",
        reply="image",
    )
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
        guard = self._guard(context)
        places: NewPlaces | None = None
        owner: str | None = None
        if request.site.exposure.locations:
            places, owner = await self._look_at_places(context, image_id, operations)
        rules = _location_rules(operations)

        def thd_change(
            connection: Connection, limits: OwnerLimits | None = None
        ) -> tuple[Image, Leaving | None]:
            before = images.thd_get(connection, image_id, context.viewer, lock=True)
            if not self._policy.permits(context, "get_image", before):
                # Before any other refusal could tell that the image is there.
                self._policy.check(context, "modify_image", before)
            before.locations = self._stores.by_preference(before.locations)
            for rule in rules:
                self._policy.check(context, rule, before)
            after = patch.apply(
                before,
                operations,
                is_admin=context.is_admin,
                validator=self._settings.validator,
                quotas=self._settings.quotas,
                places=places,
                guard=guard,
            )
            if after.visibility != before.visibility and after.visibility in VISIBILITY_RULES:
                self._policy.check(context, VISIBILITY_RULES[after.visibility], after)
            self._policy.check(context, "modify_image", before)
            added = sum(place.id is None for place in after.locations)
            if added and limits is not None:
                more = added * (after.size or 0)
                quotas.thd_check_more(connection, before, limits, more, context.viewer)
            leaving = self._keeper.thd_save(connection, before, after)
            # A first location has made it active by now.
            saved = replace(before, status=after.status)
            return images.thd_update(connection, saved, after), leaving

        async def save() -> tuple[Image, Leaving | None]:
            if places is None or not places.sizes:
                return await self._database.runInteraction(thd_change)
            return await under_limits(
                self._limits,
                owner,
                lambda limits: self._database.runInteraction(thd_change, limits),
            )

        image = await detached(self._keeper.change(save))
        return json_reply(self._render(image, request, context, guard))

    async def _look_at_places(
        self, context: RequestContext, image_id: str, operations: Sequence[patch.Operation]
    ) -> tuple[NewPlaces, str | None]:
        """Find out what a patch needs to know of the locations that it adds.

        :returns: that, and whose the image is where any are added.
        """
        stores = self._stores
        places = NewPlaces(stores.placed, stores.schemes, self._settings.hashing_algorithm)
        added = patch.added_locations(operations)
        if not added:
            return places, None
        # Strangers must not make the service look at addresses.
        image = await self._database.runReading(images.thd_get, image_id, context.viewer)
        self._policy.check(context, "set_image_location", image)
        self._settings.quotas.check_locations(len(added))
        present = {place.url for place in image.locations}
        urls = {places.read(value).url for value in added}
        if len(urls) > MOST_NEW_PLACES:
            raise Invalid(f"At most {MOST_NEW_PLACES} locations can be added at once.")
        sizes = {}
        for url in urls:
            known = url in present and image.size is not None
            sizes[url] = image.size or 0 if known else await self._keeper.look(url)
        return replace(places, sizes=sizes), image.owner

    @route(
        "DELETE",
        "/images/<image_id>",
        no_body=True,
        policies=("delete_image",),
        success=(204,),
        errors=(404, 409),
    )
    async def delete(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Delete an image and its data."""
        check = partial(self._policy.check, context, "delete_image")
        try:
            await detached(self._remove(image_id, context, check))
        except InvalidStatus as error:
            raise Invalid(error.message) from None
        return NO_CONTENT

    async def _remove(
        self, image_id: str, context: RequestContext, check: Callable[[Image], None]
    ) -> None:
        await self._remover.remove(image_id, context.viewer, check)
        if self._cache is not None:
            await self._cache.image_is_gone(image_id)

    @route(
        "PUT",
        "/images/<image_id>/tags/<tag>",
        no_body=True,
        policies=("modify_image",),
        success=(204,),
        errors=(404, 413),
    )
    async def add_tag(
        self, request: StreamingRequest, context: RequestContext, image_id: str, tag: str
    ) -> Reply:
        """Put a tag on an image; having it already is fine."""
        check_storable(tag, "The tag")
        if len(tag) > 255:
            raise Invalid("A tag is at most 255 characters long.")
        await self._change_tag(context, image_id, tag, add=True)
        return NO_CONTENT

    @route(
        "DELETE",
        "/images/<image_id>/tags/<tag>",
        no_body=True,
        policies=("modify_image",),
        success=(204,),
        errors=(404,),
    )
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


def _location_rules(operations: Sequence[patch.Operation]) -> list[str]:
    """Return the policy rules that a patch's changes of locations come under."""
    rules = []
    if patch.touches_locations(operations, "add", "replace"):
        rules.append("set_image_location")
    if patch.touches_locations(operations, "remove"):
        rules.append("delete_image_location")
    return rules


def _thd_create(connection: Connection, image: Image, chosen: bool, limits: OwnerLimits) -> Image:
    image = images.thd_insert(connection, image, chosen=chosen)
    quotas.thd_check_create(connection, image, limits)
    return image


def _thd_add_tag(connection: Connection, image: Image, tag: str, quotas: Quotas) -> None:
    if tag not in image.tags:
        quotas.check_tags(len(image.tags) + 1)
        images.thd_add_tag(connection, image.id, tag)
