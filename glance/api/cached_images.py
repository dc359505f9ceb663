"""The cache's routes of old, which the former ``glance-cache-manage`` speaks.

They exist where the flavor of ``[paste_deploy]`` has ``cachemanagement``, and differ from those of
``glance.api.cache``: one rule for all of them, 200 where there is nothing to say, and no other
method on their paths.
"""

from __future__ import annotations

from glance.api.cache import NodeCache, entry_items
from glance.api.routing import Reply, json_reply, route
from glance.api.streaming import StreamingRequest
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy

_RULE = "manage_image_cache"
_COPIES = "/cached_images"
_WISHES = "/queued_images"


class CachedImagesResource:
    """The routes ``/cached_images…`` and ``/queued_images…``.

    :param cache: this node's cache.
    """

    def __init__(self, policy: IPolicy, cache: NodeCache) -> None:
        self._policy = policy
        self._keeper = cache.keeper
        self._kick = cache.kick

    @route("GET", _COPIES, only=True, policies=(_RULE,), errors=(403,), reply="cached_images")
    async def list_copies(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List the images that this node has cached."""
        self._policy.check(context, _RULE)
        return json_reply({"cached_images": await entry_items(self._keeper)})

    @route("DELETE", _COPIES, only=True, policies=(_RULE,), reply="num_deleted")
    async def delete_copies(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Remove all copies."""
        self._policy.check(context, _RULE)
        return json_reply({"num_deleted": await self._keeper.drop_all()})

    @route("DELETE", f"{_COPIES}/<image_id>", only=True, policies=(_RULE,), reply="null")
    async def delete_copy(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Remove the copy of an image, if there is one."""
        self._policy.check(context, _RULE)
        await self._keeper.drop(image_id)
        return json_reply(None)

    @route("GET", _WISHES, only=True, policies=(_RULE,), errors=(403,), reply="queued_images")
    async def list_wishes(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List the images that are to be cached, the oldest wish first."""
        self._policy.check(context, _RULE)
        return json_reply({"queued_images": await self._keeper.queued()})

    @route("DELETE", _WISHES, only=True, policies=(_RULE,), reply="num_deleted")
    async def delete_wishes(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Forget all images that are to be cached."""
        self._policy.check(context, _RULE)
        return json_reply({"num_deleted": await self._keeper.unqueue_all()})

    @route("PUT", f"{_WISHES}/<image_id>", only=True, policies=(_RULE,), reply="null")
    async def queue(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Have an image cached; whether there is such an image is found out later."""
        self._policy.check(context, _RULE)
        await self._keeper.queue(image_id)
        self._kick()
        return json_reply(None)

    @route("DELETE", f"{_WISHES}/<image_id>", only=True, policies=(_RULE,), reply="null")
    async def unqueue(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Forget that an image is to be cached, if it is."""
        self._policy.check(context, _RULE)
        await self._keeper.unqueue(image_id)
        return json_reply(None)
