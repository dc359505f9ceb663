"""The members of many images at once."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Connection

from glance.db import members, prepared
from glance.db.columns import utcnow
from glance.domain.viewer import Viewer
from tests.services.catalogue.support import ADMIN, Catalogue


def listed(catalogue: Catalogue, ids: list[str], viewer: Viewer) -> list[tuple[str, str, str]]:
    def thd_list(connection: Connection) -> list[tuple[str, str, str]]:
        found = members.thd_list_of(connection, ids, viewer)
        return [(member.image_id, member.member_id, member.status) for member in found]

    answer: list[tuple[str, str, str]] = catalogue.read(thd_list)
    return answer


@pytest.fixture
def ids(catalogue: Catalogue) -> list[str]:
    """Images of two projects: each is shared with the other one, and with others."""
    ids = [catalogue.add(owner=owner, visibility="shared").id for owner in ("p1", "p1", "p2")]
    for project in ("p3", "p2", "p1"):
        for image_id in ids:
            catalogue.share(image_id, project, "pending")
    catalogue.share(ids[0], "gone", deleted=True, deleted_at=utcnow())
    return ids


def test_administrators(catalogue: Catalogue, ids: list[str]) -> None:
    everyone = [(i, p, "pending") for p in ("p3", "p2", "p1") for i in ids]
    assert listed(catalogue, ids, ADMIN) == everyone
    assert listed(catalogue, ids[1:2], ADMIN) == [row for row in everyone if row[0] == ids[1]]
    assert listed(catalogue, [], ADMIN) == []


def test_owners_and_members(catalogue: Catalogue, ids: list[str]) -> None:
    assert listed(catalogue, ids, Viewer("p1")) == [
        (image_id, project, "pending")
        for project in ("p3", "p2", "p1")
        for image_id in ids
        if image_id != ids[2] or project == "p1"
    ]
    assert listed(catalogue, ids, Viewer("p3")) == [(i, "p3", "pending") for i in ids]
    assert listed(catalogue, ids, Viewer("p4")) == []
    assert listed(catalogue, ids, Viewer(None)) == []


def test_whole(catalogue: Catalogue, ids: list[str]) -> None:
    """Nothing is told differently than of one image."""
    several = catalogue.read(lambda c: list(members.thd_list_of(c, ids, ADMIN)))
    one = [m for i in ids for m in catalogue.read(members.thd_list, i)]
    assert sorted(several, key=repr) == sorted(one, key=repr)


@pytest.mark.parametrize("viewer", [ADMIN, Viewer("p1")])
@pytest.mark.parametrize(("count", "most"), [(3, 1), (1000, 1), (1001, 2)])
def test_statements(
    catalogue: Catalogue, ids: list[str], viewer: Viewer, count: int, most: int
) -> None:
    run: Any = prepared._thd_execute
    asked = ids + [f"unknown-{n}" for n in range(count - len(ids))]
    with patch.object(prepared, "_thd_execute", side_effect=run) as executed:
        found = listed(catalogue, asked, viewer)
    assert executed.call_count == most
    assert len(found) == (9 if viewer is ADMIN else 7)
