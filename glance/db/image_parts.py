"""What belongs to images, their properties, tags and locations, read together.

One statement reads all of it, for one image or for a page of them: every further one would cost a
trip to the database. Functions named ``thd_…`` block and run in a thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Text,
    bindparam,
    false,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
)

from glance.db.columns import Json
from glance.db.hints import unindexed
from glance.db.prepared import Prepared, among
from glance.db.sealed_locations import Opener, thd_opener
from glance.db.tables import image_locations, image_properties, image_tags
from glance.domain.image import Image, Location

#: The kinds of rows, in words of SQL and as they are read.
IMAGE, _PROPERTY, _TAG, _LOCATION = (literal_column(str(kind), Integer) for kind in range(4))
IS_IMAGE, _IS_PROPERTY, _IS_TAG, _IS_LOCATION = range(4)

#: Numbers of images for which there is a statement: one for every number would be compiled anew
#: too often. SQLite allows 32,766 parameters, three for each image.
_LENGTHS = (
    *range(1, 33), 40, 50, 65, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800, 1000,
)  # fmt: skip

_read_json: Callable[[str, Any], Any] = Json().process_result_value


def parts_of(
    condition: Callable[[Any], Any], before: Callable[[Any], Sequence[Any]]
) -> list[Select[Any]]:
    """Select all that belongs to some images: kind, a, b, c, d, for :func:`add_parts`.

    :param condition: says of a table's columns which images are meant.
    :param before: what to select of a table's columns in front of that.
    """
    p, t, loc = image_properties.c, image_tags.c, image_locations.c
    metadata = type_coerce(loc.meta_data, Text)
    parts = (
        (p, _PROPERTY, (p.name, p.value, null(), p.id)),
        (t, _TAG, (t.value, null(), null(), t.id)),
        (loc, _LOCATION, (loc.status, loc.value, metadata, loc.id)),
    )
    return [
        select(*before(c), kind, *values).where(condition(c), unindexed(c.deleted) == false())
        for c, kind, values in parts
    ]


def portions(ids: Sequence[str]) -> Iterator[list[str]]:
    """Cut ids into lists of the few lengths that there are statements for."""
    for start in range(0, len(ids), _LENGTHS[-1]):
        part = list(ids[start : start + _LENGTHS[-1]])
        length = _LENGTHS[bisect_left(_LENGTHS, len(part))]
        # The last id fills up what is left.
        yield part + part[-1:] * (length - len(part))


def named(ids: Iterable[str]) -> dict[str, str]:
    """Return the values of the parameters of :func:`one_of`."""
    return {f"i{n}": image_id for n, image_id in enumerate(ids)}


def one_of(column: ColumnElement[str], count: int) -> ColumnElement[bool]:
    """Say that a column has one of a number of ids, which are parameters."""
    return among(column, [bindparam(f"i{n}", type_=String) for n in range(count)])


@lru_cache(maxsize=64)
def _parts_of(count: int) -> Prepared:
    return Prepared(
        union_all(*parts_of(lambda c: one_of(c.image_id, count), lambda c: [c.image_id]))
    )


def thd_fill(connection: Connection, found: list[Image]) -> None:
    """Read properties, tags and locations of images, of a thousand in one statement."""
    opened = thd_opener(connection)
    by_id = {image.id: image for image in found}
    for ids in portions(list(by_id)):
        rows = _parts_of(len(ids)).thd_rows(connection, named(ids))
        add_parts(by_id, rows, opened)


def add_parts(
    by_id: dict[str, Image], rows: Iterable[tuple[Any, ...]], opened: Opener | None = None
) -> None:
    """Give images what belongs to them.

    :param by_id: the images.
    :param rows: an image's id and what :func:`parts_of` selects.
    :param opened: opens locations that are sealed.
    """
    locations: list[tuple[int, str, Location]] = []
    for image_id, kind, a, b, c, d in rows:
        if kind == _IS_PROPERTY:
            by_id[image_id].properties[a] = b
        elif kind == _IS_TAG:
            by_id[image_id].tags.append(a)
        elif kind == _IS_LOCATION:
            metadata = c and _read_json(c, None)
            url = b if opened is None else opened(image_id, b)
            locations.append((d, image_id, Location(url, metadata or {}, a, d)))
    for _, image_id, location in sorted(locations, key=lambda entry: entry[0]):
        by_id[image_id].locations.append(location)
