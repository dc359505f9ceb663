"""What a project's images take of its limits."""

from __future__ import annotations

from typing import Any

from glance.api.routing import Reply, json_reply, route
from glance.api.streaming import StreamingRequest
from glance.db import quotas
from glance.db.txdbapi import Database
from glance.domain.quotas import render_usage
from glance.identity.context import RequestContext
from glance.identity.limits import IOwnerLimits


class UsageResource:
    """The route ``/info/usage``.

    :param unified: whether there are limits of projects (``use_keystone_limits``).
    """

    def __init__(self, database: Database, limits: IOwnerLimits, *, unified: bool) -> None:
        self._database = database
        self._limits = limits
        self._unified = unified

    @route("GET", "/info/usage", reply="usage")
    async def show(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Show what the caller's project may have, and has."""
        shown: dict[str, Any] = {}
        project_id = context.project_id
        if self._unified and project_id is not None:
            limits = await self._limits.of(project_id)
            usage = await self._database.runReading(quotas.thd_usage, project_id)
            shown = render_usage(usage, limits)
        return json_reply({"usage": shown})
