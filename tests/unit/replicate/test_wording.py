"""Words for images, amounts and times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.replicate.outcome import Deed, Outcome
from glance.replicate.wording import (
    deed,
    duration,
    fitted,
    manual_size,
    outcome_line,
    plain,
    shortened,
    title,
    width,
)

ID = "11111111-2222-3333-4444-555555555551"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0 B"),
        (1, "1.0 B"),
        (1023, "1023.0 B"),
        (1024, "1.0 KB"),
        (1536, "1.5 KB"),
        (1024**2, "1.0 MB"),
        (3 * 1024**3, "3.0 GB"),
        (1024**8, "1.0 YB"),
        (1024**9, "1024.0 YB"),
    ],
)
def test_manual_size(size, text):
    assert manual_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.26, "0.3 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (61, "1:01 min"),
        (3599, "59:59 min"),
        (3600, "1:00:00 h"),
        (36000, "10:00:00 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0), ("a\u200bb", 2), ("ｆ", 2)],
)
def test_width(text, columns):
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_fitted(text, columns, cut):
    assert fitted(text, columns) == cut


@given(st.text(), st.integers(0, 50))
def test_nothing_is_wider_than_it_may_be(text, columns):
    assert width(fitted(text, columns)) <= columns


@given(st.text())
def test_nothing_acts_upon_a_terminal(text):
    assert plain(text).isprintable()
    assert width(shortened(text)) <= 60


def test_title():
    assert title(ID, None) == title(ID, "") == ID
    assert title(ID, "cir\x1b[2Jros\n") == f"cir [2Jros ({ID})"
    assert title(ID, "x" * 70) == f"{'x' * 59}… ({ID})"


def test_every_deed_has_words():
    for one in Deed:
        assert deed(one)
        assert deed(one, dry_run=True)
    assert deed(Deed.COPIED, dry_run=True) == "would be copied"


def test_outcome_line():
    line = outcome_line(Outcome(ID, Deed.COPIED, size=2 * 1024**2, name="a"), seconds=2.0)
    assert line == f"a ({ID}): copied, 2.0 MiB in 2.0 s (1.0 MiB/s)"
    failed = Outcome(ID, Deed.FAILED, "no\nroom", notes=("the owner was not kept",))
    assert outcome_line(failed) == f"{ID}: failed; no room; the owner was not kept"
    planned = Outcome(ID, Deed.DELETED, name="a")
    assert outcome_line(planned, dry_run=True) == f"a ({ID}): would be deleted"
