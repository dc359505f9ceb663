from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from glance.domain.errors import Invalid
from glance.domain.listing import (
    MOST_FILTERS,
    MOST_VALUES,
    SORT_KEYS,
    Compare,
    Equals,
    Filter,
    HasProperty,
    HasTag,
    ListQuery,
    OneOf,
    page_links,
    parse_list_query,
)

storable = st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]))


def filters(*pairs: tuple[str, str]) -> tuple[Filter, ...]:
    return parse_list_query(pairs).filters


def test_an_empty_query_gives_the_defaults() -> None:
    assert parse_list_query([]) == ListQuery(
        limit=25, marker=None, sort=(("created_at", "desc"), ("id", "desc")), filters=(),
        visibility=None, member_status="accepted", os_hidden=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "limit"), [("0", 0), ("1", 1), ("1000", 1000), ("1001", 1000), ("+7", 7)]
)
def test_limit_is_capped(text: str, limit: int) -> None:
    assert parse_list_query([("limit", text)]).limit == limit


def test_the_default_limit_is_capped_too() -> None:
    assert parse_list_query([], limit_default=50, limit_max=10).limit == 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "-1"), ("limit", ""), ("limit", "ten"), ("limit", "1_0"), ("limit", "١"),
        ("limit", "1.0"), ("limit", "9" * 5000), ("limit", "9" * 19),
        ("sort_key", "checksum"), ("sort_key", ""), ("sort_dir", "up"), ("sort_dir", "ASC"),
        ("sort", ""), ("sort", "name:"), ("sort", "name,"), ("sort", "name:asc:desc"),
        ("sort", "visibility"),
        ("member_status", "maybe"), ("visibility", "secret"), ("os_hidden", "yes"),
        ("protected", "yes"), ("protected", "1"),
        ("name", "like:x"), ("status", "neq:active"), ("id", ":x"), ("disk_format", "gt:raw"),
        ("name", 'in:"open'), ("name", 'in:"a"b'), ("name", 'in:a"b"'), ("name", 'in:a,"b'),
        ("name", 'in:"a\\"'),
        ("created_at", "yesterday"), ("created_at", ""), ("updated_at", "in:2026-01-01"),
        ("updated_at", "gt:"), ("created_at", "2026-13-01T00:00:00Z"),
        ("created_at", "0001-01-01T00:00:00+14:00"), ("created_at", "9999-12-31T23:59:59Z"),
        ("size_min", "big"), ("size_max", ""), ("min_ram_min", "1.5"), ("size", "x"),
        ("min_disk", "9" * 20), ("size", str(2**63)), ("size", str(-(2**63))),
        ("changes-since", "2026-01-01"), ("changes-since", ""),
        ("name", "nul\x00"), ("tag", "\U0001f600"), ("prop\ud800", "x"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_list_query([(name, value)])
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("name", "web"), Equals("name", "web")),
        (("name", ""), Equals("name", "")),
        (("name", "eq:a:b"), Equals("name", "a:b")),
        (("name", 'eq:"a"'), Equals("name", '"a"')),
        (("status", "in:queued,active"), OneOf("status", ("queued", "active"))),
        (("status", "in:active,active"), OneOf("status", ("active",))),
        (("id", "in:"), OneOf("id", ())),
        (("id", "in:,,"), OneOf("id", ())),
        (("name", "in:,ab,,,cd,"), OneOf("name", ("ab", "cd"))),
        (("name", 'in:""'), OneOf("name", ("",))),
        (("name", 'in:"a,b",c'), OneOf("name", ("a,b", "c"))),
        (("name", r'in:"say \"hi\", \\",x'), OneOf("name", ('say "hi", \\', "x"))),
        (("name", r"in:c:\dir,\"q"), OneOf("name", ("c:\\dir", '"q'))),
        (("container_format", "in:bare"), OneOf("container_format", ("bare",))),
        (("disk_format", "raw"), Equals("disk_format", "raw")),
        (("checksum", "in:x"), Equals("checksum", "in:x")),
        (("owner", "p:1"), Equals("owner", "p:1")),
        (("os_hash_value", "ff"), Equals("os_hash_value", "ff")),
        (("os_hash_algo", "md5"), Equals("os_hash_algo", "md5")),
        (("size", "10"), Equals("size", 10)),
        (("min_ram", "0"), Equals("min_ram", 0)),
        (("size", str(2**63 - 1)), Equals("size", 2**63 - 1)),
        (("size", str(1 - 2**63)), Equals("size", 1 - 2**63)),
        (("size_min", "-5"), Compare("size", "gte", -5)),
        (("size_max", "5"), Compare("size", "lte", 5)),
        (("min_disk_min", "1"), Compare("min_disk", "gte", 1)),
        (("min_disk_max", "1"), Compare("min_disk", "lte", 1)),
        (("virtual_size_max", "1"), Compare("virtual_size", "lte", 1)),
        (("protected", "true"), Equals("protected", True)),
        (("protected", "false"), Equals("protected", False)),
        (("tag", "a:b"), HasTag("a:b")),
        (("hw_x", "in:a"), HasProperty("hw_x", "in:a")),
        (("hw_cpu_max", "4"), HasProperty("hw_cpu_max", "4")),
        (("is_public", "true"), HasProperty("is_public", "true")),
    ],
)
def test_filters(pair: tuple[str, str], expected: Filter) -> None:
    assert filters(pair) == (expected,)


@pytest.mark.parametrize("name", ["deleted", "deleted_at"])
def test_deleted_is_without_effect(name: str) -> None:
    assert parse_list_query([(name, "true")]) == parse_list_query([])


def test_every_tag_counts() -> None:
    assert filters(("tag", "a"), ("x", "1"), ("tag", "b")) == (
        HasTag("a"), HasTag("b"), HasProperty("x", "1"),
    )  # fmt: skip


def test_a_filter_given_twice_counts_once() -> None:
    assert filters(*[("tag", "a")] * 99, ("tag", "b")) == (HasTag("a"), HasTag("b"))


@pytest.mark.parametrize("name", ["tag", "property"])
def test_the_number_of_filters_is_bounded(name: str) -> None:
    pairs = [("tag" if name == "tag" else f"p{n}", f"v{n}") for n in range(MOST_FILTERS + 1)]
    assert len(filters(*pairs[:MOST_FILTERS])) == MOST_FILTERS
    with pytest.raises(Invalid, match=rf"{MOST_FILTERS + 1} filters; at most {MOST_FILTERS} "):
        filters(*pairs)


def test_the_number_of_values_is_bounded() -> None:
    half = MOST_VALUES // 2
    some, more = ("in:" + ",".join(map(str, range(n))) for n in (half, MOST_VALUES - half))
    assert [len(wanted.values) for wanted in filters(("id", some), ("name", more))] == [
        half, MOST_VALUES - half,
    ]  # fmt: skip
    with pytest.raises(Invalid, match=f"{MOST_VALUES + 1} values; at most {MOST_VALUES} "):
        filters(("id", some), ("name", more + ",another"))


def test_a_name_given_twice_must_agree() -> None:
    assert filters(("name", "a"), ("name", "a")) == (Equals("name", "a"),)
    with pytest.raises(Invalid, match="two different values"):
        filters(("name", "a"), ("name", "b"))


@given(st.lists(storable.filter(bool), max_size=6, unique=True))
@example(["\\", '\\"', ",", '"', 'a"b', " "])
def test_quoting_brings_any_values_through(values: list[str]) -> None:
    def quote(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    listed = "in:" + ",".join(quote(value) for value in values)
    assert filters(("name", listed)) == (OneOf("name", tuple(values)),)


@given(st.lists(st.text('ab,"\\:', max_size=12)))
def test_a_list_is_read_or_refused(parts: list[str]) -> None:
    text = ",".join(parts)
    try:
        (found,) = filters(("name", "in:" + text))
    except Invalid:
        assert '"' in text
    else:
        assert isinstance(found, OneOf)
        assert len(set(found.values)) == len(found.values)


@given(storable, storable)
def test_any_text_is_parsed_or_refused(name: str, value: str) -> None:
    try:
        query = parse_list_query([(name, value)])
    except Invalid:
        return
    assert {"created_at", "id"} <= dict(query.sort).keys()
    assert 0 <= query.limit <= 1000


@pytest.mark.parametrize("column", ["created_at", "updated_at"])
@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte", "neq"])
@given(moment=st.datetimes(timezones=st.timezones() | st.just(UTC), min_value=datetime(1900, 1, 1)))
def test_times_become_naive_utc(column: str, op: str, moment: datetime) -> None:
    # Python writes seconds into the offsets of old local mean times, which ISO 8601 does not know.
    offset = moment.utcoffset()
    assume(offset is not None and offset % timedelta(minutes=1) == timedelta(0))
    (found,) = filters((column, f"{op}:{moment.isoformat()}"))
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    assert found == Compare(column, op, utc)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z", "eq:2026-01-02T03:04:05Z", "2026-01-02T03:04:05",
        "2026-01-02 03:04:05", "20260102T030405Z", "2026-01-02T05:04:05+02:00",
    ],
)  # fmt: skip
def test_a_time_as_replies_show_it_covers_its_second(text: str) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5)
    assert filters(("created_at", text)) == (
        Compare("created_at", "gte", moment),
        Compare("created_at", "lt", moment + timedelta(seconds=1)),
    )


def test_a_time_with_a_fraction_is_exact() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 600_000)
    text = moment.replace(tzinfo=timezone.utc).isoformat()  # noqa: UP017 - as clients write it
    assert filters(("updated_at", text)) == (Compare("updated_at", "eq", moment),)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("sort_key", "name")], "name:desc created_at:desc id:desc"),
        ([("sort_dir", "asc")], "created_at:asc id:asc"),
        ([("sort_key", "id")], "id:desc created_at:desc"),
        (
            [("sort_key", "name"), ("sort_key", "size"), ("sort_dir", "asc")],
            "name:asc size:asc created_at:asc id:asc",
        ),
        (
            [("sort_dir", "asc"), ("sort_key", "name"), ("sort_dir", "desc"), ("sort_key", "id")],
            "name:asc id:desc created_at:desc",
        ),
        ([("sort", "name:asc")], "name:asc created_at:asc id:asc"),
        ([("sort", "name:asc, size")], "name:asc size:desc created_at:desc id:desc"),
        ([("sort", "created_at:asc,name:desc")], "created_at:asc name:desc id:desc"),
        ([("sort", "name:asc,name:desc")], "name:asc created_at:desc id:desc"),
    ],
)
def test_sorting(pairs: list[tuple[str, str]], expected: str) -> None:
    assert " ".join(f"{k}:{d}" for k, d in parse_list_query(pairs).sort) == expected


@pytest.mark.parametrize(
    "pairs",
    [
        [("sort", "name"), ("sort_key", "name")],
        [("sort", "name"), ("sort_dir", "asc")],
        [("sort_dir", "asc"), ("sort_dir", "desc")],
        [("sort_key", "name"), ("sort_dir", "asc"), ("sort_dir", "desc")],
        [("sort_key", "name"), ("sort_key", "id"), ("sort_key", "size"), ("sort_dir", "asc"),
         ("sort_dir", "desc")],
    ],
)  # fmt: skip
def test_sorting_that_does_not_add_up(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(Invalid):
        parse_list_query(pairs)


@given(
    st.lists(
        st.tuples(st.sampled_from(SORT_KEYS), st.sampled_from(["", ":asc", ":desc"])), min_size=1
    )
)
def test_every_order_is_total(keys: list[tuple[str, str]]) -> None:
    sort = parse_list_query([("sort", ",".join(k + d for k, d in keys))]).sort
    columns = [key for key, _ in sort]
    assert len(set(columns)) == len(columns)
    assert {"created_at", "id"} <= set(columns)
    assert columns[0] == keys[0][0]


@pytest.mark.parametrize(
    ("text", "hidden"), [("true", True), ("TRUE", True), ("false", False), ("False", False)]
)
def test_os_hidden_ignores_case(text: str, hidden: bool) -> None:
    assert parse_list_query([("os_hidden", text)]).os_hidden is hidden


def test_who_sees_what_is_passed_on() -> None:
    query = parse_list_query(
        [("visibility", "all"), ("member_status", "pending"), ("marker", "abc")]
    )
    assert (query.visibility, query.member_status, query.marker) == ("all", "pending", "abc")
    assert query.filters == ()


def test_links_of_a_plain_list() -> None:
    assert page_links([], None) == ("/v2/images", None)
    assert page_links([], "x") == ("/v2/images", "/v2/images?marker=x")


def test_links_keep_the_query_and_replace_the_marker() -> None:
    pairs = [("limit", "2"), ("tag", "a b"), ("marker", "old"), ("tag", "ä&c"), ("name", "in:a,b")]
    assert page_links(pairs, "new") == (
        "/v2/images?limit=2&tag=a+b&tag=%C3%A4%26c&name=in%3Aa%2Cb",
        "/v2/images?limit=2&tag=a+b&tag=%C3%A4%26c&name=in%3Aa%2Cb&marker=new",
    )


@given(st.lists(st.tuples(storable, storable)), storable)
def test_links_are_read_back_as_they_were_meant(pairs: list[tuple[str, str]], last: str) -> None:
    first, following = page_links(pairs, last)
    kept = [pair for pair in pairs if pair[0] != "marker"]
    assert following is not None
    for link, expected in ((first, kept), (following, [*kept, ("marker", last)])):
        parts = urlsplit(link)
        assert parts.path == "/v2/images"
        assert parse_qsl(parts.query, keep_blank_values=True) == expected
        assert link.isascii() and link.isprintable()
