"""Metadata definitions in a real catalogue: what was saved is what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from glance.db import metadef_namespaces as namespaces
from glance.db import metadef_types as types
from glance.db.columns import utcnow
from glance.db.metadef_listing import thd_list, thd_list_tags
from glance.db.metadef_parts import OBJECTS, PROPERTIES, TAGS
from glance.db.tables_metadefs import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_objects,
    metadef_properties,
    metadef_resource_types,
    metadef_tags,
)
from glance.domain.errors import Duplicate, NotFound
from glance.domain.metadefs.listing import (
    NAMESPACE_SORT_KEYS,
    TAG_SORT_KEYS,
    ListQuery,
    parse_namespaces_query,
    parse_tags_query,
)
from glance.domain.metadefs.model import Association, Namespace, Object, Property, Tag
from glance.domain.viewer import Viewer
from tests.services.catalogue.meter import Meter
from tests.services.catalogue.support import ADMIN, WRITERS, Catalogue, Crowd

UNICODE = "Ünïcode – 画像 ﬁ '\"\\%s :x ?"
SCHEMA = {"type": "string", "title": UNICODE, "default": "3", "enum": ["a", UNICODE]}
P1 = Viewer("p1")


def full(name: str = "Acme") -> Namespace:
    return Namespace(
        name, "o" * 255, "public", True, "d" * 80, UNICODE * 10,
        associations=[Association("OS::B", "b_", "image"), Association("OS::A")],
        properties=[Property("z", SCHEMA), Property(UNICODE, {"type": "array", "title": "t"})],
        objects=[
            Object("size", UNICODE, ["width", "height"], {"width": SCHEMA}),
            Object("empty"),
        ],
        tags=[Tag("first"), Tag(UNICODE), Tag("t" * 80)],
    )  # fmt: skip


def add(catalogue: Catalogue, namespace: Namespace) -> Namespace:
    catalogue.run(namespaces.thd_insert, namespace)
    return get(catalogue, namespace.name)


def get(catalogue: Catalogue, name: str, viewer: Viewer = ADMIN) -> Namespace:
    found: Namespace = catalogue.read(namespaces.thd_get_whole, name, viewer)
    return found


def changed(catalogue: Catalogue, change: Callable[..., Any], name: str, *args: Any) -> Any:
    """Change something in a namespace as the API does."""

    def thd_change(connection: Connection) -> Any:
        return change(connection, namespaces.thd_get(connection, name, ADMIN, lock=True), *args)

    return catalogue.run(thd_change)


def undated(item: Any) -> Any:
    return replace(item, created_at=None, updated_at=None)


def all_undated(items: Iterable[Any]) -> list[Any]:
    return [undated(item) for item in items]


def pages(
    catalogue: Catalogue, viewer: Viewer, limit: int, pairs: list[tuple[str, str]]
) -> list[str]:
    """Walk a list of namespaces page by page."""
    names: list[str] = []
    while True:
        marker = [("marker", names[-1])] if names else []
        query = parse_namespaces_query(
            [*pairs, *marker, ("limit", str(limit))], limit_default=25, limit_max=1000
        )
        page = catalogue.read(thd_list, query, viewer)
        assert len(page) <= limit
        names += [namespace.name for namespace in page]
        if len(page) < limit:
            return names
        assert len(set(names)) == len(names), names


def test_every_field_survives(catalogue: Catalogue) -> None:
    before = utcnow().replace(microsecond=0)
    found = add(catalogue, full())
    wanted = full()
    assert found.created_at is not None
    assert before <= found.created_at == found.updated_at <= utcnow()
    assert undated(replace(found, id=0, associations=[], properties=[], objects=[], tags=[])) == (
        replace(wanted, associations=[], properties=[], objects=[], tags=[])
    )
    assert all_undated(found.associations) == [Association("OS::A"), wanted.associations[0]]
    assert all_undated(found.properties) == sorted(wanted.properties, key=lambda p: p.name)
    assert all_undated(found.objects) == [wanted.objects[1], wanted.objects[0]]
    assert all_undated(found.tags) == wanted.tags[::-1]
    times = {(part.created_at, part.updated_at) for part in (*found.objects, *found.tags)}
    assert all(created == updated for created, updated in times)


def test_parts_one_by_one(catalogue: Catalogue) -> None:
    whole = add(catalogue, full())
    for parts, wanted in ((PROPERTIES, whole.properties), (OBJECTS, whole.objects)):
        assert catalogue.read(parts.thd_list, whole) == wanted
        for part in wanted:
            assert catalogue.read(parts.thd_get, whole, part.name) == part
    assert catalogue.read(TAGS.thd_get, whole, UNICODE) == whole.tags[1]
    assert catalogue.read(types.thd_list, whole) == whole.associations
    assert catalogue.read(types.thd_get, whole, "OS::B") == whole.associations[1]
    assert [kind.name for kind in catalogue.read(types.thd_list_all)] == ["OS::A", "OS::B"]


def test_reading_takes_one_statement(catalogue: Catalogue) -> None:
    for number in range(20):
        add(catalogue, full(f"Acme::{number}"))
    with catalogue.engine.connect() as connection:
        meter = Meter(connection)
        assert meter.statements(namespaces.thd_get_whole, "Acme::3", P1) == 1
        assert meter.statements(thd_list, ListQuery(10), P1) == 1
        assert meter.statements(thd_list, ListQuery(10, "Acme::3"), P1) == 2


def test_visibility(catalogue: Catalogue) -> None:
    add(catalogue, Namespace("mine", "p1"))
    add(catalogue, Namespace("theirs", "p2"))
    add(catalogue, Namespace("everybody's", "p2", "public"))
    for name in ("mine", "everybody's"):
        assert catalogue.read(namespaces.thd_get, name, P1).name == name
        assert get(catalogue, name, P1).name == name
    for viewer in (P1, Viewer()):
        for read in (namespaces.thd_get, namespaces.thd_get_whole):
            with pytest.raises(NotFound, match="'theirs'"):
                catalogue.read(read, "theirs", viewer)
    assert sorted(pages(catalogue, P1, 9, [])) == ["everybody's", "mine"]
    assert pages(catalogue, Viewer(), 9, []) == ["everybody's"]
    assert pages(catalogue, P1, 9, [("visibility", "private")]) == ["mine"]
    assert pages(catalogue, P1, 9, [("visibility", "public")]) == ["everybody's"]
    assert len(pages(catalogue, ADMIN, 9, [])) == 3
    with pytest.raises(NotFound):
        catalogue.read(thd_list, ListQuery(9, "theirs"), P1)


def test_names_are_told_apart_to_the_letter(catalogue: Catalogue) -> None:
    whole = add(catalogue, full())
    for name in ("acme", "Acme ", "Äcme", "Acme\0", "\U0001f600"):
        for read in (namespaces.thd_get, namespaces.thd_get_whole):
            with pytest.raises(NotFound):
                catalogue.read(read, name, ADMIN)
        with pytest.raises(NotFound):
            catalogue.read(thd_list, ListQuery(9, name), ADMIN)
    for name in ("First", "first ", "first\0", "\U0001f600"):
        with pytest.raises(NotFound):
            catalogue.read(TAGS.thd_get, whole, name)
        with pytest.raises(NotFound):
            catalogue.read(thd_list_tags, whole, ListQuery(9, name))
        with pytest.raises(NotFound):
            changed(catalogue, TAGS.thd_delete, "Acme", name)
    for name in ("os::a", "OS::A\0"):
        with pytest.raises(NotFound):
            changed(catalogue, types.thd_dissociate, "Acme", name)
    assert get(catalogue, "Acme") == whole


def test_a_name_that_is_taken(catalogue: Catalogue) -> None:
    first, second = add(catalogue, full()), add(catalogue, Namespace("Other"))
    with pytest.raises(Duplicate, match="'Acme'"):
        add(catalogue, Namespace("Acme", tags=[Tag("x")]))
    with pytest.raises(Duplicate, match="'Acme'"):
        changed(catalogue, namespaces.thd_update, "Other", replace(second, name="Acme"))
    for parts, part in (
        (PROPERTIES, Property("z")),
        (OBJECTS, Object("size")),
        (TAGS, Tag("first")),
    ):
        with pytest.raises(Duplicate):
            changed(catalogue, parts.thd_insert, "Acme", [part])
    with pytest.raises(Duplicate):
        changed(catalogue, TAGS.thd_insert, "Other", [Tag("x"), Tag("x")])
    with pytest.raises(Duplicate):
        changed(catalogue, TAGS.thd_replace, "Acme", UNICODE, Tag("first"))
    with pytest.raises(Duplicate):
        changed(catalogue, types.thd_associate, "Acme", Association("OS::A"))
    assert get(catalogue, "Acme") == first
    assert get(catalogue, "Other") == second


def test_a_name_of_other_case(catalogue: Catalogue) -> None:
    add(catalogue, Namespace("Acme", tags=[Tag("a")], associations=[Association("OS::A", "1")]))
    if catalogue.kind == "mysql":
        with pytest.raises(Duplicate):
            add(catalogue, Namespace("ACME"))
        with pytest.raises(Duplicate):
            changed(catalogue, TAGS.thd_insert, "Acme", [Tag("A")])
        with pytest.raises(Duplicate):
            changed(catalogue, types.thd_associate, "Acme", Association("os::a"))
        # What it is told to be for is what it can be told not to be for.
        add(catalogue, Namespace("Other"))
        made = changed(catalogue, types.thd_associate, "Other", Association("os::a", "2"))
        assert (made.name, made.prefix) == ("OS::A", "2")
        changed(catalogue, types.thd_dissociate, "Other", made.name)
        return
    add(catalogue, Namespace("ACME"))
    changed(catalogue, TAGS.thd_insert, "Acme", [Tag("A")])
    changed(catalogue, types.thd_associate, "Acme", Association("os::a", "2"))
    found = get(catalogue, "Acme")
    assert [tag.name for tag in found.tags] == ["A", "a"]
    assert [(item.name, item.prefix) for item in found.associations] == [
        ("OS::A", "1"), ("os::a", "2"),
    ]  # fmt: skip


def test_a_change_of_a_namespace(catalogue: Catalogue) -> None:
    before = add(catalogue, full())
    change = Namespace("New", "p2", "private", False)
    after = changed(catalogue, namespaces.thd_update, "Acme", change)
    found = get(catalogue, "New")
    assert (found.owner, found.visibility, found.protected) == ("p2", "private", False)
    assert (found.display_name, found.description) == (None, None)
    assert (found.tags, found.objects) == (before.tags, before.objects)
    assert found.created_at == before.created_at
    assert (after.id, after.created_at) == (before.id, before.created_at)
    changed(catalogue, namespaces.thd_update, "New", Namespace("New", ""))
    assert get(catalogue, "New").owner == "p2"


def test_changes_of_parts(catalogue: Catalogue) -> None:
    before = add(catalogue, full())
    for parts, name, part in (
        (PROPERTIES, "z", Property("a", {"type": "number", "title": "t", "minimum": 1.5})),
        (OBJECTS, "size", Object("a", None, [], {"p": {"type": "string", "title": "t"}})),
        (TAGS, "first", Tag("a")),
    ):
        created = catalogue.read(parts.thd_get, before, name).created_at
        told = changed(catalogue, parts.thd_replace, "Acme", name, part)
        assert told.created_at == created
        assert told.updated_at >= created
        found = catalogue.read(parts.thd_get, before, "a")
        assert undated(found) == undated(part)
        assert found.created_at == created
        with pytest.raises(NotFound):
            changed(catalogue, parts.thd_replace, "Acme", name, part)
        changed(catalogue, parts.thd_delete, "Acme", "a")
        with pytest.raises(NotFound):
            changed(catalogue, parts.thd_delete, "Acme", "a")
    left = get(catalogue, "Acme")
    assert (len(left.properties), len(left.objects), len(left.tags)) == (1, 1, 2)
    for parts in (PROPERTIES, OBJECTS, TAGS):
        changed(catalogue, parts.thd_delete_all, "Acme")
    changed(catalogue, types.thd_dissociate, "Acme", "OS::A")
    left = get(catalogue, "Acme")
    assert (left.properties, left.objects, left.tags) == ([], [], [])
    assert [item.name for item in left.associations] == ["OS::B"]
    # The resource type may be somebody else's too.
    assert [kind.name for kind in catalogue.read(types.thd_list_all)] == ["OS::A", "OS::B"]


def test_deletion_takes_all_of_one_namespace(catalogue: Catalogue) -> None:
    other = add(catalogue, full("Other"))
    add(catalogue, full())
    changed(catalogue, namespaces.thd_delete, "Acme")
    with pytest.raises(NotFound):
        get(catalogue, "Acme")
    assert get(catalogue, "Other") == other
    for table in (
        metadef_tags,
        metadef_objects,
        metadef_properties,
        metadef_namespace_resource_types,
    ):
        assert {row["namespace_id"] for row in catalogue.rows(select(table))} == {other.id}


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("key", NAMESPACE_SORT_KEYS)
def test_pages_of_namespaces_have_all_of_them_once(
    catalogue: Catalogue, key: str, direction: str
) -> None:
    for number in range(12):
        even = number % 2 == 0
        add(
            catalogue,
            Namespace(
                f"n{number:02}", f"p{number % 3}", "public" if even else "private", even,
                f"t{number // 4}" if even else None, None if even else f"d{number // 5}",
                associations=[Association("OS::A"), Association("OS::B")],
            ),
        )  # fmt: skip
    # Other software may have left out what is always there otherwise.
    catalogue.run(
        lambda connection: connection.execute(
            update(metadef_namespaces)
            .where(metadef_namespaces.c.namespace.in_(["n03", "n04"]))
            .values(visibility=None, protected=None, updated_at=None)
        ) and None
    )  # fmt: skip
    pairs = [("sort_key", key), ("sort_dir", direction)]
    names = pages(catalogue, ADMIN, 50, pairs)
    assert sorted(names) == [f"n{number:02}" for number in range(12)]
    for limit in (1, 5):
        assert pages(catalogue, ADMIN, limit, pairs) == names
    if key in ("namespace", "id", "created_at"):
        assert names == sorted(names, reverse=direction == "desc")
    mine = [name for name in names if name in pages(catalogue, P1, 50, [])]
    assert pages(catalogue, P1, 2, pairs) == mine


def test_namespaces_by_resource_type(catalogue: Catalogue) -> None:
    for name, kinds in (("a", ["OS::A"]), ("ab", ["OS::A", "OS::B"]), ("none", [])):
        associations = [Association(kind, f"{kind}_") for kind in kinds]
        add(catalogue, Namespace(name, associations=associations))
    for asked, wanted in (
        ("OS::A", ["a", "ab"]),
        ("OS::B", ["ab"]),
        ("OS::B,OS::A,OS::C", ["a", "ab"]),
        ("OS::C", []),
        ("os::b", []),
        ("os::b,OS::A ,OS::B", ["ab"]),
        ("", []),
        ("\U0001f600", []),
    ):
        query = ListQuery(9, resource_types=tuple(n for n in asked.split(",") if n))
        page = catalogue.read(thd_list, query, ADMIN)
        assert sorted(namespace.name for namespace in page) == wanted
        # With all that they are for, whatever was asked.
        assert {len(n.associations) for n in page if n.name == "ab"} <= {2}
    assert catalogue.read(thd_list, ListQuery(0), ADMIN) == []


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("key", TAG_SORT_KEYS)
def test_pages_of_tags(catalogue: Catalogue, key: str, direction: str) -> None:
    namespace = add(catalogue, Namespace("Acme", tags=[Tag("b"), Tag("a"), Tag("c")]))
    changed(catalogue, TAGS.thd_insert, "Acme", [Tag("d")])
    add(catalogue, Namespace("Other", tags=[Tag("x")]))
    pairs = [("sort_key", key), ("sort_dir", direction)]
    whole = catalogue.read(thd_list_tags, namespace, parse_tags_query(pairs))
    names = [tag.name for tag in whole]
    wanted = ["a", "b", "c", "d"] if key == "name" else ["b", "a", "c", "d"]
    assert names == (wanted if direction == "asc" else wanted[::-1])
    walked: list[str] = []
    while True:
        marker = [("marker", walked[-1])] if walked else []
        query = parse_tags_query([*pairs, *marker, ("limit", "1")])
        page = catalogue.read(thd_list_tags, namespace, query)
        if not page:
            break
        walked += [tag.name for tag in page]
        assert len(set(walked)) == len(walked), walked
    assert walked == names
    assert catalogue.read(thd_list_tags, namespace, ListQuery(0)) == []


def test_what_other_software_left(catalogue: Catalogue) -> None:
    """Its service keeps a property's name within the schema, and null for what was not given."""
    made = add(catalogue, Namespace("Acme"))
    now = utcnow()

    def thd_leave(connection: Connection) -> None:
        row = {"namespace_id": made.id, "created_at": now, "updated_at": None}
        schema = {"name": "p", "default": 3, "title": "t", "type": "integer", "enum": None}
        connection.execute(insert(metadef_properties), {**row, "name": "p", "json_schema": schema})
        connection.execute(
            insert(metadef_objects),
            {**row, "name": "o", "required": None, "json_schema": {"p": schema}},
        )
        connection.execute(
            update(metadef_namespaces).values(visibility=None, protected=None, updated_at=None)
        )

    catalogue.run(thd_leave)
    found = get(catalogue, "Acme")
    wanted = {"type": "integer", "title": "t", "default": "3"}
    assert (found.visibility, found.protected, found.updated_at) == ("private", False, None)
    assert list(found.properties[0].schema.items()) == list(wanted.items())
    assert found.objects[0].properties == {"p": wanted}
    assert found.objects[0].required == []
    assert catalogue.read(PROPERTIES.thd_list, found) == found.properties
    assert catalogue.read(OBJECTS.thd_list, found) == found.objects
    assert undated(catalogue.read(namespaces.thd_get, "Acme", ADMIN)) == replace(
        undated(found), properties=[], objects=[]
    )
    assert pages(catalogue, ADMIN, 1, [("sort_key", "updated_at")]) == ["Acme"]


# Many at once.


def test_one_of_many_creations_of_a_namespace_wins(crowd: Crowd, catalogue: Catalogue) -> None:
    for turn in range(3):
        made = [(full(f"Acme::{turn}"),) for _ in range(WRITERS)]
        outcomes = crowd.results(namespaces.thd_insert, *made)
        assert sum(isinstance(outcome, Namespace) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Duplicate) for outcome in outcomes) == WRITERS - 1
        assert len(get(catalogue, f"Acme::{turn}").tags) == 3


def test_namespaces_with_the_same_new_resource_types(crowd: Crowd, catalogue: Catalogue) -> None:
    kinds = [f"OS::{number}" for number in range(4)]
    made = []
    for number in range(WRITERS):
        order = kinds if number % 2 else kinds[::-1]
        associations = [Association(kind, f"{number}_") for kind in order]
        made.append((Namespace(f"n{number}", associations=associations),))
    outcomes = crowd.results(namespaces.thd_insert, *made)
    assert [outcome for outcome in outcomes if not isinstance(outcome, Namespace)] == []
    assert [kind.name for kind in catalogue.read(types.thd_list_all)] == kinds
    for number in range(WRITERS):
        assert len(get(catalogue, f"n{number}").associations) == len(kinds)
    count = select(func.count()).select_from(metadef_resource_types)
    assert catalogue.rows(count)[0]["count_1"] == len(kinds)


def test_nothing_is_left_of_a_namespace_that_goes_meanwhile(
    crowd: Crowd, catalogue: Catalogue
) -> None:
    def thd_work(connection: Connection, name: str, number: int) -> str:
        try:
            namespace = namespaces.thd_get(connection, name, ADMIN, lock=True)
        except NotFound:
            return "gone"
        if number == 0:
            namespaces.thd_delete(connection, namespace)
            return "deleted"
        TAGS.thd_insert(connection, namespace, [Tag(f"t{number}")])
        return "added"

    for turn in range(3):
        name = f"Acme::{turn}"
        add(catalogue, Namespace(name))
        order = [*range(1, WRITERS // 2), 0, *range(WRITERS // 2, WRITERS)]
        outcomes = crowd.results(thd_work, *[(name, number) for number in order])
        assert set(outcomes) <= {"gone", "added", "deleted"}, outcomes
        assert outcomes.count("deleted") == 1
        assert catalogue.rows(select(metadef_tags)) == []
