"""Renaming the key of a location's metadata."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.db.migrations.data.train_migrate01 import renamed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"backend": "fast"}, {"store": "fast"}),
        ({"backend": "old", "store": "kept"}, {"store": "kept"}),
        ({}, {}),
        (None, None),
        ([1, "backend"], [1, "backend"]),
        ({"deep": {"backend": 1}}, {"deep": {"backend": 1}}),
    ],
)
def test_renamed(before: Any, after: Any) -> None:
    assert renamed(before) == after


@given(st.dictionaries(st.sampled_from(["backend", "store", "a", "b"]), st.integers()))
def test_renaming_twice_changes_nothing_more(before: dict[str, int]) -> None:
    after = renamed(before)
    assert "backend" not in after
    assert renamed(after) == after
    for name in before.keys() - {"backend"}:
        assert after[name] == before[name]
