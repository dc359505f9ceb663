from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import Invalid
from glance.domain.listing import Compare, Equals, HasProperty, HasTag, ListQuery, parse_list_query
from glance.replicate.record import ImageRecord
from glance.replicate.selection import Selection, read_selection
from tests.unit.replicate.strategies import records

ID = "11111111-1111-4111-8111-111111111111"


def record(**known):
    return ImageRecord(ID, "active", **known)


@given(records())
def test_without_filters_all_match(image):
    assert not Selection()
    assert Selection().matches(image)
    assert Selection().to_query() == {}


def test_names_fit_a_pattern_and_case_counts():
    wanted = read_selection(names=["web-*", "db?"])
    names = ["web-1", "db1", "Web-1", "db12", None]
    found = [name for name in names if wanted.matches(record(fields={"name": name}))]
    assert found == ["web-1", "db1"]
    assert read_selection(names=["*"]).matches(record())
    assert read_selection(names=[""]).matches(record(fields={"name": None}))


def test_all_tags_and_all_properties_must_be_there():
    wanted = read_selection(tags=["a", "b"], properties=["k=v=w", "e="])
    properties = {"k": "v=w", "e": ""}
    assert wanted.matches(record(tags=frozenset("abc"), properties=properties))
    assert not wanted.matches(record(tags=frozenset("a"), properties=properties))
    assert not wanted.matches(record(tags=frozenset("ab"), properties={"k": "v=w"}))
    assert not wanted.matches(record(tags=None, properties=properties))


def test_one_of_several_visibilities_and_owners_is_enough():
    wanted = read_selection(visibilities=["public", "shared"], owners=["p", ""])
    assert wanted.matches(record(fields={"visibility": "shared", "owner": "p"}))
    assert wanted.matches(record(fields={"visibility": "public", "owner": None}))
    assert not wanted.matches(record(fields={"visibility": "private", "owner": "p"}))
    assert not wanted.matches(record(fields={"visibility": "public", "owner": "q"}))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00.75Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_times_are_read_with_and_without_zone(text, moment, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert read_selection(since=text).since == moment
    monkeypatch.undo()
    time.tzset()


def test_images_changed_since_then_match():
    wanted = read_selection(since="2026-01-31T12:00:00.5+01:00")
    assert wanted.matches(record(updated_at="2026-01-31T11:00:00Z"))
    assert wanted.matches(record(updated_at="2026-01-31T11:00:00"))
    assert not wanted.matches(record(updated_at="2026-01-31T10:59:59Z"))
    assert wanted.matches(record(updated_at="yesterday"))
    assert wanted.matches(record())


def test_what_cannot_be_read_is_left_out_by_no_filter():
    assert read_selection(names=["x"]).matches(record(trouble="it is bent"))


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"properties": ["x"]}, "--property must be NAME=VALUE, not 'x'"),
        ({"properties": ["=x"]}, "--property must be NAME=VALUE"),
        ({"properties": ["disk_format=raw"]}, "--property: 'disk_format' is no custom property"),
        ({"properties": ["a=1", "a=2"]}, "--property asks for two values of 'a'"),
        ({"visibilities": ["secret"]}, "--visibility must be one of .*, not 'secret'"),
        ({"tags": [""]}, "--tag must not be empty"),
        ({"since": "yesterday"}, "--since must be a date"),
        ({"since": ""}, "--since must be a date"),
        ({"since": "0001-01-01T00:00:00+10:00"}, "--since must be a date"),
    ],
)
def test_errors_name_the_option(options, option):
    with pytest.raises(Invalid, match=option):
        read_selection(**options)


def test_the_query_has_what_a_service_knows_just_so():
    wanted = read_selection(
        ["a: b"], ["t", "u"], ["os_distro=debian", "limit=5", "size_min=1"], ["public"], ["p"],
        "2026-01-31",
    )  # fmt: skip
    assert wanted.to_query() == {
        "name": "eq:a: b",
        "tag": "t",
        "os_distro": "debian",
        "visibility": "public",
        "owner": "p",
        "updated_at": "gte:2026-01-31T00:00:00Z",
    }
    vague = read_selection(["a*"], properties=["os_x="], visibilities=["public", "shared"],
                           owners=["p", "q"])  # fmt: skip
    assert vague.to_query() == {}


TEXT = st.text(max_size=6)
PROPERTIES = st.sampled_from(
    ["limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "changes-since", "os_x",
     "size_min", "min_disk_max", "is_public", "os_hidden_", "hw:cpu", "properties", "a.b"]
)  # fmt: skip


@given(
    st.lists(TEXT, max_size=2),
    st.lists(TEXT.filter(bool), max_size=2),
    st.dictionaries(PROPERTIES, TEXT, max_size=3),
    st.lists(TEXT, max_size=2),
)
def test_a_query_asks_of_our_list_nothing_but_the_filters(names, tags, properties, owners):
    pairs = [f"{key}={value}" for key, value in properties.items()]
    wanted = read_selection(names, tags, pairs, owners=owners, since="2026-01-31T01:02:03")
    query = parse_list_query(
        parse_qsl(urlencode(wanted.to_query()), keep_blank_values=True, strict_parsing=True)
    )
    assert query == ListQuery(query.limit, filters=query.filters)
    for one in query.filters:
        match one:
            case Equals(column, value):
                assert column in ("name", "owner")
                assert (value,) == (wanted.names if column == "name" else wanted.owners)
            case HasTag(tag):
                assert tag in tags
            case HasProperty(name, value):
                assert properties[name] == value
            case Compare(column, op, value):
                assert (column, op) == ("updated_at", "gte")
                assert value == datetime(2026, 1, 31, 1, 2, 3)
            case _:
                raise AssertionError(one)
