"""Data that several images refer to: what is deleted with one of them, the others lose.

The service names data after its image and gives it to no other. Other software may have left rows
that lead to the data of another image, and so may users where the places of a store can be named
(OSSN-0065). No index leads from data to its rows, so those of images that the data is not named
after are sought out once (:func:`thd_borrowings`), and the others are found by that name.

Blocking functions, for interactions of ``glance.db.txdbapi``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from sqlalchemy import Connection, and_, false, or_, select

from glance.db.sealed_locations import Opener, thd_opener
from glance.db.tables import image_locations, images
from glance.domain.image import PENDING_DELETE, Location

#: Where data is, as :func:`place_of` puts it; with the numbers of the rows that lead there.
Borrowings = Mapping[str, Sequence[int]]

#: Schemes of servers that are not ours: nothing is ever deleted there.
_FOREIGN = ("http:", "https:")

#: Longest identifier of an image.
_LONGEST = 36

_loc, _i = image_locations.c, images.c


def place_of(url: str) -> str:
    """Return what is the same for all spellings of a URL that lead to the same data."""
    path = unquote(url.partition(":")[2])
    return "/".join(filter(None, path.split("/")))


def may_be_borrowed(image_id: str, location: Location) -> bool:
    """Tell whether an image's data is not named after it, and so may be another's."""
    return not location.url.startswith(_FOREIGN) and image_id not in place_of(location.url)


def thd_borrowings(connection: Connection, after: int, limit: int) -> list[tuple[int, str]]:
    """List where images have data that is not named after them: the rows' numbers and the places.

    Of rows that cannot be told to be otherwise, the place is empty.

    :param after: the number of the last row before.
    """
    named = _loc.value.contains(_loc.image_id)
    # What is sealed has no colon, and shows nothing.
    odd = or_(~_loc.value.like("%:%"), and_(~named, ~_loc.value.like("http%")))
    there = or_(_loc.deleted == false(), _loc.status == PENDING_DELETE)
    asked = (
        select(_loc.id, _loc.image_id, _loc.value)
        .where(_loc.id > after, there, odd)
        .order_by(_loc.id)
        .limit(limit)
    )
    opened = thd_opener(connection) or _as_it_is
    found = []
    for key, image_id, value in connection.execute(asked):
        url = opened(image_id, value)
        place = "" if image_id in url or url.startswith(_FOREIGN) else place_of(url)
        found.append((key, place))
    return found


def _as_it_is(image_id: str, value: str) -> str:
    return value


def thd_shared(
    connection: Connection, places: Mapping[str, Sequence[Location]], borrowings: Borrowings
) -> frozenset[int]:
    """Return the numbers of those locations of some images whose data a live image has too.

    :param places: by image.
    :param borrowings: all that there are. Without them, what is borrowed of the images given is not
        found, only what they have borrowed of others.
    """
    rows: set[int] = set()
    names: set[str] = set()
    doubtful: list[tuple[str, int | None, str]] = []
    for image_id, locations in places.items():
        for location in locations:
            if location.url.startswith(_FOREIGN):
                continue
            place = place_of(location.url)
            others = borrowings.get(place, ())
            named = () if image_id in place else place.split("/")
            if others or named:
                doubtful.append((place, location.id, image_id))
                rows.update(others)
                names.update(name for name in named if len(name) <= _LONGEST)
    owners = _thd_owners(connection, rows, names) if doubtful else {}
    return frozenset(
        key
        for place, key, image_id in doubtful
        if key is not None and owners.get(place, set()) - {image_id}
    )


def _thd_owners(connection: Connection, rows: set[int], names: set[str]) -> Mapping[str, set[str]]:
    """Return, by place, the live images that have some data of theirs there."""
    asked = (
        select(_loc.image_id, _loc.value)
        .join(images, _i.id == _loc.image_id)
        .where(_loc.deleted == false(), _i.deleted == false())
        .where(or_(_loc.id.in_(sorted(rows)), _loc.image_id.in_(sorted(names))))
    )
    opened: Opener = thd_opener(connection) or _as_it_is
    owners: dict[str, set[str]] = defaultdict(set)
    for image_id, value in connection.execute(asked):
        owners[place_of(opened(image_id, value))].add(image_id)
    return owners
