"""Tasks in the catalogue: work that goes on after its request was answered, and what became of it.

Blocking functions, for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, false, insert, or_, select, update

from glance.db.columns import utcnow
from glance.db.prepared import Prepared
from glance.db.tables import task_info, tasks

PENDING = "pending"
PROCESSING = "processing"
SUCCESS = "success"
FAILURE = "failure"

#: Widths of columns.
_REQUEST_ID_LENGTH = _USER_ID_LENGTH = 64


@dataclass(slots=True)
class Task:
    """One piece of work.

    :param type: what kind: ``location_import`` and so on.
    :param owner: project that owns the image.
    :param expires_at: when it stops being shown; set when it ends.
    """

    id: str
    type: str
    status: str
    owner: str
    image_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    input: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    message: str | None = ""


_t = tasks.c
_COLUMNS = (
    _t.id, _t.type, _t.status, _t.owner, _t.image_id, _t.request_id, _t.user_id, _t.expires_at,
    _t.created_at, _t.updated_at, task_info.c.input, task_info.c.result, task_info.c.message,
)  # fmt: skip

_of_image = Prepared(
    select(*_COLUMNS)
    .select_from(tasks.outerjoin(task_info, task_info.c.task_id == _t.id))
    .where(_t.image_id == bindparam("of_id"), _t.deleted == false())
    .where(or_(_t.expires_at.is_(None), _t.expires_at > bindparam("now")))
    .order_by(_t.created_at.desc(), _t.id)
)


def thd_of_image(connection: Connection, image_id: str) -> list[Task]:
    """List the tasks about an image that have not expired, the newest first."""
    values = {"of_id": image_id, "now": utcnow()}
    return [Task(*row) for row in _of_image.thd_rows(connection, values)]


def thd_insert(connection: Connection, task: Task) -> None:
    """Record a new task."""
    now = utcnow()
    connection.execute(
        insert(tasks),
        {"id": task.id, "type": task.type, "status": task.status, "owner": task.owner,
         "image_id": task.image_id, "request_id": (task.request_id or "")[:_REQUEST_ID_LENGTH],
         "user_id": (task.user_id or "")[:_USER_ID_LENGTH] or None,
         "created_at": now, "updated_at": now, "deleted": False},
    )  # fmt: skip
    connection.execute(
        insert(task_info),
        {"task_id": task.id, "input": task.input, "result": task.result, "message": task.message},
    )


def thd_end(
    connection: Connection,
    task_id: str,
    status: str,
    *,
    keep: timedelta,
    result: Mapping[str, Any] | None = None,
    message: str = "",
) -> bool:
    """Record the end of a task that has not ended yet; return whether this call did it.

    :param status: ``success`` or ``failure``.
    :param keep: how long it is shown from now on.
    """
    now = utcnow()
    ended = connection.execute(
        update(tasks)
        .where(_t.id == task_id, _t.status.in_((PENDING, PROCESSING)), _t.deleted == false())
        .values(status=status, expires_at=now + keep, updated_at=now)
    )
    if not ended.rowcount:
        return False
    connection.execute(
        update(task_info)
        .where(task_info.c.task_id == task_id)
        .values(result=result, message=message)
    )
    return True


def thd_end_of_image(
    connection: Connection, image_id: str, kind: str, *, keep: timedelta, message: str
) -> None:
    """Record the failure of an image's tasks of a kind that nobody works on any more."""
    open_ones = connection.execute(
        select(_t.id).where(
            _t.image_id == image_id, _t.type == kind, _t.status.in_((PENDING, PROCESSING))
        )
    )
    for (task_id,) in list(open_ones):
        thd_end(connection, task_id, FAILURE, keep=keep, message=message)
