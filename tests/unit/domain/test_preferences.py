"""Wishes of clients, as they write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glance.domain.preferences import parse_prefer


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("include=members", {"include": "members"}),
        ("Include = members", {"include": "members"}),
        ("include=Members", {"include": "Members"}),
        ('include="members"', {"include": "members"}),
        (r'include="mem\bers"', {"include": "members"}),
        ("include", {"include": ""}),
        ('include=""', {"include": ""}),
        ("include; members", {"include": ""}),
        ("include=x, include=members", {"include": "x"}),
        ("respond-async, wait=10, include=members", {
            "respond-async": "", "wait": "10", "include": "members",
        }),
        ('a="x, include=y", include=members; q="1;,"; r', {
            "a": "x, include=y", "include": "members",
        }),
        (" , ,include=members;, b", {"include": "members", "b": ""}),
        ("a;; b ;, include=members", {"a": "", "include": "members"}),
        ("include=members x", {}),
        ("a, include=, b", {"a": ""}),
        ("include=(members)", {}),
        ('include="members', {}),
        ("ä, include=members", {}),
        ("include=members\n", {}),
    ],
)  # fmt: skip
def test_preferences(text: str, found: dict[str, str]) -> None:
    assert parse_prefer(text) == found


_tokens = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,8}", fullmatch=True)
_quoted = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]))


def _written(value: str | None, *, quoted: bool) -> str:
    if value is None:
        return ""
    if not quoted:
        return f"={value}"
    return '="' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


_values = st.one_of(
    st.just(("", "")),
    _tokens.map(lambda value: (_written(value, quoted=False), value)),
    _quoted.map(lambda value: (_written(value, quoted=True), value)),
)
_parameters = st.lists(st.tuples(_tokens, _values), max_size=2)


@given(st.dictionaries(_tokens.map(str.lower), st.tuples(_values, _parameters), max_size=4))
def test_what_was_written_is_read(wishes: dict[str, tuple[tuple[str, str], list[object]]]) -> None:
    text = ", ".join(
        name + value[0] + "".join(f"; {key}{written}" for key, (written, _) in parameters)  # type: ignore[attr-defined, misc]
        for name, (value, parameters) in wishes.items()
    )
    assert parse_prefer(text) == {name: value[1] for name, (value, _) in wishes.items()}


@given(st.text(max_size=30) | st.text('ab=";,\\ \t', max_size=30))
@example("a=" + '"' + "x" * 9000)
@example('a="' + "\\" * 8999)
@example("a;" * 5000)
@example("a;b=c" * 3000 + "\0")
@example("a" + "\t" * 9000 + "\0")
@example("a " * 5000)
def test_anything_is_taken(text: str) -> None:
    parse_prefer(text)
