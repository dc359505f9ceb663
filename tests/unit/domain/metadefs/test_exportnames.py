"""Names of exported files."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glance.domain.metadefs.exportnames import file_names


def test_letters_and_digits_of_the_display_name() -> None:
    assert file_names([("a", "Disk I/O: 2 (new)"), ("OS::A_1", None), ("b", "Größe")]) == [
        "DiskIO2new.json",
        "OSA1.json",
        "Größe.json",
    ]


def test_without_any() -> None:
    assert file_names([("x", "?!"), ("../..", "/"), ("::", "")]) == [
        "x.json",
        "namespace.json",
        "namespace-2.json",
    ]


def test_none_hides_another() -> None:
    assert file_names([("a", "x y"), ("b", "xy"), ("c", "X.Y"), ("xy", None)]) == [
        "xy.json",
        "xy-2.json",
        "XY-3.json",
        "xy-4.json",
    ]


@given(st.lists(st.tuples(st.text(), st.none() | st.text())))
def test_every_name_is_a_plain_and_different_one(namespaces: list[tuple[str, str | None]]) -> None:
    names = file_names(namespaces)
    assert len({name.casefold() for name in names}) == len(namespaces)
    for name in names:
        stem = name.removesuffix(".json")
        assert all(one.isalnum() or one == "-" for one in stem)
        assert stem.strip("-")
