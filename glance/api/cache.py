"""The image cache of this node: what it has, what it is to have, and putting it in order.

Who may not is told so first; then it is told that there is no cache, where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glance.api.routing import NO_CONTENT, Reply, json_reply, route
from glance.api.streaming import StreamingRequest
from glance.cache.keeper import CacheKeeper
from glance.db import images
from glance.db.txdbapi import Database
from glance.domain.caching import CachedImage
from glance.domain.errors import Invalid, NotFound
from glance.domain.image import ACTIVE, Image, no_such_image
from glance.domain.text import shorten
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy

_CACHE, _QUEUE = "cache", "queue"
_TARGET = "X-Image-Cache-Clear-Target"


@dataclass(frozen=True, slots=True)
class NodeCache:
    """What the routes need of this node's cache.

    :param keeper: keeps it.
    :param kick: has what is queued fetched now.
    :param stall_time: ``image_cache_stall_time``, seconds.
    """

    keeper: CacheKeeper
    kick: Callable[[], None]
    stall_time: float


def entry_item(entry: CachedImage, *, shared: bool) -> dict[str, Any]:
    """Tell of a copy.

    :param shared: the index is the catalogue's, whose entries have a number and a checksum.
    """
    if shared:
        return {
            "id": entry.number,
            "image_id": entry.image_id,
            "last_accessed": float(entry.last_accessed),
            "last_modified": float(entry.last_modified),
            "size": entry.size,
            "hits": entry.hits,
            "checksum": entry.checksum,
        }
    return {
        "image_id": entry.image_id,
        "hits": entry.hits,
        "last_accessed": float(entry.last_accessed),
        "last_modified": float(entry.last_modified),
        "size": entry.size,
    }


async def entry_items(keeper: CacheKeeper) -> list[dict[str, Any]]:
    """Tell of all copies, the one that was asked for last first."""
    shared = keeper.is_shared
    return [entry_item(entry, shared=shared) for entry in await keeper.entries()]


class CacheResource:
    """The routes ``/cache…``.

    :param cache: this node's cache, if it has one.
    """

    def __init__(self, database: Database, policy: IPolicy, cache: NodeCache | None) -> None:
        self._database = database
        self._policy = policy
        self._cache = cache

    @route(
        "GET",
        "/cache",
        no_body=True,
        policies=("cache_list",),
        errors=(403, 404),
        reply="cache",
    )
    async def list(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List the images that this node has cached, and those that it is to cache."""
        self._policy.check(context, "cache_list")
        keeper = self._there().keeper
        return json_reply(
            {"cached_images": await entry_items(keeper), "queued_images": await keeper.queued()}
        )

    @route(
        "DELETE",
        "/cache",
        policies=("cache_delete",),
        success=(204,),
        errors=(404,),
        parameters=(_TARGET,),
    )
    async def clear(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Remove all copies, or forget all images that are to be cached, or both."""
        self._policy.check(context, "cache_delete")
        keeper = self._there().keeper
        target = request.getHeader(_TARGET) or ""
        if target not in ("", _CACHE, _QUEUE):
            raise Invalid(
                f"The header {_TARGET} must be {_CACHE}, {_QUEUE} or empty, not {shorten(target)}."
            )
        # In this order, or what is fetched meanwhile would be left.
        if target != _CACHE:
            await keeper.unqueue_all()
        if target != _QUEUE:
            await keeper.drop_all()
        return NO_CONTENT

    @route(
        "PUT",
        "/cache/<image_id>",
        policies=("cache_image",),
        success=(202,),
        errors=(404,),
    )
    async def queue(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Have an image cached."""
        image = await self._get(context, image_id)
        self._policy.check(context, "cache_image", image)
        cache = self._there()
        if image.status != ACTIVE:
            raise Invalid(f"Only active images can be cached, and image {image_id} is not active.")
        await cache.keeper.queue(image.id)
        # Also if it has been queued before: it may have failed then.
        cache.kick()
        return Reply(202, content_type=None)

    @route(
        "DELETE",
        "/cache/<image_id>",
        policies=("cache_delete",),
        success=(204,),
        errors=(404,),
    )
    async def delete(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Remove the copy of an image, or forget that it is to be cached."""
        try:
            image = await self._get(context, image_id)
        except NotFound:
            # There may be a copy all the same, of an image that others have deleted.
            return await self._delete_leftover(context, image_id)
        self._policy.check(context, "cache_delete", image)
        keeper = self._there().keeper
        await keeper.unqueue(image.id)
        await keeper.drop(image.id)
        return NO_CONTENT

    async def _delete_leftover(self, context: RequestContext, image_id: str) -> Reply:
        if not self._policy.holds(context, "cache_delete"):
            raise no_such_image(image_id)
        keeper = self._there().keeper
        was_queued = await keeper.unqueue(image_id)
        if not await keeper.drop(image_id) and not was_queued:
            raise no_such_image(image_id)
        return NO_CONTENT

    @route(
        "GET",
        "/cache/nodes/<image_id>",
        no_body=True,
        policies=("list_cached_nodes",),
        errors=(403, 404, 409),
        reply="cache_nodes",
    )
    async def nodes(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """List the nodes that have a copy of an image, by their URLs."""
        self._policy.check(context, "list_cached_nodes")
        keeper = self._there().keeper
        found = await keeper.nodes_with(image_id)
        await self._get(context, image_id)
        return json_reply(found)

    @route("POST", "/cache/clean", policies=("cache_clean",), errors=(404,))
    async def clean(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Remove broken copies, and unfinished ones that nobody works on."""
        self._policy.check(context, "cache_clean")
        cache = self._there()
        await cache.keeper.clean(cache.stall_time)
        return Reply(content_type=None)

    @route("POST", "/cache/prune", policies=("cache_prune",), errors=(404,), reply="cache_pruned")
    async def prune(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Remove what is beyond the cache's limit, as far as nobody uses it."""
        self._policy.check(context, "cache_prune")
        removed = await self._there().keeper.prune()
        return json_reply({"total_files_pruned": removed.files, "total_bytes_pruned": removed.size})

    def _there(self) -> NodeCache:
        if self._cache is None:
            raise NotFound("This service has no image cache: image_cache_dir is not set.")
        return self._cache

    async def _get(self, context: RequestContext, image_id: str) -> Image:
        image: Image = await self._database.runReading(images.thd_get, image_id, context.viewer)
        return image
