"""What a verification of the catalogue reads, and the few changes by which it puts things right.

Services go on meanwhile. Whoever needs to know that nobody is at work on an image asks for leases
*before* rows: work ends in one transaction with the change that it makes, so that rows read after a
lease was seen to be gone show what it has done. Changes are made under the image's lock, and only
if all is as it was found to be. Blocking functions, for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, false, func, or_, select

from glance.db import images, leases, locations
from glance.db.hints import unindexed
from glance.db.own_tables import transfer_leases
from glance.db.sealed_locations import Opener, thd_opener
from glance.db.tables import image_locations
from glance.db.tables import images as _images
from glance.domain.image import ACTIVE, DEACTIVATED, PENDING_DELETE, Image, Location
from glance.domain.verification import SETTLED
from glance.domain.viewer import Viewer

_i, _loc = _images.c, image_locations.c
_EVERYTHING = Viewer(is_admin=True)
# By id, page after page: SQLite would sort all of them for every page.
_to_be_verified = and_(unindexed(_i.deleted) == false(), _i.status.in_(sorted(SETTLED)))
# Data whose row says so may be there, or is waited for; all else is nobody's.
_refers = or_(_loc.deleted == false(), _loc.status == PENDING_DELETE)


@dataclass(frozen=True, slots=True)
class Look:
    """What the catalogue says of some identifiers.

    :param busy: those that somebody is at work on.
    :param images: those of images that are not deleted, with their locations.
    :param statuses: every image's status, deleted ones' too.
    :param urls: what is referred to by their locations, those that are leaving too.
    """

    busy: frozenset[str]
    images: Mapping[str, Image]
    statuses: Mapping[str, str]
    urls: Mapping[str, list[str]]


def thd_count(connection: Connection, ids: Collection[str] | None) -> tuple[int, int]:
    """Return how many images are to be verified, and how many bytes they have in all."""
    asked = select(func.count(), func.coalesce(func.sum(_i.size), 0)).where(_to_be_verified)
    if ids is not None:
        asked = asked.where(_i.id.in_(sorted(ids)))
    count, size = connection.execute(asked).one()
    return int(count), int(size)


def thd_unknown(connection: Connection, ids: Collection[str]) -> list[str]:
    """List identifiers that no image has, nor a deleted one."""
    known = set(connection.scalars(select(_i.id).where(_i.id.in_(sorted(ids)))))
    return sorted(set(ids) - known)


def thd_page(
    connection: Connection, after: str, limit: int, ids: Collection[str] | None = None
) -> list[Image]:
    """List images to be verified with their locations, by id.

    :param after: the last id before.
    :param ids: only these.
    """
    asked = select(*images.COLUMNS).where(_to_be_verified, _i.id > after)
    if ids is not None:
        asked = asked.where(_i.id.in_(sorted(ids)))
    found = [Image(*row) for row in connection.execute(asked.order_by(_i.id).limit(limit))]
    _thd_add_locations(connection, {image.id: image for image in found})
    return found


def _thd_add_locations(connection: Connection, by_id: Mapping[str, Image]) -> None:
    asked = (
        select(_loc.image_id, _loc.value, _loc.meta_data, _loc.status, _loc.id)
        .where(_loc.image_id.in_(list(by_id)), _loc.deleted == false())
        .order_by(_loc.id)
    )
    opened = _thd_opener(connection)
    for image_id, url, metadata, status, key in connection.execute(asked) if by_id else ():
        place = Location(opened(image_id, url), metadata or {}, status, key)
        by_id[image_id].locations.append(place)


def _thd_opener(connection: Connection) -> Opener:
    return thd_opener(connection) or (lambda image_id, url: url)


def thd_look(connection: Connection, ids: Sequence[str]) -> Look:
    """Look at what the catalogue says of some identifiers, of images or not."""
    ids = list(ids)
    lease = transfer_leases.c.image_id
    busy = frozenset(connection.execute(select(lease).where(lease.in_(ids))).scalars())
    statuses: dict[str, str] = {}
    found: dict[str, Image] = {}
    asked = select(*images.COLUMNS, _i.deleted).where(_i.id.in_(ids))
    for *fields, deleted in connection.execute(asked):
        image = Image(*fields)
        statuses[image.id] = image.status
        if not deleted:
            found[image.id] = image
    _thd_add_locations(connection, found)
    urls: dict[str, list[str]] = {}
    referring = select(_loc.image_id, _loc.value).where(_loc.image_id.in_(ids), _refers)
    opened = _thd_opener(connection)
    for image_id, url in connection.execute(referring):
        urls.setdefault(image_id, []).append(opened(image_id, url))
    return Look(busy, found, statuses, urls)


def thd_urls(connection: Connection, ids: Sequence[str]) -> list[str]:
    """List what the locations of some images refer to, be there such images or not."""
    asked = select(_loc.image_id, _loc.value).where(_loc.image_id.in_(ids), _refers)
    opened = _thd_opener(connection)
    return [opened(image_id, url) for image_id, url in connection.execute(asked)]


def thd_references(connection: Connection, after: int, limit: int) -> list[tuple[int, str]]:
    """List what locations refer to: the rows' numbers and URLs.

    :param after: the number of the last row before.
    """
    columns = _loc.id, _loc.image_id, _loc.value
    asked = select(*columns).where(_loc.id > after, _refers).order_by(_loc.id).limit(limit)
    opened = _thd_opener(connection)
    return [(key, opened(image_id, url)) for key, image_id, url in connection.execute(asked)]


def _thd_unchanged(connection: Connection, seen: Image) -> bool:
    """Lock an image and tell whether it is as it was seen, with nobody at work on it."""
    images.thd_lock(connection, seen.id)
    look = thd_look(connection, [seen.id])
    image = look.images.get(seen.id)
    return image is not None and not look.busy and same(image, seen)


def same(one: Image, other: Image) -> bool:
    """Tell whether what a verification depends on is the same of two versions of an image."""

    def facts(image: Image) -> Any:
        places = [(place.id, place.url, place.store_id) for place in image.locations]
        hashes = (image.os_hash_algo, image.os_hash_value, image.checksum)
        return image.id, image.status, image.size, hashes, places

    return bool(facts(one) == facts(other))


def thd_strike_off(connection: Connection, seen: Image, location_ids: Collection[int]) -> bool:
    """Take copies off an image that has others; what is stored of them stays where it is.

    :param seen: the image as it was verified.
    :returns: whether it still was so.
    """
    going = [place for place in seen.locations if place.id in location_ids]
    if len(going) == len(seen.locations) or not _thd_unchanged(connection, seen):
        return False
    locations.thd_mark_gone(connection, going)
    images.thd_touch(connection, seen.id)
    return True


def thd_deactivate(connection: Connection, seen: Image) -> bool:
    """Deactivate an image whose data is not what it should be; return whether it still was so."""
    return _thd_unchanged(connection, seen) and images.thd_set_status(
        connection, seen.id, ACTIVE, DEACTIVATED
    )


def thd_fill_in(connection: Connection, seen: Image, values: Mapping[str, Any]) -> bool:
    """Record hashes of an image that has none; return whether it still was as it was verified."""
    return _thd_unchanged(connection, seen) and images.thd_set_status(
        connection, seen.id, seen.status, seen.status, values
    )


def thd_hold(connection: Connection, image_id: str, node: str, worker: str) -> str | None:
    """Keep everybody from bringing data under an id, be there such an image or not.

    The lease is of a kind that does no harm to whoever finds it, should its holder die: at most,
    locations that were leaving are let go of.

    :returns: the lease, or ``None`` when somebody is at work on it.
    """
    images.thd_lock(connection, image_id)
    return leases.thd_take(connection, image_id, leases.LOCATION, node, worker)
