import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.requestid import RequestIdTooLong, request_id


def made(header: str | None, max_length: int = 64) -> str:
    return request_id(header, max_length, lambda: "new")


def test_a_new_identifier_is_a_uuid() -> None:
    found = request_id(None)
    assert UUID(found.removeprefix("req-")).version == 4
    assert found != request_id(None)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "req-new"),
        ("", "req-new"),
        ("req-abc", "req-abc"),
        ("abc", "req-abc"),
        ("REQ-abc", "req-REQ-abc"),
        ("x" * 64, "req-" + "x" * 64),
        ("a b", "req-new"),
        ("abc\r\nSet-Cookie: x", "req-new"),
        ("abc\n", "req-new"),
        ("\x7f", "req-new"),
        ("ä", "req-new"),
    ],
)
def test_the_callers_identifier(header: str | None, expected: str) -> None:
    assert made(header) == expected


def test_too_long_is_refused_unless_there_is_no_limit() -> None:
    with pytest.raises(RequestIdTooLong, match="max_request_id_length"):
        made("x" * 65)
    assert made("x" * 65, 0) == "req-" + "x" * 65


@given(st.text(), st.integers(0, 20))
def test_nothing_unprintable_is_repeated(header: str, max_length: int) -> None:
    try:
        found = made(header, max_length)
    except RequestIdTooLong as error:
        assert len(header) > max_length > 0
        assert header not in error.message or len(header) < 3
    else:
        assert re.fullmatch("req-[!-~]+", found)
