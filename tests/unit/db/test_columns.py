"""JSON in TEXT columns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from glance.db.columns import Json, utcnow

DIALECT = sqlite.dialect()
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES.filter(lambda value: value is not None))
def test_json_survives(value: Any) -> None:
    text = Json().process_bind_param(value, DIALECT)
    assert isinstance(text, str)
    assert Json().process_result_value(text, DIALECT) == value


def test_none_is_null() -> None:
    assert Json().process_bind_param(None, DIALECT) is None
    assert Json().process_result_value(None, DIALECT) is None


def test_not_a_number_of_other_software_is_read() -> None:
    assert str(Json().process_result_value('{"x": NaN}', DIALECT)) == "{'x': nan}"


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        Json().process_bind_param(object(), DIALECT)


def test_time_has_no_zone() -> None:
    assert utcnow().tzinfo is None
