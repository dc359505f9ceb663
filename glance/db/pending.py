"""Images whose data is still to be deleted: claimed and finished, many at a time.

An image that was deleted with ``delayed_delete``, by this service or by other software, stays in
``pending_delete``. Whoever deletes its data claims it first by a lease, which is unique for an
image, and only then looks whether it is still there to be scrubbed; a restoration takes the same
lease before it changes anything. So whichever comes second sees what the first has done.

Blocking functions, for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, func, select, update

from glance.db import leases, tombstones
from glance.db.columns import utcnow
from glance.db.due import IS_PENDING
from glance.db.once import insert_once
from glance.db.own_tables import transfer_leases
from glance.db.sealed_locations import thd_opener
from glance.db.sharing import Borrowings, thd_shared
from glance.db.tables import image_locations, images
from glance.domain.image import DELETED, PENDING_DELETE, Location

_i = images.c
_loc = image_locations.c
_lease = transfer_leases.c


@dataclass(frozen=True, slots=True)
class Claim:
    """An image that is ours to scrub.

    :param lease: our lease on it.
    :param size: bytes of each copy of its data, 0 where that is not known.
    :param locations: what the stores still hold of it.
    :param shared: the ids of those whose data a live image has too.
    """

    image_id: str
    lease: str
    size: int
    locations: tuple[Location, ...]
    shared: frozenset[int]


@dataclass(frozen=True, slots=True)
class Claims:
    """What came of an attempt to claim some images.

    :param mine: those that are ours now.
    :param held: how many others are at work on.
    """

    mine: tuple[Claim, ...]
    held: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has been done to a claimed image.

    :param gone: ids of the locations whose data is gone.
    :param whole: whether that is all of its data.
    """

    image_id: str
    lease: str
    gone: tuple[int, ...]
    whole: bool


def thd_claim(
    connection: Connection,
    image_ids: Sequence[str],
    node: str,
    worker: str,
    borrowings: Borrowings,
) -> Claims:
    """Claim images, leaving out those that another process works on, or has finished.

    :param image_ids: in the order in which they are to be worked on.
    :param node: ours, with the worker: as :func:`glance.db.leases.thd_take` has them.
    :param borrowings: all that there are.
    """
    now = utcnow()
    # In order, so that two who want the same ones do not wait in a circle.
    wanted = {str(uuid4()): image_id for image_id in sorted(image_ids)}
    if not wanted:
        return Claims((), 0)
    rows: list[dict[str, Any]] = [
        {
            "id": lease_id, "image_id": image_id, "kind": leases.SCRUB, "node": node,
            "worker": worker, "store_id": None, "started_at": now, "heartbeat_at": now,
            "bytes_done": 0, "bytes_reserved": 0,
        }
        for lease_id, image_id in wanted.items()
    ]  # fmt: skip
    connection.execute(insert_once(connection, transfer_leases, rows))
    taken = connection.scalars(select(_lease.id).where(_lease.id.in_(list(wanted)))).all()
    ours = {wanted[lease_id]: lease_id for lease_id in taken}
    still = select(_i.id, _i.size).where(_i.id.in_(list(ours)), IS_PENDING).order_by(_i.id)
    sizes = {row.id: row.size for row in connection.execute(still)}
    thd_release(connection, [lease for image_id, lease in ours.items() if image_id not in sizes])
    places = _thd_places(connection, list(sizes))
    shared = thd_shared(connection, places, borrowings)
    mine = [
        Claim(
            image_id,
            ours[image_id],
            sizes[image_id] or 0,
            tuple(places.get(image_id, ())),
            shared.intersection(
                location.id for location in places.get(image_id, ()) if location.id is not None
            ),
        )
        for image_id in image_ids
        if image_id in sizes
    ]
    return Claims(tuple(mine), len(wanted) - len(ours))


def _thd_places(connection: Connection, image_ids: Sequence[str]) -> dict[str, list[Location]]:
    # Also those that are not marked as pending: a deletion may have broken off half way.
    rows = connection.execute(
        select(_loc.image_id, _loc.id, _loc.value, _loc.meta_data, _loc.status)
        .where(_loc.image_id.in_(image_ids), _loc.status != DELETED)
        .order_by(_loc.id)
    )
    opened = thd_opener(connection)
    places: dict[str, list[Location]] = {}
    for image_id, key, value, metadata, status in rows:
        url = value if opened is None else opened(image_id, value)
        places.setdefault(image_id, []).append(Location(url, metadata or {}, status, key))
    return places


def thd_settle(connection: Connection, outcomes: Iterable[Outcome]) -> set[str]:
    """Record what has been done, and end the leases; return the images that are finished by it.

    That data is gone is true whoever holds the lease by now. The image is finished by whoever moves
    it out of ``pending_delete``.
    """
    outcomes = list(outcomes)
    now = utcnow()
    whole = sorted(outcome.image_id for outcome in outcomes if outcome.whole)
    lock = select(_i.id).where(_i.id.in_(whole), IS_PENDING).order_by(_i.id).with_for_update()
    finished = list(connection.scalars(lock))
    gone = sorted(key for outcome in outcomes for key in outcome.gone)
    if gone:
        connection.execute(
            update(image_locations)
            .where(_loc.id.in_(gone))
            .values(
                status=DELETED,
                deleted=True,
                deleted_at=func.coalesce(_loc.deleted_at, now),
                updated_at=now,
            )
        )
    if finished:
        connection.execute(
            update(images)
            .where(_i.id.in_(finished), _i.status == PENDING_DELETE)
            .values(status=DELETED, updated_at=now)
        )
        tombstones.thd_put_up_all(connection, finished)
    thd_release(connection, [outcome.lease for outcome in outcomes])
    return set(finished)


def thd_release(connection: Connection, lease_ids: Sequence[str]) -> None:
    """End leases; those that are gone already are none of ours any more."""
    if lease_ids:
        connection.execute(delete(transfer_leases).where(_lease.id.in_(sorted(lease_ids))))
