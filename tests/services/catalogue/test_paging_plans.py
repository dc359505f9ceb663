"""Pages of a hundred thousand images: the last costs what the first does, by the database's count.

Here everybody sees everything; ``test_sparse_plans`` is about who sees little.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from glance.db.image_listing import thd_list
from glance.domain.listing import Compare, Equals, Filter, HasProperty, HasTag, ListQuery, OneOf
from glance.domain.viewer import Viewer
from tests.services.catalogue import crowds
from tests.services.catalogue.crowds import IMAGES
from tests.services.catalogue.meter import Meter, most
from tests.services.catalogue.support import ADMIN

PAGE = 25
NEWEST = (("created_at", "desc"), ("id", "desc"))
SORTS: dict[str, Any] = {
    "newest": NEWEST,
    "oldest": (("created_at", "asc"), ("id", "asc")),
    "by id": (("id", "asc"), ("created_at", "asc")),
    "by name": (("name", "asc"), ("created_at", "asc"), ("id", "asc")),
}
#: Who looks, and by how many ways that one may see an image.
VIEWERS = [(ADMIN, 1), (Viewer("p"), 2), (Viewer("stranger"), 2), (Viewer(None), 1)]


@pytest.fixture(scope="module")
def crowded(catalogue_url: str) -> Iterator[Connection]:
    """A connection to a catalogue of which all images are public, and one project's."""
    yield from crowds.filled(catalogue_url, visibility="'public'", owner="'p'", members={})


@pytest.mark.parametrize(("viewer", "ways"), VIEWERS, ids=str)
@pytest.mark.parametrize("sort", ["newest", "oldest", "by id"])
def test_every_page_costs_the_same(
    crowded: Connection, sort: str, viewer: Viewer, ways: int
) -> None:
    order, kind = SORTS[sort], crowded.dialect.name
    ids = crowds.in_order(crowded, order)
    assert IMAGES * 0.8 < len(ids) < IMAGES
    meter = Meter(crowded)
    costs = {}
    for place in (0, PAGE, *(len(ids) * n // 10 + n for n in range(1, 10)), len(ids) - PAGE):
        page = ListQuery(PAGE, ids[place - 1] if place else None, order)
        assert [image.id for image in thd_list(crowded, page, viewer)] == ids[place : place + PAGE]
        costs[place] = meter.cost(thd_list, page, viewer)
    if sort == "by id" and kind == "sqlite":
        # Without statistics it takes the index of what is not deleted, and sorts.
        return
    surveys = ways if sort == "by id" and ways > 1 else 0
    assert max(costs.values()) <= most(kind, ways=ways, surveys=surveys), costs
    assert min(costs.values()) > 0
    if kind == "sqlite" and ways == 1:
        assert not [step for step in meter.plans if "TEMP B-TREE" in step]
        index = "deleted_created_at_id" if viewer.is_admin else "visibility"
        assert any(f"ix_txglance_images_{index}" in step for step in meter.plans)


@pytest.mark.parametrize(("viewer", "ways"), VIEWERS, ids=str)
@pytest.mark.parametrize(
    "filters",
    [
        (Equals("name", "00000309"),),
        (OneOf("name", ("00000309", "0000030a")), Equals("status", "active")),
        (Equals("checksum", "c"),),
        (Equals("owner", "p"),),
        (Equals("owner", "q"),),
        (Equals("status", "active"),),
        (HasTag("tag"),),
        (HasProperty("p", "v"),),
        (Compare("created_at", "gte", datetime(2023, 11, 14, 23)),),
        (Compare("updated_at", "gte", datetime(2023, 11, 14, 23)),),
    ],
    ids=str,
)
def test_filters(
    crowded: Connection, filters: tuple[Filter, ...], viewer: Viewer, ways: int
) -> None:
    """What leads to few images leads to few for everybody; what all have hinders nobody."""
    kind = crowded.dialect.name
    if kind == "mysql" and HasTag("tag") in filters:
        pytest.skip("MariaDB makes a list of all that have it.")
    cost = Meter(crowded).cost(thd_list, ListQuery(PAGE, filters=filters), viewer)
    # To see whether an image has a tag or property is to look there.
    looks = PAGE * ways if isinstance(filters[0], HasTag | HasProperty) else 0
    assert cost <= most(kind, ways=ways, images=looks)


def test_what_the_meter_shows_of_a_look_at_all(crowded: Connection) -> None:
    cost = Meter(crowded).cost(thd_list, ListQuery(PAGE, sort=SORTS["by name"]), ADMIN)
    assert cost > 4 * most(crowded.dialect.name)


def test_more_is_seen_than_can_be_sorted_way_by_way(crowded: Connection) -> None:
    """Then all is looked at once, rather than once for each way to see it."""
    meter, page = Meter(crowded), ListQuery(PAGE, sort=SORTS["by name"])
    for_admin, for_project = (meter.cost(thd_list, page, v) for v in (ADMIN, Viewer("p")))
    assert for_project <= 1.2 * for_admin + most(crowded.dialect.name, surveys=2)
