"""Count what an owner's images take, so that no two requests take the same room.

Whoever wants more locks the owner's row first, in the transaction in which it then takes more; so
all that one counts is there, and stays until it has ended. Giving room back needs no lock. What is
taken is counted in the catalogue itself and in the leases of uploads under way, never kept as a sum
that other software on the same database would not know of.

Limits come in as plain values, and are decided on by ``glance.domain.quotas``. Blocking functions,
for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    String,
    and_,
    bindparam,
    exists,
    false,
    func,
    or_,
    select,
    update,
)

from glance.db.leases import UPLOAD
from glance.db.once import InsertOnce
from glance.db.own_tables import quota_owners, transfer_leases
from glance.db.prepared import Prepared, among
from glance.db.tables import image_locations, image_properties, images
from glance.domain.image import (
    DELETED,
    IMPORTING,
    KILLED,
    PENDING_DELETE,
    SAVING,
    UPLOADING,
    Image,
)
from glance.domain.quotas import OwnerLimits, Room, Usage
from glance.domain.viewer import Viewer

#: Lists the stores that an import or a copy has yet to reach, empty when it has ended.
_IMPORTING_TO = "os_glance_importing_to_stores"

#: Kinds of leases whose reservations are of image data.
_STORING = (UPLOAD,)

_i = images.c
_lease = transfer_leases.c
_of_owner = _i.owner == bindparam("owner", type_=String)
_of_nobody = _i.owner.is_(None)
_live = and_(_i.deleted == false(), ~among(_i.status, (KILLED, DELETED, PENDING_DELETE)))
_copying = exists().where(
    image_properties.c.image_id == _i.id,
    image_properties.c.name == _IMPORTING_TO,
    image_properties.c.value != "",
    image_properties.c.deleted == false(),
)

Owned = ColumnElement[bool]


def _total(amount: Any, *tables: Any) -> Callable[..., ScalarSelect[Any]]:
    def where(*conditions: Any) -> ScalarSelect[Any]:
        joined = select(func.coalesce(func.sum(amount), 0)).select_from(*tables)
        return joined.where(*conditions).scalar_subquery()

    return where


def _size_total(owned: Owned) -> Any:
    """Bytes in every place that holds them, and what is reserved: one statement sees one moment."""
    places = images.join(image_locations, image_locations.c.image_id == _i.id)
    stored = _total(_i.size, places)(owned, _live, _i.size > 0, image_locations.c.status != DELETED)
    held = images.join(transfer_leases, _lease.image_id == _i.id)
    reserved = _total(_lease.bytes_reserved, held)(owned, _live, among(_lease.kind, _STORING))
    return stored + reserved


def _stage_total(owned: Owned) -> Any:
    moving = or_(among(_i.status, (UPLOADING, IMPORTING)), _copying)
    return _total(_i.size, images)(owned, _live, moving)


def _count(*conditions: Any) -> Any:
    return select(func.count()).select_from(images).where(*conditions).scalar_subquery()


def _count_total(owned: Owned) -> Any:
    return _count(owned, _live)


def _count_uploading(owned: Owned) -> Any:
    return _count(owned, _live, or_(among(_i.status, (SAVING, UPLOADING, IMPORTING)), _copying))


class _Amount:
    """Numbers of an owner, read by one statement."""

    def __init__(self, *amounts: Callable[[Owned], Any]) -> None:
        self._statements = {
            nobody: Prepared(select(*[amount(owned) for amount in amounts]))
            for nobody, owned in ((True, _of_nobody), (False, _of_owner))
        }

    def thd_read(self, connection: Connection, owner: str | None) -> list[int]:
        values = {} if owner is None else {"owner": owner}
        (row,) = self._statements[owner is None].thd_rows(connection, values)
        # Sums of PostgreSQL and MariaDB are decimal numbers.
        return [int(number) for number in row]


_DATA = _Amount(_size_total)
_STAGING = _Amount(_stage_total)
_IMAGES = _Amount(_count_total)
_UPLOADS = _Amount(_count_uploading)
_EVERYTHING = _Amount(_size_total, _stage_total, _count_total, _count_uploading)


def thd_usage(connection: Connection, owner: str | None) -> Usage:
    """Count what all images of an owner take together; images without owner count as one's."""
    return Usage(*_EVERYTHING.thd_read(connection, owner))


def thd_lock_owner(connection: Connection, owner: str | None) -> None:
    """Keep others from taking more of an owner's quota until this transaction ends.

    Taken after a lock on an image and before a lease: see :func:`glance.db.images.thd_lock`.
    """
    if connection.dialect.name == "sqlite":
        return  # transactions that write follow one another
    # Written to and not only locked: where several servers form a cluster (Galera), locks are each
    # server's own, and only changes of the same row clash.
    values = {"of_owner": owner or ""}
    if not _TAKE_TURN.thd_run(connection, values):
        _new_owner.thd_insert(connection, owner or "")
        _TAKE_TURN.thd_run(connection, values)


_TAKE_TURN = Prepared(
    update(quota_owners)
    .where(quota_owners.c.owner == bindparam("of_owner"))
    .values(turns=quota_owners.c.turns + 1)
)

_new_owner = InsertOnce(quota_owners)


def thd_check_create(connection: Connection, image: Image, limits: OwnerLimits) -> None:
    """Check that its owner's limits allow an image that was just inserted.

    :raises LimitExceeded: they do not; the transaction must not be committed.
    :raises OtherOwner: they are another's limits.
    """
    limits.check_owner(image.owner)
    if limits.count_total is None:
        return
    thd_lock_owner(connection, image.owner)
    (count,) = _IMAGES.thd_read(connection, image.owner)
    _check(limits.room_for_images(count - 1), 1)


def thd_check_upload(
    connection: Connection, image: Image, limits: OwnerLimits, size: int | None, viewer: Viewer
) -> Room | None:
    """Check that its owner's limits allow an upload to an image, which is locked, to begin.

    :param size: bytes that will come, which the upload's lease then reserves; ``None`` when nobody
        knows how many.
    :param viewer: who asks.
    :returns: the room for what comes, where its size is not known and there is a limit.
    :raises LimitExceeded: they do not.
    :raises OtherOwner: they are another's limits.
    """
    limits.check_owner(image.owner)
    if limits.count_uploading is None and limits.size_total is None:
        return None
    told = _may_know(viewer, image.owner)
    thd_lock_owner(connection, image.owner)
    if limits.count_uploading is not None:
        (count,) = _UPLOADS.thd_read(connection, image.owner)
        _check(limits.room_for_uploads(count, told), 1)
    if limits.size_total is None:
        return None
    (taken,) = _DATA.thd_read(connection, image.owner)
    room = limits.room_for_data(taken, told)
    _check(room, 1 if size is None else size)
    return room if size is None else None


def thd_check_more(
    connection: Connection, image: Image, limits: OwnerLimits, size: int, viewer: Viewer
) -> None:
    """Check that its owner's limits allow an image, which is locked, to take more room.

    For another location of it, or for an upload of unknown size that has ended.

    :param size: bytes that it takes in one more place.
    :param viewer: who asks.
    :raises LimitExceeded: they do not.
    :raises OtherOwner: they are another's limits.
    """
    limits.check_owner(image.owner)
    if limits.size_total is None:
        return
    thd_lock_owner(connection, image.owner)
    (taken,) = _DATA.thd_read(connection, image.owner)
    _check(limits.room_for_data(taken, _may_know(viewer, image.owner)), size)


def _check(room: Room | None, more: int) -> None:
    if room is not None:
        room.check(more)


def _may_know(viewer: Viewer, owner: str | None) -> bool:
    return viewer.is_admin or viewer.project_id == owner
