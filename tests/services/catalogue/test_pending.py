"""Claims of images in ``pending_delete``: each by one only, and never against a restoration."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from glance.db import images, leases, pending, restoring
from glance.db.columns import utcnow
from glance.db.due import Due, thd_due
from glance.db.engine import make_engine
from glance.db.locations import thd_newest
from glance.db.own_tables import image_tombstones, transfer_leases
from glance.db.pending import Claim, Claims, Outcome
from glance.db.restoring import Begun
from glance.db.sealed_locations import seal_with
from glance.db.sharing import thd_borrowings
from glance.db.tables import image_locations, image_properties, image_tags
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict, InvalidStatus, NotFound
from glance.domain.image import Location
from tests.services.catalogue.support import Catalogue, PumpedReactor


def run(catalogue: Catalogue, statement: Any) -> None:
    catalogue.run(lambda connection: connection.execute(statement) and None)


def doomed(
    catalogue: Catalogue, image_id: str, *urls: str, age: float | None = 60.0, **fields: Any
) -> str:
    """Delete an image, leaving its data."""
    image = catalogue.add(id=image_id, status="active", size=7, **fields)
    for url in urls:
        catalogue.run(images.thd_add_location, image_id, Location(url, {"store": "s"}))
    assert catalogue.run(images.thd_mark_deleted, catalogue.get(image.id), delayed=True)
    if age is not None:
        at = (utcnow() - timedelta(seconds=age)).replace(microsecond=0)
        for table in (images.images, image_locations, image_properties, image_tags):
            key = table.c.id if table is images.images else table.c.image_id
            change = update(table).where(key == image_id, table.c.deleted.is_(True))
            run(catalogue, change.values(deleted_at=at))
    return image_id


def due(catalogue: Catalogue, after: Due | None = None, limit: int = 10, age: float = 0) -> Any:
    return catalogue.read(thd_due, utcnow() - timedelta(seconds=age), after, limit)


def claim(catalogue: Catalogue, *image_ids: str, worker: str = "w") -> Claims:
    claims: Claims = catalogue.run(pending.thd_claim, image_ids, "n", worker, {})
    return claims


def held(catalogue: Catalogue) -> list[str]:
    return sorted(lease.image_id for lease in catalogue.read(leases.thd_all))


def status(catalogue: Catalogue, image_id: str) -> str:
    return str(catalogue.rows_of(images.images, image_id)[0]["status"])


def outcome(claimed: Claim, *, whole: bool = True) -> Outcome:
    gone = tuple(place.id for place in claimed.locations if place.id is not None)
    return Outcome(claimed.image_id, claimed.lease, gone, whole)


def test_pages_oldest_first(catalogue: Catalogue) -> None:
    for image_id, age in (("c", 60), ("b", 60), ("a", 60), ("d", 7200), ("e", 10)):
        doomed(catalogue, image_id, age=age)
    catalogue.add(id="f", status="active")
    assert [found.id for found in due(catalogue)] == ["d", "a", "b", "c", "e"]
    assert [found.id for found in due(catalogue, age=30)] == ["d", "a", "b", "c"]
    after, found = None, []
    while page := due(catalogue, after, 2):
        found += [one.id for one in page]
        after = page[-1]
    assert found == ["d", "a", "b", "c", "e"]


def test_no_time_of_deletion_is_long_ago(catalogue: Catalogue) -> None:
    doomed(catalogue, "a", age=7200)
    doomed(catalogue, "b")
    nothing = update(images.images).where(images.images.c.id == "b").values(deleted_at=None)
    run(catalogue, nothing)
    assert [found.id for found in due(catalogue)] == ["b", "a"]
    first = due(catalogue, None, 1)[-1]
    assert [found.id for found in due(catalogue, first)] == ["a"]


def test_claimed_once_with_what_is_left(catalogue: Catalogue) -> None:
    doomed(catalogue, "a", "x:1", "x:2")
    doomed(catalogue, "b")
    doomed(catalogue, "c", "x:3")
    claims = claim(catalogue, "c", "a")
    assert claims.held == 0
    assert [one.image_id for one in claims.mine] == ["c", "a"]
    assert [place.url for place in claims.mine[1].locations] == ["x:1", "x:2"]
    assert claims.mine[1].locations[0].store_id == "s"
    assert claims.mine[1].size == 7
    assert held(catalogue) == ["a", "c"]
    again = claim(catalogue, "a", "b", "c", worker="other")
    assert ([one.image_id for one in again.mine], again.held) == (["b"], 2)
    (lease,) = (e for e in catalogue.read(leases.thd_all) if e.image_id == "b")
    assert (lease.kind, lease.node, lease.worker) == (leases.SCRUB, "n", "other")
    assert claim(catalogue) == Claims((), 0)


def borrowings(catalogue: Catalogue) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    last = 0
    while page := catalogue.read(thd_borrowings, last, 2):
        last = page[-1][0]
        for key, place in page:
            found.setdefault(place, []).append(key)
    return found


@pytest.mark.parametrize("key", [None, "0123456789abcdef"])
def test_data_that_live_images_have_too(catalogue: Catalogue, key: str | None) -> None:
    one, two, three, four = (str(UUID(int=n, version=4)) for n in range(1, 5))
    doomed(catalogue, one, f"file:///d/{one}", f"file:///e/{one}")
    doomed(catalogue, two, f"file:///d/{three}", f"file:///d/{two}", "http://host/x")
    # From here on: what is there stays in the clear.
    seal_with(catalogue.engine, key)
    catalogue._database._thd_forget()
    catalogue.add(id=three, status="active")
    catalogue.add(id=four, status="active")
    for image_id, url in ((three, f"file:///d/{three}"), (four, f"filesystem:///d//{one}")):
        catalogue.run(images.thd_add_location, image_id, Location(url, {}))
    for name in ("http://host/x", f"file:///d/{four}"):
        catalogue.run(images.thd_add_location, four, Location(name, {}))
    borrowed = borrowings(catalogue)
    places = {f"d/{three}", f"d/{one}"}
    assert {place for place in borrowed if place} == places
    mine = catalogue.run(pending.thd_claim, [one, two], "n", "w", borrowed).mine
    shared = [
        [place.url for place in claimed.locations if place.id in claimed.shared] for claimed in mine
    ]
    assert shared == [[f"file:///d/{one}"], [f"file:///d/{three}"]]


def test_newest_locations_of_images_in_use(catalogue: Catalogue) -> None:
    for image_id, state in (("a", "active"), ("b", "deactivated"), ("c", "queued")):
        catalogue.add(id=image_id, status=state)
        catalogue.run(images.thd_add_location, image_id, Location(f"x:{image_id}", {"store": "s"}))
    doomed(catalogue, "d", "x:d")
    newest = catalogue.read(thd_newest, 5)
    assert [(place.url, place.store_id) for place in newest] == [("x:b", "s"), ("x:a", "s")]
    assert [place.url for place in catalogue.read(thd_newest, 1)] == ["x:b"]


def test_what_is_not_pending_is_not_claimed(catalogue: Catalogue) -> None:
    catalogue.add(id="a", status="active")
    assert claim(catalogue, "a", "nosuch") == Claims((), 0)
    assert held(catalogue) == []


def test_settling(catalogue: Catalogue) -> None:
    for image_id in ("a", "b", "c"):
        doomed(catalogue, image_id, f"x:{image_id}1", f"x:{image_id}2")
    run(catalogue, image_tombstones.delete().where(image_tombstones.c.id == "a"))
    a, b, c = claim(catalogue, "a", "b", "c").mine
    assert b.locations[0].id is not None
    part = Outcome("b", b.lease, (b.locations[0].id,), False)
    nothing = Outcome("c", c.lease, (), False)
    assert catalogue.run(pending.thd_settle, [outcome(a), part, nothing]) == {"a"}
    assert [status(catalogue, one) for one in "abc"] == ["deleted"] + ["pending_delete"] * 2
    rows = catalogue.rows_of(image_locations, "b")
    assert [row["status"] for row in rows] == ["deleted", "pending_delete"]
    # When it was deleted stays as it is; purging goes by that.
    assert rows[0]["deleted_at"] == rows[1]["deleted_at"]
    assert held(catalogue) == []
    assert {"id": "a"} in catalogue.rows(select(image_tombstones))
    (row,) = catalogue.rows_of(images.images, "a")
    assert row["deleted_at"] < row["updated_at"]
    # What is left can be claimed again.
    assert [len(one.locations) for one in claim(catalogue, "b", "c").mine] == [1, 2]


def test_settling_what_somebody_else_has_finished(catalogue: Catalogue) -> None:
    doomed(catalogue, "a", "x:1")
    (one,) = claim(catalogue, "a").mine
    catalogue.run(leases.thd_end, one.lease)
    (two,) = claim(catalogue, "a", worker="other").mine
    assert catalogue.run(pending.thd_settle, [outcome(two)]) == {"a"}
    assert catalogue.run(pending.thd_settle, [outcome(one)]) == set()
    assert status(catalogue, "a") == "deleted"


def begin(catalogue: Catalogue, image_id: str) -> Any:
    return catalogue.run(restoring.thd_begin, image_id, "n", "restorer")


def test_restoring(catalogue: Catalogue) -> None:
    doomed(catalogue, "a", "x:1", tags=["Tag", "tag "], properties={"p": "v", "os_glance_x": "y"})
    begun = begin(catalogue, "a")
    assert isinstance(begun, Begun)
    assert claim(catalogue, "a").held == 1
    catalogue.run(restoring.thd_finish, begun, begun.locations)
    image = catalogue.get("a")
    assert (image.status, image.properties) == ("active", {"p": "v"})
    assert sorted(image.tags) == ["Tag", "tag "]
    assert [(place.url, place.status) for place in image.locations] == [("x:1", "active")]
    assert held(catalogue) == []
    with pytest.raises(InvalidStatus):
        begin(catalogue, "a")
    with pytest.raises(NotFound):
        begin(catalogue, "nosuch")


def test_restoring_against_a_claim(catalogue: Catalogue) -> None:
    doomed(catalogue, "a", "x:1")
    (one,) = claim(catalogue, "a").mine
    found = begin(catalogue, "a")
    assert (found.id, found.kind) == (one.lease, leases.SCRUB)
    catalogue.run(pending.thd_release, [one.lease])
    begun = begin(catalogue, "a")
    catalogue.run(leases.thd_end, begun.lease)
    with pytest.raises(Conflict):
        catalogue.run(restoring.thd_finish, begun, begun.locations)
    assert status(catalogue, "a") == "pending_delete"


@pytest.fixture
def crowd(catalogue_url: str, catalogue: Catalogue) -> Iterator[tuple[Any, list[Database]]]:
    """Several processes' databases, turned by one reactor."""
    reactor = PumpedReactor()
    databases = [
        Database(make_engine(catalogue_url, sqlite_synchronous=False), reactor, threads=4)
        for _ in range(4)
    ]
    for database in databases:
        database.start()
    yield reactor, databases
    reactor.results([database.stop() for database in databases])


def test_claims_of_many_at_once(catalogue: Catalogue, crowd: Any) -> None:
    reactor, databases = crowd
    ids = [doomed(catalogue, f"image-{n:02}", "x:1") for n in range(40)]
    orders = [ids, list(reversed(ids)), ids[20:] + ids[:20], ids[::2] + ids[1::2]]
    answers = reactor.results(
        database.runInteraction(pending.thd_claim, order[start : start + 10], "n", f"w{n}", {})
        for start in range(0, 40, 10)
        for n, (database, order) in enumerate(zip(databases, orders, strict=True))
    )
    mine = [one.image_id for claims in answers for one in claims.mine]
    assert sorted(mine) == ids
    assert sum(claims.held for claims in answers) == 3 * 40
    settled = reactor.results(
        databases[n % 4].runInteraction(pending.thd_settle, [outcome(one) for one in claims.mine])
        for n, claims in enumerate(answers)
    )
    assert sorted(name for names in settled for name in names) == ids
    assert catalogue.rows(select(transfer_leases.c.id)) == []


def test_claims_against_restorations(catalogue: Catalogue, crowd: Any) -> None:
    reactor, (one, two, three, _) = crowd
    ids = [doomed(catalogue, f"image-{n:02}", "x:1") for n in range(20)]

    def thd_restore(connection: Any, image_id: str) -> bool:
        begun = restoring.thd_begin(connection, image_id, "n", "restorer")
        if not isinstance(begun, Begun):
            return False
        restoring.thd_finish(connection, begun, begun.locations)
        return True

    answers = reactor.results(
        [
            one.runInteraction(pending.thd_claim, ids[:10], "n", "w1", {}),
            *[two.runInteraction(thd_restore, image_id) for image_id in ids],
            one.runInteraction(pending.thd_claim, ids[10:], "n", "w1", {}),
            three.runInteraction(pending.thd_claim, ids, "n", "w3", {}),
        ]
    )
    claims = [found for found in answers if isinstance(found, Claims)]
    claimed = {found.image_id for part in claims for found in part.mine}
    assert len(claims) == 3
    for image_id, restored in zip(ids, answers[1:21], strict=True):
        assert (image_id in claimed) is not (restored is True), (image_id, restored)
        assert status(catalogue, image_id) == ("active" if restored is True else "pending_delete")
    assert held(catalogue) == sorted(claimed)
