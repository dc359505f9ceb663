"""The members of images in the catalogue.

Every function blocks and runs in a thread, inside an interaction of ``glance.db.txdbapi`` that has
read the image first, under lock where it changes anything: so the rows of one image are changed by
one transaction at a time, which the database's own unique key, with its NULL, would not see to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from sqlalchemy import Connection, String, bindparam, false, insert, or_, select, true, update

from glance.db.columns import utcnow
from glance.db.hints import unindexed
from glance.db.image_parts import named, one_of, portions
from glance.db.prepared import Prepared
from glance.db.tables import image_members, images
from glance.domain.errors import NotFound
from glance.domain.member import PENDING, Member
from glance.domain.viewer import Viewer

_m = image_members.c
_OF_IMAGE = (_m.image_id == bindparam("of_id", type_=String), _m.deleted == false())
_COLUMNS = (_m.image_id, _m.member, _m.status, _m.created_at, _m.updated_at)

_all = Prepared(select(*_COLUMNS).where(*_OF_IMAGE).order_by(_m.id))
_one = Prepared(
    select(*_COLUMNS).where(*_OF_IMAGE, _m.member == bindparam("project", type_=String))
)


def thd_list(connection: Connection, image_id: str) -> list[Member]:
    """List the members of an image in the order in which they were made."""
    return [Member(*row) for row in _all.thd_rows(connection, {"of_id": image_id})]


@lru_cache(maxsize=128)
def _of_several(count: int, everything: bool) -> Prepared:
    """Read the members of images.

    :param everything: whether of all of them, or of those that a project owns all and of others the
        project alone.
    """
    alive = unindexed(_m.deleted) == false()
    statement = select(*_COLUMNS).where(one_of(_m.image_id, count), alive)
    if not everything:
        project = bindparam("project", type_=String)
        statement = statement.join(images, images.c.id == _m.image_id).where(
            or_(_m.member == project, images.c.owner == project)
        )
    return Prepared(statement.order_by(_m.id))


def thd_list_of(connection: Connection, ids: Sequence[str], viewer: Viewer) -> Iterator[Member]:
    """List the members of several images as :func:`thd_list` does, of a thousand in one statement.

    :param ids: the images, no one twice.
    :param viewer: who is to know; the result has at least what that one may see.
    """
    if not viewer.is_admin and viewer.project_id is None:
        return
    for part in portions(ids):
        values: dict[str, str | None] = dict(named(part))
        if not viewer.is_admin:
            values["project"] = viewer.project_id
        for row in _of_several(len(part), viewer.is_admin).thd_rows(connection, values):
            yield Member(*row)


def thd_find(connection: Connection, image_id: str, project: str) -> Member | None:
    """Return one member of an image, if the image has it."""
    if "\0" in project:
        # Some databases refuse to compare with what they cannot store.
        return None
    for row in _one.thd_rows(connection, {"of_id": image_id, "project": project}):
        # To MariaDB, names that differ in case only are the same.
        if row[1] == project:
            return Member(*row)
    return None


def thd_get(connection: Connection, image_id: str, project: str) -> Member:
    """Return one member of an image.

    :raises NotFound: the image is not shared with that project.
    """
    member = thd_find(connection, image_id, project)
    if member is None:
        raise missing(image_id)
    return member


def missing(image_id: str) -> NotFound:
    """Return the error for a member that is not there, or not there for this caller."""
    return NotFound(f"Image {image_id} has no such member.")


def thd_add(connection: Connection, image_id: str, project: str) -> Member:
    """Share an image with one more project, and return the new member."""
    now = utcnow()
    connection.execute(
        insert(image_members),
        {"image_id": image_id, "member": project, "can_share": False, "status": PENDING,
         "created_at": now, "updated_at": now, "deleted": False},
    )  # fmt: skip
    return Member(image_id, project, PENDING, now, now)


def thd_set_status(connection: Connection, member: Member, status: str) -> Member:
    """Record a member's answer, and return the member as it is now."""
    now = utcnow()
    connection.execute(
        update(image_members)
        .where(_m.image_id == member.image_id, _m.member == member.member_id, _m.deleted == false())
        .values(status=status, updated_at=now)
    )
    return Member(member.image_id, member.member_id, status, member.created_at, now)


def thd_remove(connection: Connection, member: Member) -> None:
    """Stop sharing an image with a project."""
    now = utcnow()
    connection.execute(
        update(image_members)
        .where(_m.image_id == member.image_id, _m.member == member.member_id, _m.deleted == false())
        .values(deleted=true(), deleted_at=now, updated_at=now)
    )
