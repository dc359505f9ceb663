"""The list of images on real databases: each filter, each viewer, every way of cutting pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text, update
from sqlalchemy.pool.base import _ConnectionFairy

from glance.db import image_listing, image_sight, images
from glance.db.image_listing import thd_list
from glance.db.tables import image_members, image_properties, image_tags
from glance.domain.errors import Invalid
from glance.domain.image import STATUSES, VISIBILITIES, Image, Location
from glance.domain.listing import (
    MOST_FILTERS,
    SORT_KEYS,
    Compare,
    Comparison,
    Equals,
    Filter,
    HasProperty,
    HasTag,
    ListQuery,
    OneOf,
    parse_list_query,
)
from glance.domain.viewer import Viewer
from tests.services.catalogue.support import ADMIN, Catalogue

EPOCH = datetime(2026, 1, 1)
ME = Viewer("me")


def listed(catalogue: Catalogue, query: ListQuery, viewer: Viewer = ADMIN) -> list[Image]:
    found: list[Image] = catalogue.read(thd_list, query, viewer)
    return found


def ids(found: list[Image]) -> list[str]:
    return [image.id for image in found]


def matching(catalogue: Catalogue, *filters: Filter, viewer: Viewer = ADMIN) -> set[str]:
    return set(ids(listed(catalogue, ListQuery(100, filters=filters), viewer)))


# --- Filters, one by one


@pytest.fixture
def garden(catalogue: Catalogue) -> Catalogue:
    """A catalogue with three images, named by their ids, that differ in everything."""
    catalogue.add(
        id="rose", name="Rose, red", disk_format="raw", container_format="bare", owner="me",
        size=2**62, virtual_size=2**63 - 1, min_disk=1, min_ram=2**31 - 1, checksum="aa",
        os_hash_algo="sha512", os_hash_value="bb", protected=True, tags=["red", "thorny"],
        properties={"height": "2", "n": "été"}, visibility="public",
    )  # fmt: skip
    catalogue.add(
        id="tulip", name="tulip", disk_format="qcow2", size=0, min_disk=2, tags=["red"],
        properties={"height": "1", "n": None}, visibility="public", owner="you",
    )  # fmt: skip
    catalogue.add(id="moss", name=None, visibility="public", status="active", owner=None)
    catalogue.add(id="dead", status="killed", tags=["red"], properties={"height": "2"})
    gone = catalogue.add(id="gone", tags=["red"], properties={"height": "2"})
    catalogue.run(images.thd_mark_deleted, gone, delayed=False)
    return catalogue


EVERYTHING = {"rose", "tulip", "moss"}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ((), EVERYTHING),
        ((Equals("name", "tulip"),), {"tulip"}),
        ((Equals("name", ""),), set()),
        ((Equals("id", "moss"),), {"moss"}),
        ((Equals("status", "queued"),), {"rose", "tulip"}),
        ((Equals("status", "killed"),), set()),
        ((Equals("owner", "me"),), {"rose"}),
        ((Equals("checksum", "aa"),), {"rose"}),
        ((Equals("os_hash_algo", "sha512"), Equals("os_hash_value", "bb")), {"rose"}),
        ((Equals("protected", True),), {"rose"}),
        ((Equals("protected", False),), {"tulip", "moss"}),
        ((Equals("size", 0),), {"tulip"}),
        ((Equals("size", 2**62),), {"rose"}),
        ((Equals("virtual_size", 2**63 - 1),), {"rose"}),
        ((Equals("min_ram", 2**31 - 1),), {"rose"}),
        ((OneOf("name", ("tulip", "Rose, red", "else")),), {"rose", "tulip"}),
        ((OneOf("id", ("moss",)),), {"moss"}),
        ((OneOf("disk_format", ("raw", "iso")),), {"rose"}),
        ((OneOf("name", ()),), set()),
        ((OneOf("status", ("active", "queued", "killed")),), EVERYTHING),
        ((Compare("size", "gte", 0),), {"rose", "tulip"}),
        ((Compare("size", "gte", 1),), {"rose"}),
        ((Compare("size", "lte", 0),), {"tulip"}),
        ((Compare("min_disk", "gte", 1), Compare("min_disk", "lte", 1)), {"rose"}),
        ((HasTag("red"),), {"rose", "tulip"}),
        ((HasTag("red"), HasTag("thorny")), {"rose"}),
        ((HasTag("re"),), set()),
        ((HasTag(""),), set()),
        ((HasProperty("height", "2"),), {"rose"}),
        ((HasProperty("height", "1"), HasTag("red")), {"tulip"}),
        ((HasProperty("height", "2"), HasProperty("height", "1")), set()),
        ((HasProperty("n", "été"),), {"rose"}),
        ((HasProperty("n", ""),), set()),
        ((HasProperty("nothing", "2"),), set()),
        ((HasTag("red"), OneOf("id", ("rose", "moss")), Compare("min_disk", "gte", 1)), {"rose"}),
    ],
)
def test_filters(garden: Catalogue, filters: tuple[Filter, ...], found: set[str]) -> None:
    assert matching(garden, *filters) == found
    assert matching(garden, *filters, viewer=Viewer("stranger")) == found


@pytest.mark.parametrize("value", [2**31, 2**63 - 1, -(2**31) - 1, 1 - 2**63])
@pytest.mark.parametrize("column", ["min_ram", "min_disk", "size", "virtual_size"])
def test_numbers_beyond_the_column(garden: Catalogue, column: str, value: int) -> None:
    """No image has such a number, and all that have any are on its one side."""
    assert matching(garden, Equals(column, value)) <= {"rose"}
    below = matching(garden, Compare(column, "lte", value))
    above = matching(garden, Compare(column, "gte", value))
    having = matching(garden, Compare(column, "gte", -1))
    assert below | above == having


@pytest.mark.parametrize("op", get_args(Comparison))
@pytest.mark.parametrize("column", ["created_at", "updated_at"])
def test_times(catalogue: Catalogue, column: str, op: Comparison) -> None:
    moments = {name: EPOCH + timedelta(seconds=n) for n, name in enumerate("abc")}
    for name in moments:
        catalogue.add(id=name)

    def thd_date(connection: Any) -> None:
        for name, moment in moments.items():
            of = update(images.images).where(images.images.c.id == name)
            connection.execute(of.values({column: moment}))

    catalogue.run(thd_date)
    holds = {
        "gt": {"c"}, "gte": {"b", "c"}, "lt": {"a"}, "lte": {"a", "b"}, "eq": {"b"},
        "neq": {"a", "c"},
    }  # fmt: skip
    assert matching(catalogue, Compare(column, op, moments["b"])) == holds[op]
    early, late = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
    for far, all_of_them in ((early, ("gt", "gte", "neq")), (late, ("lt", "lte", "neq"))):
        expected = set("abc") if op in all_of_them else set()
        assert matching(catalogue, Compare(column, op, far)) == expected


def test_a_time_that_was_read_finds_its_image(catalogue: Catalogue) -> None:
    image = catalogue.add(id="i")
    assert image.created_at is not None
    shown = image.created_at.replace(microsecond=0).isoformat() + "Z"
    query = parse_list_query([("created_at", shown)])
    assert ids(listed(catalogue, query)) == ["i"]


def test_values_are_never_part_of_the_statement(garden: Catalogue) -> None:
    for value in ("' OR 1=1 --", "%", "_", "%s", "%(f0)s", ":f0", "\\", "?"):
        for wanted in (
            Equals("name", value), OneOf("name", (value, value)), HasTag(value),
            HasProperty(value, value),
        ):  # fmt: skip
            assert matching(garden, wanted) == set()


def test_as_many_filters_as_are_allowed(catalogue: Catalogue) -> None:
    tags = [f"t{n}" for n in range(MOST_FILTERS // 2)]
    properties = {f"p{n}": f"v{n}" for n in range(MOST_FILTERS // 2 - 1)}
    catalogue.add(id="all", tags=tags, properties=properties, min_disk=3)
    catalogue.add(id="no-disk", tags=tags, properties=properties)
    for n, tag in enumerate(tags):
        catalogue.add(id=tag, tags=tags[:n] + tags[n + 1 :], properties=properties, min_disk=3)
    for name in properties:
        others = properties | {name: "other"}
        catalogue.add(id=name, tags=tags, properties=others, min_disk=3)
    before = catalogue.add(id="gone", tags=tags, properties=properties, min_disk=3)
    catalogue.run(images.thd_update, before, replace(before, tags=tags[:-1]))
    wanted: list[Filter] = [HasTag(tag) for tag in tags]
    wanted += [HasProperty(name, value) for name, value in properties.items()]
    wanted.append(Equals("min_disk", 3))
    assert len(wanted) == MOST_FILTERS
    for order in (wanted, wanted[::-1]):
        assert matching(catalogue, *order) == {"all"}


def test_a_tag_or_property_that_was_removed_is_not_found(catalogue: Catalogue) -> None:
    before = catalogue.add(id="i", tags=["t"], properties={"p": "v"})
    catalogue.run(images.thd_update, before, replace(before, tags=[], properties={}))
    assert matching(catalogue, HasTag("t")) == set()
    assert matching(catalogue, HasProperty("p", "v")) == set()


def test_case_where_databases_differ(catalogue: Catalogue) -> None:
    """MariaDB compares names, tags and values without case; the others do not."""
    catalogue.add(id="i", name="Name", tags=["Tag"], properties={"Prop": "Value"})
    expected = {"i"} if catalogue.kind == "mysql" else set()
    for wanted in (Equals("name", "NAME"), HasTag("TAG"), HasProperty("Prop", "VALUE")):
        assert matching(catalogue, wanted) == expected


@pytest.mark.parametrize("name", ["PROP", "prop", "Pröp", "Prop "])
def test_the_name_of_a_property_is_taken_to_the_letter(catalogue: Catalogue, name: str) -> None:
    """Otherwise a protected property could be asked about by another spelling."""
    catalogue.add(id="i", properties={"Prop": "Value"})
    assert matching(catalogue, HasProperty(name, "Value")) == set()
    assert matching(catalogue, HasProperty("Prop", "Value")) == {"i"}


# --- Whole images, and what they cost


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement that reaches a driver."""
    seen: list[str] = []
    cursor = _ConnectionFairy.cursor

    class Counting:
        def __init__(self, real: Any) -> None:
            self._real = real

        def execute(self, statement: str, *args: Any, **options: Any) -> Any:
            seen.append(statement)
            return self._real.execute(statement, *args, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    monkeypatch.setattr(_ConnectionFairy, "cursor", lambda *a, **k: Counting(cursor(*a, **k)))
    yield seen


def test_a_page_is_whole_and_takes_three_statements(
    catalogue: Catalogue, statements: list[str]
) -> None:
    made = []
    for n in range(30):
        image = catalogue.add(
            id=f"{n:02}", tags=[f"t{n}", "u"], properties={"p": f"v{n}", "q": None}
        )
        for m in range(n % 3):
            catalogue.run(images.thd_add_location, image.id, Location(f"file:///{m}", {"m": m}))
        made.append(catalogue.get(image.id))
    sort = (("id", "asc"), ("created_at", "asc"))
    for viewer in (ADMIN, Viewer("me")):
        if not viewer.is_admin:
            catalogue.run(lambda c: c.execute(update(images.images).values(owner="me")) and None)
            made = [replace(image, owner="me") for image in made]
        catalogue.read(thd_list, ListQuery(1), viewer)
        # Without a marker, how many images one sees by which way is asked for by itself.
        surveys = 0 if viewer.is_admin else 1
        for query, expected, most in (
            (ListQuery(40, sort=sort), made, 2 + surveys),
            (ListQuery(20, marker="04", sort=sort), made[5:25], 3),
            (ListQuery(20, marker="29", sort=sort), [], 2),
            (ListQuery(20, filters=(HasTag("u"), HasProperty("p", "v3"))), [made[3]], 2 + surveys),
            (ListQuery(20, filters=(OneOf("id", ("03",)),)), [made[3]], 2),
            (ListQuery(0), [], 0),
        ):
            statements.clear()
            found = listed(catalogue, query, viewer)
            assert len(statements) <= most
            for image in found:
                image.tags.sort()
                image.updated_at = made[int(image.id)].updated_at
            assert found == expected


def test_where_values_decide_postgresql_is_asked_anew(server_catalogue: Catalogue) -> None:
    """After some runs it would go by a plan for values of any kind."""
    if server_catalogue.kind != "postgresql":
        pytest.skip("Other databases keep no plans.")

    def thd_kept(connection: Connection) -> tuple[bool, bool]:
        for _ in range(8):
            thd_list(connection, ListQuery(3, filters=(HasTag("t"),)), ME)
            thd_list(connection, ListQuery(3), ME)
        kept = [
            row[0]
            for row in connection.execute(text("SELECT statement FROM pg_prepared_statements"))
        ]
        return any("owner" in said for said in kept), any("EXISTS" in said for said in kept)

    assert server_catalogue.read(thd_kept) == (True, False)


def test_one_image_takes_one_statement(catalogue: Catalogue, statements: list[str]) -> None:
    catalogue.add(id="i", tags=["t"], properties={"p": "v"}, visibility="shared", owner="you")
    catalogue.share("i", "me")
    for viewer in (ADMIN, ME):
        statements.clear()
        catalogue.get("i", viewer)
        assert len(statements) == 1


# --- Markers


@pytest.mark.parametrize("marker", ["nowhere", "", "x" * 5000, "hidden", "gone", "theirs"])
def test_marker_that_is_no_image_one_sees(catalogue: Catalogue, marker: str) -> None:
    for image_id, owner in (("mine", "me"), ("theirs", "you"), ("gone", "me")):
        catalogue.add(id=image_id, owner=owner, visibility="private")
    catalogue.run(images.thd_mark_deleted, catalogue.get("gone"), delayed=False)
    with pytest.raises(Invalid, match="marker") as caught:
        listed(catalogue, ListQuery(10, marker=marker), ME)
    assert len(caught.value.message) < 200


def test_marker_outside_of_the_list(catalogue: Catalogue) -> None:
    """What the filters or the hiding leave out still has a place in the order."""
    for n, hidden in enumerate((False, True, False)):
        catalogue.add(id=str(n), os_hidden=hidden, owner="me")
    sort = (("id", "asc"), ("created_at", "asc"))
    assert ids(listed(catalogue, ListQuery(9, "1", sort), ME)) == ["2"]
    only = (Equals("id", "2"),)
    assert ids(listed(catalogue, ListQuery(9, "0", sort, only), ME)) == ["2"]


# --- Everything at once, against a model in plain Python


#: A member that was removed: the row stays.
GONE = "gone"


@dataclass
class Entry:
    """An image as the model knows it."""

    image: Image
    deleted: bool = False
    members: dict[str, str] = field(default_factory=dict)


def sees(entry: Entry, viewer: Viewer, member_status: str) -> bool:
    image = entry.image
    if viewer.is_admin or image.visibility in ("public", "community"):
        return True
    if viewer.project_id is None:
        return False
    if image.owner == viewer.project_id:
        return True
    status = entry.members.get(viewer.project_id)
    member = status not in (None, GONE)
    return image.visibility == "shared" and member and member_status in ("all", status)


def belongs(entry: Entry, query: ListQuery, viewer: Viewer) -> bool:
    image = entry.image
    if entry.deleted or image.status == "killed" or image.os_hidden != query.os_hidden:
        return False
    if not sees(entry, viewer, query.member_status):
        return False
    if query.visibility is None:
        own = viewer.project_id is not None and image.owner == viewer.project_id
        if image.visibility == "community" and not own:
            return False
    elif query.visibility not in ("all", image.visibility):
        return False
    return all(holds(image, wanted) for wanted in query.filters)


def holds(image: Image, wanted: Filter) -> bool:
    match wanted:
        case Equals(column, value):
            return bool(getattr(image, column) == value)
        case OneOf(column, values):
            return getattr(image, column) in values
        case Compare(column, op, value):
            have = getattr(image, column)
            if have is None:
                return False
            return {
                "gt": have > value, "gte": have >= value, "lt": have < value,
                "lte": have <= value, "eq": have == value, "neq": have != value,
            }[op]  # fmt: skip
        case HasTag(tag):
            return tag in image.tags
        case HasProperty(name, value):
            return image.properties.get(name) == value


def in_order(entries: list[Entry], sort: tuple[tuple[str, str], ...]) -> list[Image]:
    """Sort by the stated rules: a missing text counts as empty, a missing size as 0."""
    missing: dict[str, Any] = {"name": "", "disk_format": "", "container_format": "", "size": 0}
    found = [entry.image for entry in entries]
    for key, direction in reversed(sort):
        found.sort(
            key=lambda image: missing[key] if (value := getattr(image, key)) is None else value,
            reverse=direction == "desc",
        )
    return found


# Texts whose order all collations agree on: small letters and digits, no two equal but for case.
NAMES = st.sampled_from([None, "", "a", "b", "ab", "b1", "1", "web 1", "web 2"])
PROJECTS = st.sampled_from(["me", "you"])
TIMES = st.integers(0, 3).map(lambda n: EPOCH + timedelta(seconds=n))
SMALL = st.integers(0, 2)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    made = []
    for image_id in draw(st.lists(st.uuids(version=4), max_size=14, unique=True)):
        image = Image(
            str(image_id),
            status=draw(st.sampled_from(["active", "queued", "saving", "killed"])),
            name=draw(NAMES),
            disk_format=draw(st.sampled_from([None, "raw", "iso"])),
            container_format=draw(st.sampled_from([None, "bare"])),
            visibility=draw(st.sampled_from(VISIBILITIES)),
            size=draw(st.none() | st.sampled_from([0, 1, 2**62])),
            owner=draw(st.none() | PROJECTS),
            os_hidden=draw(st.sampled_from([False, False, False, True])),
            protected=draw(st.booleans()),
            min_ram=draw(SMALL),
            created_at=draw(TIMES),
            updated_at=draw(TIMES),
            properties=draw(st.dictionaries(st.sampled_from("pq"), st.sampled_from("vw"))),
            tags=draw(st.lists(st.sampled_from("tu"), unique=True)),
        )
        members = st.dictionaries(
            PROJECTS, st.sampled_from(["accepted", "pending", "rejected", GONE])
        )
        made.append(Entry(image, draw(st.integers(0, 9)) == 0, draw(members)))
    return made


FILTERS: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Equals, st.just("name"), NAMES.filter(bool)),
    st.builds(Equals, st.just("owner"), PROJECTS),
    st.builds(Equals, st.just("protected"), st.booleans()),
    st.builds(OneOf, st.just("status"), st.lists(st.sampled_from(STATUSES), max_size=3).map(tuple)),
    st.builds(
        Compare, st.sampled_from(["size", "min_ram"]), st.sampled_from(["gte", "lte"]), SMALL
    ),
    st.builds(
        Compare,
        st.sampled_from(["created_at", "updated_at"]),
        st.sampled_from(get_args(Comparison)),
        TIMES,
    ),
    st.builds(HasTag, st.sampled_from("tu")),
    st.builds(HasProperty, st.sampled_from("pq"), st.sampled_from("vw")),
)
DIRECTIONS = st.sampled_from(["asc", "desc"])


@st.composite
def queries(draw: st.DrawFn) -> ListQuery:
    sort = draw(
        st.lists(
            st.tuples(st.sampled_from(SORT_KEYS), DIRECTIONS),
            max_size=3, unique_by=lambda pair: pair[0],
        )
    )  # fmt: skip
    last = draw(DIRECTIONS)
    for key in ("created_at", "id"):
        if key not in dict(sort):
            sort.append((key, last))
    return ListQuery(
        draw(st.integers(1, 5)),
        sort=tuple(sort),
        filters=tuple(draw(st.lists(FILTERS, max_size=2))),
        visibility=draw(st.none() | st.sampled_from([*VISIBILITIES, "all"])),
        member_status=draw(st.sampled_from(["accepted", "pending", "rejected", "all"])),
        os_hidden=draw(st.sampled_from([False, False, True])),
    )


VIEWERS = st.sampled_from([ADMIN, Viewer("me", True), Viewer("me"), Viewer("you"), Viewer(None)])


def fill(catalogue: Catalogue, made: list[Entry]) -> None:
    catalogue.empty()
    dates = {"created_at": EPOCH, "updated_at": EPOCH}
    catalogue.add_rows(
        images.images,
        [
            {name: getattr(entry.image, name) for name in images.FIELDS}
            | {"deleted": entry.deleted}
            for entry in made
        ],
    )
    parts: dict[Any, list[dict[str, Any]]] = {
        image_properties: [], image_tags: [], image_members: [],
    }  # fmt: skip
    for entry in made:
        row = {"image_id": entry.image.id, "deleted": entry.deleted, **dates}
        for name, value in entry.image.properties.items():
            parts[image_properties].append({**row, "name": name, "value": value})
        for tag in entry.image.tags:
            parts[image_tags].append({**row, "value": tag})
        for member, status in entry.members.items():
            gone = {"status": "accepted", "deleted": True} if status == GONE else {"status": status}
            parts[image_members].append({**row, "member": member, "can_share": False, **gone})
    for table, rows in parts.items():
        catalogue.add_rows(table, rows)


def check_pages(
    catalogue: Catalogue, made: list[Entry], asked: list[tuple[ListQuery, Viewer]]
) -> None:
    fill(catalogue, made)
    for query, viewer in asked:
        expected = in_order([e for e in made if belongs(e, query, viewer)], query.sort)
        found: list[Image] = []
        marker = None
        while page := listed(catalogue, replace(query, marker=marker), viewer):
            assert len(page) <= query.limit
            found += page
            assert len(found) <= len(expected)
            marker = page[-1].id
        for image in found:
            image.tags.sort()
        assert found == [replace(image, tags=sorted(image.tags)) for image in expected]


# An empty catalogue is made by the test itself, for every example anew.
_one_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ASKED = st.lists(st.tuples(queries(), VIEWERS), min_size=1, max_size=4)


@settings(_one_fixture, max_examples=200)
@given(made=entries(), asked=ASKED)
def test_pages_are_the_list_cut_in_pieces(
    sqlite_catalogue: Catalogue, made: list[Entry], asked: list[tuple[ListQuery, Viewer]]
) -> None:
    check_pages(sqlite_catalogue, made, asked)


@settings(_one_fixture, max_examples=25)
@given(made=entries(), asked=ASKED)
def test_pages_are_the_list_cut_in_pieces_on_servers(
    server_catalogue: Catalogue, made: list[Entry], asked: list[tuple[ListQuery, Viewer]]
) -> None:
    check_pages(server_catalogue, made, asked)


@pytest.fixture(params=[image_sight._FEW, 1], ids=["few", "many"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """How many images on a way to see images are few: all that there are, or a single one."""
    statements = (
        image_listing._survey_statement, image_listing._marker_statement,
        image_listing._page_statement,
    )  # fmt: skip
    monkeypatch.setattr(image_sight, "_FEW", request.param)
    for statement in statements:
        statement.cache_clear()
    yield
    for statement in statements:
        statement.cache_clear()


def test_all_that_decides_on_what_is_seen(few: None, catalogue: Catalogue) -> None:
    """Every kind of image, seen by everyone who asks for it in every way."""
    made = []
    for n, (visibility, owner, status, (hidden, deleted)) in enumerate(
        product(
            VISIBILITIES,
            ("me", "you", None),
            (None, "accepted", "pending", "rejected", GONE),
            ((False, False), (True, False), (False, True)),
        )
    ):
        image = Image(
            str(UUID(int=(n * 7919) % 2**32 << 96 | n)),
            status="killed" if n % 17 == 0 else "active",
            name=(None, "", "a", "b")[n % 4],
            visibility=visibility,
            owner=owner,
            os_hidden=hidden,
            created_at=EPOCH + timedelta(seconds=n // 8),
            updated_at=EPOCH,
        )
        made.append(Entry(image, deleted, {"me": status} if status else {}))
    sorts: list[tuple[tuple[str, str], ...]] = [
        (("created_at", "desc"), ("id", "desc")),
        (("created_at", "asc"), ("id", "asc")),
        (("name", "asc"), ("created_at", "asc"), ("id", "asc")),
    ]
    asked = [
        (ListQuery(13, None, sort, filters, *rest), viewer)  # type: ignore[arg-type]
        for sort in sorts
        for filters in ((), (Equals("owner", "me"),), (OneOf("name", ("a", "b")),))
        for rest in product(
            (None, "all", *VISIBILITIES), ("accepted", "rejected", "all"), (False, True)
        )
        for viewer in (ADMIN, Viewer("me", True), ME, Viewer("you"), Viewer(None))
    ]
    check_pages(catalogue, made, asked if catalogue.kind == "sqlite" else asked[::7])


def test_an_image_that_is_seen_by_every_way(catalogue: Catalogue) -> None:
    """It is listed once, and takes no other's place."""
    for n in range(6):
        catalogue.add(id=str(n), owner="me", visibility="shared" if n & 1 else "public")
        catalogue.share(str(n), "me")
        # Nothing in the database keeps two of these apart.
        catalogue.share(str(n), "me")
    order = (("id", "asc"), ("created_at", "asc"))
    for sort in (order, (("created_at", "asc"), ("id", "asc"))):
        pages = []
        marker = None
        while page := ids(listed(catalogue, ListQuery(2, marker, sort), ME)):  # type: ignore[arg-type]
            pages.append(page)
            marker = page[-1]
        assert pages == [["0", "1"], ["2", "3"], ["4", "5"]]


def test_pages_with_every_key_and_direction(catalogue: Catalogue) -> None:
    """All pairs of keys and directions, over rows of which most are equal in most keys."""
    made = []
    for n in range(16):
        image = Image(
            str(UUID(int=(n * 7919) % 2**64 << 32 | n)),
            status=("active", "queued")[n & 1],
            name=(None, "", "a", "b")[n & 3],
            disk_format=(None, "raw")[n >> 1 & 1],
            container_format=(None, "bare")[n >> 2 & 1],
            size=(None, 0, 5)[n % 3],
            created_at=EPOCH + timedelta(seconds=n >> 3),
            updated_at=EPOCH + timedelta(seconds=n >> 2 & 1),
        )
        made.append(Entry(image))
    asked = []
    for first in SORT_KEYS:
        for second in SORT_KEYS:
            if first == second:
                continue
            for directions in ("aaa", "aad", "ada", "add", "dda", "ddd"):
                a, b, c = ({"a": "asc", "d": "desc"}[d] for d in directions)
                sort = {first: a, second: b}
                for key in ("created_at", "id"):
                    sort.setdefault(key, c)
                asked.append((ListQuery(3, sort=tuple(sort.items())), ADMIN))  # type: ignore[arg-type]
    if catalogue.kind != "sqlite":
        # Every statement is another one to these, and planning each anew takes its time.
        asked = asked[::7]
    check_pages(catalogue, made, asked)


def test_collation_where_databases_differ(catalogue: Catalogue) -> None:
    """Whatever the database's order of texts is, pages follow it without loss."""
    names = ["a", "A", "ä", "á", "B", "b", "_", " a", "a ", "Z", "z", "ß", "ss", "10", "9", "-"]
    for n, name in enumerate(names):
        catalogue.add(id=f"{n:02}", name=name)
    for direction in ("asc", "desc"):
        sort: Any = (("name", direction), ("created_at", direction), ("id", direction))
        whole = ids(listed(catalogue, ListQuery(100, sort=sort)))
        assert sorted(whole) == [f"{n:02}" for n in range(len(names))]
        found: list[str] = []
        while page := ids(listed(catalogue, ListQuery(3, found[-1] if found else None, sort))):
            found += page
        assert found == whole
