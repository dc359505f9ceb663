"""What is said of a viewer agrees with the conditions that are made for one."""

from __future__ import annotations

from itertools import product

import pytest

from glance.db.image_sight import Amount, Sight
from glance.domain.image import VISIBILITIES


@pytest.mark.parametrize("visibility", [None, "all", *VISIBILITIES])
@pytest.mark.parametrize(("is_admin", "has_project"), product((False, True), repeat=2))
def test_how_many_ways_there_are(is_admin: bool, has_project: bool, visibility: str | None) -> None:
    sight = Sight(is_admin, has_project, visibility)
    ways = [len(sight.ways(amount)) for amount in Amount]
    assert sight.has_several == (ways[Amount.FEW] > 1)
    assert sight.has_members == (ways[Amount.FEW] > ways[Amount.NONE])
    assert ways[Amount.FEW] == ways[Amount.MANY]
