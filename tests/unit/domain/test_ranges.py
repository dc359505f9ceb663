import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import Invalid, RangeNotSatisfiable
from glance.domain.ranges import ByteRange, parse_range

sizes = st.integers(0, 50)
offsets = st.integers(0, 60)


def test_no_header_asks_for_the_whole() -> None:
    assert parse_range(None, None, 10) is None


@pytest.mark.parametrize(
    ("header", "content_range"),
    [
        ("bytes=0-0", "bytes 0-0/10"),
        ("bytes=0-9", "bytes 0-9/10"),
        ("bytes=2-", "bytes 2-9/10"),
        ("bytes=2-99", "bytes 2-9/10"),
        ("bytes=-3", "bytes 7-9/10"),
        ("bytes=-99", "bytes 0-9/10"),
        ("Bytes = 1-2 ", "bytes 1-2/10"),
        ("bytes=, 1-2 ,", "bytes 1-2/10"),
        ("bytes=007-8", "bytes 7-8/10"),
    ],
)
def test_ranges(header: str, content_range: str) -> None:
    found = parse_range(header, None, 10)
    assert found is not None
    assert found.content_range == content_range


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=5", "bytes=5-4",
        "bytes=--5", "bytes=1-2-3", "bytes=-0", "bytes=10-", "bytes=10-11", "items=0-1",
        "bytes 0-1", "bytes=0x1-2", "bytes=١-٢", "bytes=1- 2", "bytes=+1-2", "bytes=1-2\n",
        "bytes=" + "9" * 5000 + "-",
    ],
)  # fmt: skip
def test_what_cannot_be_read_or_lies_outside(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, None, 10)


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "bytes=0-0, -1", "bytes=1-,2-,3-"])
def test_one_range_at_a_time(header: str) -> None:
    with pytest.raises(Invalid):
        parse_range(header, None, 10)


@given(sizes, offsets, offsets | st.none())
def test_a_range_selects_what_a_slice_does(total: int, first: int, last: int | None) -> None:
    data = bytes(range(total))
    header = f"bytes={first}-{'' if last is None else last}"
    expected = data[first:] if last is None else data[first : last + 1]
    if expected:
        found = parse_range(header, None, total)
        assert found is not None
        assert data[found.first : found.last + 1] == expected
        assert found.length == len(expected)
    else:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(header, None, total)


@given(sizes, offsets)
def test_a_suffix_selects_the_end(total: int, length: int) -> None:
    data = bytes(range(total))
    if total and length:
        found = parse_range(f"bytes=-{length}", None, total)
        assert found is not None
        assert data[found.first : found.last + 1] == data[-length:]
    else:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(f"bytes=-{length}", None, total)


@given(st.integers(1, 50), st.data())
def test_our_own_content_range_is_read_back(total: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, total - 1))
    wanted = ByteRange(first, data.draw(st.integers(first, total - 1)), total)
    assert parse_range(None, wanted.content_range, total) == wanted
    assert parse_range(None, f"bytes {first}-{wanted.last}/*", total) == wanted


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes", "bytes 0-1", "bytes 0-1/9", "bytes */10", "bytes 5-4/10", "bytes 0-10/10",
        "bytes 10-11/*", "bytes=0-1/10", "items 0-1/10", "bytes 0-1/10\n", "bytes -1/10",
        "bytes 0-" + "9" * 5000 + "/*",
    ],
)  # fmt: skip
def test_a_content_range_that_is_bad_or_beyond(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(None, header, 10)


def test_range_wins_over_content_range() -> None:
    assert parse_range("bytes=0-1", "nonsense", 10) == ByteRange(0, 1, 10)


@given(st.text() | st.text("bytes=-, 0123456789"), st.none() | st.text(), st.integers(0, 100))
def test_any_header_gives_a_sound_range_or_a_refusal(
    header: str, content_range: str | None, total: int
) -> None:
    try:
        found = parse_range(header, content_range, total)
    except (Invalid, RangeNotSatisfiable):
        return
    assert found is not None
    assert 0 <= found.first <= found.last < found.total == total
