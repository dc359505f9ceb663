"""Dictionaries of structured fields, by the letter of RFC 9651."""

from __future__ import annotations

import base64
import string
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glance.domain.structured import Date, Malformed, Token, parse_dictionary


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", {}),
        ("  ", {}),
        ("a", {"a": True}),
        ("a;x;y=1", {"a": True}),
        ("a=1,b=2", {"a": 1, "b": 2}),
        ("  a=1 \t,\t b=2  ", {"a": 1, "b": 2}),
        ("a=1, a=2", {"a": 2}),
        ("*a.b-c_d*=?0", {"*a.b-c_d*": False}),
        ("a=:aGk=:", {"a": b"hi"}),
        ("a=:aGk:", {"a": b"hi"}),
        ("a=::", {"a": b""}),
        ("a=:aGk=:; q=0.5;  z", {"a": b"hi"}),
        (r'a="x\"\\"', {"a": 'x"\\'}),
        ('a=%"f%c3%bc"', {"a": "fü"}),
        ("a=@-1", {"a": Date(-1)}),
        ("a=-0", {"a": 0}),
        ("a=999999999999999", {"a": 999999999999999}),
        ("a=-123456789012.125", {"a": -123456789012.125}),
        ("a=*tok/en:x", {"a": Token("*tok/en:x")}),
        ("a=()", {"a": ()}),
        ("a=( 1  :aGk=:;x b );y", {"a": (1, b"hi", Token("b"))}),
    ],
)
def test_dictionaries(text: str, members: dict[str, Any]) -> None:
    assert parse_dictionary(text) == members


@pytest.mark.parametrize(
    "text",
    [
        ",", "a,", "a=1,", "a=1, ", ",a", "a,,b", "a b", "A=1", "1=1", "=1", "a=", "a =1", "a= 1",
        "a=:aGk=", "a=:a:", "a=:aGk==:", "a=:a=Gk:", "a=:aGk=b:", "a=:aG k:", "a=:aG-_:", "a=: :",
        "a=:====:", "a=aGk=", "a=:aGk=:x",
        'a="x', 'a="\\n"', 'a="\x7f"', 'a="ü"', "a='x'",
        'a=%"%C3%BC"', 'a=%"%c3"', 'a=%"%"', 'a=%"%zz"', 'a=%x',
        "a=?2", "a=?", "a=@1.0", "a=@", "a=1.", "a=.1", "a=1.1234", "a=--1", "a=+1",
        "a=1234567890123456", "a=1234567890123.1", "a=١",
        "a=(", "a=(1", "a=(1)(2)", "a=(1 2", "a=(:aGk=::aGk=:)", "a=((1))", "a=(1,2)",
        "a;", "a;=1", "a;x=", "a ;x", "a;X", "a;x=(1)",
        "a\n", "a=1\n", "\ta", "a=1\x00", "ä",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(Malformed):
        parse_dictionary(text)


keys = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
items = st.one_of(
    st.binary(max_size=70).map(lambda v: (f":{base64.b64encode(v).decode()}:", v)),
    st.text(string.printable[:95], max_size=9).map(
        lambda v: ('"' + v.replace("\\", r"\\").replace('"', r"\"") + '"', v)
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9).map(
        lambda v: (f'%"{_lower(quote(v, safe=""))}"', v)
    ),
    st.booleans().map(lambda v: (f"?{v:d}", v)),
    st.integers(-(10**15) + 1, 10**15 - 1).map(lambda v: (str(v), v)),
    st.integers(-(10**15) + 1, 10**15 - 1).map(lambda v: (f"@{v}", Date(v))),
    st.integers(-(10**9), 10**9).map(lambda v: (f"{v / 8:.3f}", v / 8)),
    st.from_regex(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,8}", fullmatch=True).map(
        lambda v: (v, Token(v))
    ),
)
parameters = st.lists(
    st.tuples(st.sampled_from([";", "; "]), keys, st.just("") | items.map(lambda i: "=" + i[0])),
    max_size=2,
).map(lambda found: "".join("".join(one) for one in found))
parametrized = st.tuples(items, parameters).map(lambda pair: (pair[0][0] + pair[1], pair[0][1]))
lists = st.tuples(st.lists(parametrized, max_size=3), st.sampled_from([" ", "  "])).map(
    lambda pair: (
        f"({pair[1].join(text for text, _ in pair[0])})",
        tuple(value for _, value in pair[0]),
    )
)
commas = st.sampled_from([",", ", ", " ,", "\t,  "])


def _lower(quoted: str) -> str:
    return "".join(
        letter.lower() if "%" in quoted[max(n - 2, 0) : n] else letter
        for n, letter in enumerate(quoted)
    )


@given(st.dictionaries(keys, st.tuples(items | lists, parameters), max_size=4), commas)
def test_what_was_written_is_read(members: dict[str, Any], comma: str) -> None:
    text = comma.join(f"{key}={value[0]}{after}" for key, (value, after) in members.items())
    assert parse_dictionary(text) == {key: value[1] for key, (value, _) in members.items()}


@given(st.text(max_size=30) | st.text('ab*=:;,() "%?@-.19\\\t', max_size=30))
@example("a=" * 2000)
@example("a=" + '"' + "x" * 5000)
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        members = parse_dictionary(text)
    except Malformed:
        return
    assert text.isascii()
    assert all(key in text for key in members)
