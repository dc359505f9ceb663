"""Take images out of service and back: deactivate, reactivate."""

from __future__ import annotations

from sqlalchemy import Connection

from glance.api.routing import NO_CONTENT, Reply, route
from glance.api.streaming import StreamingRequest
from glance.db import images
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict, Forbidden
from glance.domain.image import ACTIVE, DEACTIVATED
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy


class ActionsResource:
    """The routes ``/images/{image_id}/actions/…``."""

    def __init__(self, database: Database, policy: IPolicy) -> None:
        self._database = database
        self._policy = policy

    @route(
        "POST",
        "/images/<image_id>/actions/deactivate",
        no_body=True,
        policies=("deactivate",),
        success=(204,),
        errors=(404,),
    )
    async def deactivate(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Withhold an image's data from all but administrators."""
        return await self._move(context, image_id, "deactivate", ACTIVE, DEACTIVATED)

    @route(
        "POST",
        "/images/<image_id>/actions/reactivate",
        no_body=True,
        policies=("reactivate",),
        success=(204,),
        errors=(404,),
    )
    async def reactivate(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Give an image's data out again."""
        return await self._move(context, image_id, "reactivate", DEACTIVATED, ACTIVE)

    async def _move(
        self, context: RequestContext, image_id: str, action: str, source: str, target: str
    ) -> Reply:
        def thd_move(connection: Connection) -> None:
            image = images.thd_get(connection, image_id, context.viewer, lock=True)
            self._policy.check(context, action, image)
            if image.status == target:
                return
            if image.status != source:
                raise Forbidden(
                    f"Image {image_id} is {image.status}; to {action} it, it must be {source}."
                )
            if not images.thd_set_status(connection, image_id, source, target):
                raise Conflict(f"Image {image_id} was changed by another request; try again.")

        await self._database.runInteraction(thd_move)
        return NO_CONTENT
