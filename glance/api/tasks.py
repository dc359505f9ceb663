"""What became of work on an image that went on after its request was answered."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from glance.api.routing import Reply, json_reply, route
from glance.api.streaming import StreamingRequest
from glance.db import images, tasks
from glance.db.txdbapi import Database
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy


class ImageTasksResource:
    """The route ``/images/{image_id}/tasks``."""

    def __init__(self, database: Database, policy: IPolicy) -> None:
        self._database = database
        self._policy = policy

    @route(
        "GET",
        "/images/<image_id>/tasks",
        no_body=True,
        policies=("get_image",),
        errors=(404,),
        reply="image_tasks",
    )
    async def list(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """List the tasks about an image of the caller's project."""

        def thd_list(connection: Connection) -> list[tasks.Task]:
            image = images.thd_get(connection, image_id, context.viewer)
            self._policy.check(context, "get_image", image)
            found = tasks.thd_of_image(connection, image_id)
            return [t for t in found if context.is_admin or t.owner == context.project_id]

        found = await self._database.runReading(thd_list)
        return json_reply({"tasks": [_render(task) for task in found]})


def _render(task: tasks.Task) -> dict[str, Any]:
    # Times in the form that the database layer of the OpenStack service gives out, fraction and
    # all: clients parse what they have seen.
    return {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "expires_at": task.expires_at and task.expires_at.isoformat(timespec="microseconds"),
        "created_at": task.created_at and task.created_at.isoformat(timespec="microseconds"),
        "updated_at": task.updated_at and task.updated_at.isoformat(timespec="microseconds"),
        "deleted_at": None,
        "deleted": False,
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
        "input": task.input,
        "result": task.result,
        "message": task.message,
    }
