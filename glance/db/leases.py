"""Leases: who is at work on an image, so that nothing stays stuck when a process dies.

One row of ``transfer_leases`` stands for work under way on an image. Its worker renews the
heartbeat; a lease that stopped beating, or whose worker is known to be dead, is taken over by
whoever finds it (``glance.transfers.recovery``). Taking, keeping and ending are all decided by row
counts. Blocking functions, for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from glance.db.columns import utcnow
from glance.db.own_tables import transfer_leases
from glance.db.prepared import Prepared

#: What a lease may be for: taking data in, deleting an image, letting go of some of its places,
#: computing the hashes of data that is elsewhere, deleting the data of an image that was deleted
#: before, and taking such a deletion back. The last two are of images in ``pending_delete``, which
#: nothing else works on; when their holder dies there is nothing to be finished or undone.
UPLOAD = "upload"
REMOVAL = "removal"
LOCATION = "location"
HASHING = "hashing"
SCRUB = "scrub"
RESTORE = "restore"

_t = transfer_leases.c


@dataclass(frozen=True, slots=True)
class Lease:
    """Work under way on one image.

    :param worker: ``<pid>.<start time of the process>``, unique on the node.
    """

    id: str
    image_id: str
    kind: str
    node: str
    worker: str
    store_id: str | None
    heartbeat_at: datetime


def thd_take(
    connection: Connection,
    image_id: str,
    kind: str,
    node: str,
    worker: str,
    store_id: str | None = None,
    *,
    bytes_reserved: int = 0,
) -> str | None:
    """Take the lease of an image.

    :param bytes_reserved: what it counts for in its owner's quota as long as it lasts.
    :returns: the lease's id, or ``None`` when another holds it.
    """
    now = utcnow()
    lease_id = str(uuid4())
    row = {
        "id": lease_id, "image_id": image_id, "kind": kind, "node": node, "worker": worker,
        "store_id": store_id, "started_at": now, "heartbeat_at": now, "bytes_done": 0,
        "bytes_reserved": bytes_reserved,
    }  # fmt: skip
    savepoint = connection.begin_nested()
    try:
        connection.execute(insert(transfer_leases), row)
    except IntegrityError:
        savepoint.rollback()
        return None
    savepoint.commit()
    return lease_id


def thd_end(connection: Connection, lease_id: str, kind: str | None = None) -> bool:
    """End a lease; return whether it was still ours to end.

    :param kind: what it must still be for.
    """
    ended = delete(transfer_leases).where(_t.id == lease_id)
    if kind is not None:
        ended = ended.where(_t.kind == kind)
    return connection.execute(ended).rowcount == 1


def thd_turn_to_removal(connection: Connection, image_id: str) -> None:
    """Turn the lease of an upload whose image is deleted into one on removing what it stored.

    Its holder finds out at its next beat, or when it wants to finish, and removes the data; should
    it die before, whoever takes the lease over does.
    """
    connection.execute(update(transfer_leases).where(_t.image_id == image_id).values(kind=REMOVAL))


def thd_preempt(connection: Connection, image_id: str, kind: str) -> None:
    """End an image's lease if it is of a kind that gives way; its holder finds out."""
    connection.execute(delete(transfer_leases).where(_t.image_id == image_id, _t.kind == kind))


def thd_beat(connection: Connection, progress: Mapping[str, tuple[str, int]]) -> set[str]:
    """Renew leases.

    :param progress: what each is for and how many bytes are done so far, by lease id.
    :returns: the leases that are gone, or no longer for the same.
    """
    now = utcnow()
    lost = set()
    for lease_id, (kind, done) in progress.items():
        renewed = connection.execute(
            update(transfer_leases)
            .where(_t.id == lease_id, _t.kind == kind)
            .values(heartbeat_at=now, bytes_done=done)
        )
        if renewed.rowcount != 1:
            lost.add(lease_id)
    return lost


def thd_all(connection: Connection) -> list[Lease]:
    """List every lease there is: one for each transfer under way."""
    return [Lease(*row) for row in _all.thd_rows(connection, {})]


_all = Prepared(
    select(_t.id, _t.image_id, _t.kind, _t.node, _t.worker, _t.store_id, _t.heartbeat_at)
)


def thd_end_unrenewed(connection: Connection, leases: Iterable[Lease]) -> list[Lease]:
    """End leases that have not beaten since they were listed; return those that were ended."""
    return [
        lease
        for lease in leases
        if connection.execute(
            delete(transfer_leases).where(_t.id == lease.id, _t.heartbeat_at == lease.heartbeat_at)
        ).rowcount
        == 1
    ]
