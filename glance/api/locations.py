"""Where an image's data is, for the services that may know: add a place, list the places."""

from __future__ import annotations

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from glance.api.routing import Reply, json_reply, read_json, route
from glance.api.settings import ApiSettings
from glance.api.streaming import StreamingRequest
from glance.db import images, quotas
from glance.db.txdbapi import Database
from glance.domain.image import DEACTIVATED, Image
from glance.domain.locations import NewLocation, parse_post_body
from glance.domain.quotas import OwnerLimits
from glance.identity.context import RequestContext
from glance.identity.limits import IOwnerLimits, under_limits
from glance.identity.policy import IPolicy
from glance.stores.registry import Stores
from glance.transfers.detached import detached
from glance.transfers.location_import import LocationImporter, LocationOrder

#: Callers with this role may name places in any store.
SERVICE_ROLE = "service"


class LocationsResource:
    """The routes ``/images/{image_id}/locations``."""

    def __init__(
        self,
        database: Database,
        policy: IPolicy,
        stores: Stores,
        importer: LocationImporter,
        settings: ApiSettings,
        limits: IOwnerLimits,
    ) -> None:
        self._database = database
        self._policy = policy
        self._stores = stores
        self._importer = importer
        self._settings = settings
        self._limits = limits

    @route(
        "POST",
        "/images/<image_id>/locations",
        policies=("add_image_location",),
        success=(202,),
        errors=(404, 409, 413),
        request="new_location",
    )
    async def add(self, request: StreamingRequest, context: RequestContext, image_id: str) -> Reply:
        """Make an image of data that is somewhere already."""
        wanted = parse_post_body(
            read_json(request), self._stores.schemes, trusted=SERVICE_ROLE in context.roles
        )
        # Strangers must not make the service look at addresses.
        image = await self._database.runReading(images.thd_get, image_id, context.viewer)
        self._check(context, image)
        await detached(
            under_limits(
                self._limits,
                image.owner,
                lambda limits: Deferred.fromCoroutine(
                    self._importer.add(self._order(context, image_id, wanted, limits))
                ),
            )
        )
        return Reply(202, content_type=None)

    def _order(
        self, context: RequestContext, image_id: str, wanted: NewLocation, limits: OwnerLimits
    ) -> LocationOrder:
        def thd_check(connection: Connection, image: Image, size: int, importing: bool) -> None:
            self._check(context, image)
            self._settings.quotas.check_size(size)
            check = quotas.thd_check_upload if importing else quotas.thd_check_more
            check(connection, image, limits, size, context.viewer)

        return LocationOrder(
            image_id, context.viewer, thd_check, wanted, context.request_id, context.user_id
        )

    def _check(self, context: RequestContext, image: Image) -> None:
        self._policy.check(context, "add_image_location", image)
        self._settings.quotas.check_locations(len(image.locations) + 1)

    @route(
        "GET",
        "/images/<image_id>/locations",
        no_body=True,
        policies=("fetch_image_location",),
        errors=(403, 404),
        reply="locations",
    )
    async def list(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """List where an image's data is."""
        image = await self._database.runReading(images.thd_get, image_id, context.viewer)
        self._policy.check(context, "fetch_image_location", image)
        if image.status == DEACTIVATED and not context.is_admin:
            # Its data is withheld, and whoever knew where it is could read it there.
            return json_reply([])
        places = self._stores.by_preference(image.locations)
        return json_reply([{"url": place.url, "metadata": place.metadata} for place in places])
