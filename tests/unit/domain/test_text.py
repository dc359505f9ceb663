import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import Invalid
from glance.domain.text import check_storable, shape, shorten


@given(st.characters())
def test_one_character(char: str) -> None:
    code = ord(char)
    if code == 0 or 0xD800 <= code <= 0xDFFF or code > 0xFFFF:
        with pytest.raises(Invalid, match=f"The name .* U\\+{code:04X}"):
            check_storable(f"a{char}b", "The name")
    else:
        check_storable(f"a{char}b", "The name")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"), (True, "true"), (False, "false"), (5, "the number 5"),
        (-1.5, "the number -1.5"), ("secret", "a string of length 6"), ({"a": 1}, "an object"),
        ([1, 2], "a list of length 2"), pytest.param(10**5000, "a huge number", id="huge"),
    ],
)  # fmt: skip
def test_shapes(value: object, expected: str) -> None:
    assert shape(value) == expected


@given(st.text())
def test_shortened_text_is_printable_and_short(text: str) -> None:
    short = shorten(text)
    assert short.isprintable()
    short.encode()
    assert len(short) <= 64 * 10 + 3
