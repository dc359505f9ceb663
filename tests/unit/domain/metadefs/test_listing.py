"""The queries of lists of metadata definitions."""

import pytest

from glance.domain.errors import Invalid
from glance.domain.metadefs.listing import (
    MOST_RESOURCE_TYPES,
    ListQuery,
    check_objects_query,
    parse_namespaces_query,
    parse_tags_query,
)

NEWEST = (("created_at", "desc"), ("id", "desc"))


def parse(*pairs: tuple[str, str]) -> ListQuery:
    return parse_namespaces_query(pairs, limit_default=25, limit_max=100)


def test_defaults() -> None:
    assert parse() == ListQuery(25, sort=NEWEST)
    assert parse_tags_query([]) == ListQuery(None, sort=NEWEST)


def test_limits() -> None:
    for asked, got in (("0", 0), ("7", 7), ("+7", 7), ("101", 100), ("9" * 19, 100)):
        assert parse(("limit", asked)).limit == got
    assert parse_tags_query([("limit", "9" * 19)]).limit == 2**31 - 1
    for wrong in ("x", "", "-1", "1.5", "9" * 20, "²"):
        for check in (parse, lambda pair: parse_tags_query([pair])):
            with pytest.raises(Invalid, match="limit"):
                check(("limit", wrong))


def test_sorting() -> None:
    wanted = (("namespace", "asc"), ("created_at", "asc"), ("id", "asc"))
    assert parse(("sort_key", "namespace"), ("sort_dir", "asc")).sort == wanted
    assert parse(("sort_key", "id")).sort == (("id", "desc"),)
    assert parse(("sort_dir", "asc")).sort == (("created_at", "asc"), ("id", "asc"))
    assert parse_tags_query([("sort_key", "name")]).sort[0] == ("name", "desc")
    for key in ("name", "", "password"):
        with pytest.raises(Invalid, match="Namespaces can be sorted by namespace"):
            parse(("sort_key", key))
    with pytest.raises(Invalid, match="Tags can be sorted by name"):
        parse_tags_query([("sort_key", "namespace")])
    with pytest.raises(Invalid, match="asc or desc"):
        parse(("sort_dir", "up"))


def test_filters() -> None:
    query = parse(("visibility", "public"), ("resource_types", "b,a,,b"), ("marker", "m"))
    assert (query.visibility, query.resource_types, query.marker) == ("public", ("b", "a"), "m")
    assert parse(("resource_types", "")).resource_types == ()
    with pytest.raises(Invalid, match="one of public, private"):
        parse(("visibility", "shared"))
    many = ",".join(str(number) for number in range(MOST_RESOURCE_TYPES + 1))
    with pytest.raises(Invalid, match="at most 50"):
        parse(("resource_types", many))
    with pytest.raises(Invalid, match="U\\+0000"):
        parse(("marker", "\0"))


def test_what_is_not_known_has_no_effect() -> None:
    assert parse(("owner", "p1"), ("owner", "p2"), ("\0", "\0")) == parse()


def test_twice() -> None:
    assert parse(("limit", "7"), ("limit", "7")).limit == 7
    with pytest.raises(Invalid, match="limit has two different values"):
        parse(("limit", "7"), ("limit", "8"))


def test_objects() -> None:
    check_objects_query([("limit", "1"), ("visibility", "shared"), ("marker", "x"), ("a", "b")])
    for pair in (("limit", "0"), ("limit", "x"), ("visibility", "all")):
        with pytest.raises(Invalid):
            check_objects_query([pair])
