"""The stores: which there are, and deleting the copy of an image that one of them holds."""

from __future__ import annotations

from functools import partial

from werkzeug.exceptions import NotFound as NoRoute

from glance.api.routing import NO_CONTENT, Reply, json_reply, route
from glance.api.streaming import StreamingRequest
from glance.domain.errors import Conflict
from glance.domain.image import Image
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy
from glance.stores.registry import Stores
from glance.transfers.detached import detached
from glance.transfers.locations import LocationKeeper


class StoresResource:
    """The routes ``/info/stores`` and ``/stores/{store_id}/{image_id}``.

    They exist where several stores are configured (``enabled_backends``).
    """

    def __init__(self, policy: IPolicy, stores: Stores, keeper: LocationKeeper) -> None:
        self._policy = policy
        self._stores = stores
        self._keeper = keeper

    @route("GET", "/info/stores", no_body=True, errors=(404,), reply="stores")
    async def list(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List the stores that an image can be in."""
        self._check_several()
        return json_reply({"stores": self._stores.described()})

    @route(
        "GET",
        "/info/stores/detail",
        no_body=True,
        policies=("stores_info_detail",),
        errors=(403, 404),
        reply="stores",
    )
    async def detail(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List the stores with what their drivers and options are."""
        self._check_several()
        self._policy.check(context, "stores_info_detail")
        return json_reply({"stores": self._stores.described(detail=True)})

    @route(
        "DELETE",
        "/stores/<store_id>/<image_id>",
        no_body=True,
        policies=("get_image_location", "delete_image_location"),
        success=(204,),
        errors=(404, 409),
    )
    async def delete(
        self, request: StreamingRequest, context: RequestContext, store_id: str, image_id: str
    ) -> Reply:
        """Delete the copy of an image's data that one store holds."""
        self._check_several()
        check = partial(self._check, context, store_id)
        await detached(self._keeper.remove_from_store(image_id, store_id, context.viewer, check))
        return NO_CONTENT

    def _check(self, context: RequestContext, store_id: str, image: Image) -> None:
        self._policy.check(context, "get_image_location", image)
        self._policy.check(context, "delete_image_location", image)
        if store_id not in {store.store_id for store in self._stores.listed()}:
            raise Conflict(f"There is no store {store_id} here.")

    def _check_several(self) -> None:
        if not self._stores.multiple:
            raise NoRoute
