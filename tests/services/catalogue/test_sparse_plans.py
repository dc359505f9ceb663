"""Pages of the few images that one sees among a hundred thousand, by the database's count.

Most of the images of a cloud are private or shared with others. What a page costs must depend on
what is on it, never on what is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from glance.db.image_listing import thd_list
from glance.domain.listing import Compare, Equals, Filter, HasProperty, HasTag, ListQuery
from glance.domain.viewer import Viewer
from tests.services.catalogue import crowds
from tests.services.catalogue.crowds import IMAGES
from tests.services.catalogue.meter import Meter, most

PAGE = 25
SORTS: dict[str, Any] = {
    "newest": (("created_at", "desc"), ("id", "desc")),
    "oldest": (("created_at", "asc"), ("id", "asc")),
    "by id": (("id", "asc"), ("created_at", "asc")),
    "by name": (("name", "asc"), ("created_at", "asc"), ("id", "asc")),
    "by size": (("size", "desc"), ("created_at", "desc"), ("id", "desc")),
    "last changed": (("updated_at", "desc"), ("created_at", "desc"), ("id", "desc")),
}
#: Which images are public, are a project's, are shared with it: one in so many.
PUBLIC = 9_000
OWN = {"tiny": 20_000, "small": 250, "large": 3}
SHARED = {"tiny": 33_000, "small": 500, "friend": 20}
#: Images that are looked at for the sake of a page, beside those that are on it.
LOOKED_AT = {"tiny": 3, "small": 200, "large": 0, "friend": 20 * PAGE, "stranger": 0}
#: All that is seen, of those who see few.
SEEN = {"tiny": 20, "small": 620, "stranger": 12}


@pytest.fixture(scope="module")
def sparse(catalogue_url: str) -> Iterator[Connection]:
    """A connection to a catalogue of which some projects see little."""
    others = "concat('o', n % 1000)" if catalogue_url.startswith("mysql") else "'o' || (n % 1000)"
    own = " ".join(f"WHEN n % {one} = {one // 2} THEN '{name}'" for name, one in OWN.items())
    shared = {f"n % {one} = {one // 2 + 2}": f"'{name}'" for name, one in SHARED.items()}
    yield from crowds.filled(
        catalogue_url,
        owner=f"CASE {own} ELSE {others} END",
        visibility=f"CASE WHEN n % {PUBLIC} = 7 THEN 'public'"
        f" WHEN {' OR '.join(shared)} THEN 'shared' WHEN n % 20 = 2 THEN 'community'"
        " WHEN n % 2 = 0 THEN 'private' ELSE 'shared' END",
        # Whatever may be is shared with somebody.
        members={**shared, "n % 2 = 1": others},
    )


def seen_by(project: str) -> str:
    """Say in SQL what a project sees, all in one condition."""
    return (
        f"visibility = 'public' OR owner = '{project}' OR visibility = 'shared' AND id IN"
        f" (SELECT image_id FROM image_members WHERE member = '{project}' AND deleted = false)"
    )


@pytest.mark.parametrize("project", LOOKED_AT)
@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_every_page_costs_what_is_on_it(sparse: Connection, sort: str, project: str) -> None:
    order, kind = SORTS[sort], sparse.dialect.name
    ids = crowds.in_order(sparse, order, seen_by(project))
    assert 0.8 * SEEN.get(project, 5_000) < len(ids) < 34_000
    costs = {}
    for place in sorted({0, 1, len(ids) // 3, len(ids) // 2, max(0, len(ids) - PAGE)}):
        page = ListQuery(PAGE, ids[place - 1] if place else None, order)
        found = thd_list(sparse, page, Viewer(project))
        assert [image.id for image in found] == ids[place : place + PAGE]
        costs[place] = Meter(sparse).cost(thd_list, page, Viewer(project))
    assert max(costs.values()) <= most(kind, ways=3, images=LOOKED_AT[project]), costs


@pytest.mark.parametrize("project", SEEN)
@pytest.mark.parametrize("sort", ["by id", "by name", "by size", "last changed"])
def test_other_orders_cost_what_is_seen(sparse: Connection, sort: str, project: str) -> None:
    kind, page = sparse.dialect.name, ListQuery(PAGE, sort=SORTS[sort])
    whole = crowds.in_order(sparse, SORTS[sort], seen_by(project))
    first = [image.id for image in thd_list(sparse, page, Viewer(project))]
    assert first == whole[:PAGE]
    for marker in (None, first[-1]):
        page = ListQuery(PAGE, marker, SORTS[sort])
        cost = Meter(sparse).cost(thd_list, page, Viewer(project))
        assert cost <= most(kind, ways=3, images=2 * SEEN[project])


@pytest.mark.parametrize("project", SEEN)
@pytest.mark.parametrize(
    "filters",
    [
        (Equals("name", "00000309"),),
        (Equals("name", "none"),),
        (Equals("owner", "small"),),
        (Equals("owner", "o1"),),
        (Equals("status", "active"),),
        (Equals("status", "queued"),),
        (HasTag("tag"),),
        (HasTag("none"),),
        (HasProperty("p", "v"),),
        (HasProperty("p", "none"),),
        (Compare("created_at", "gte", datetime(2023, 11, 14, 22, 20)),),
        (Compare("updated_at", "gte", datetime(2023, 11, 14, 22, 20)),),
        (Compare("size", "gte", 1),),
    ],
    ids=str,
)
def test_filters_cost_what_is_seen(
    sparse: Connection, filters: tuple[Filter, ...], project: str
) -> None:
    kind, page = sparse.dialect.name, ListQuery(PAGE, filters=filters)
    cost = Meter(sparse).cost(thd_list, page, Viewer(project))
    looked_at = SEEN[project]
    if isinstance(filters[0], HasTag | HasProperty):
        looked_at *= 2
    elif filters == (Equals("owner", "small"),):
        # Its images are known by their index. Each may be seen, and for each that is looked up.
        looked_at = IMAGES // OWN["small"]
    assert cost <= most(kind, ways=3, images=looked_at)


@pytest.mark.parametrize("project", SEEN)
@pytest.mark.parametrize("more", [
    {"visibility": "public"}, {"visibility": "private"}, {"visibility": "shared"},
    {"visibility": "community"}, {"visibility": "all"}, {"os_hidden": True},
    {"visibility": "shared", "member_status": "pending"}, {"member_status": "all"},
    {"member_status": "rejected"},
], ids=str)  # fmt: skip
def test_views_cost_what_is_seen(sparse: Connection, more: dict[str, Any], project: str) -> None:
    page = ListQuery(PAGE, **more)
    cost = Meter(sparse).cost(thd_list, page, Viewer(project))
    # PostgreSQL may begin with what is hidden, when that is little.
    hidden = IMAGES // 50 if page.os_hidden and sparse.dialect.name == "postgresql" else 0
    assert cost <= most(sparse.dialect.name, ways=4, images=SEEN[project] + hidden)
