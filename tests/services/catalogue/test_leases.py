"""Leases: one at a time for an image, kept by beating, taken over when they no longer beat."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, update

from glance.db import images, leases
from glance.db.columns import utcnow
from glance.db.leases import Lease
from glance.db.own_tables import transfer_leases
from tests.services.catalogue.support import Catalogue


def take(
    catalogue: Catalogue, image_id: str = "i", node: str = "n", worker: str = "w"
) -> str | None:
    taken: str | None = catalogue.run(
        leases.thd_take, image_id, leases.UPLOAD, node, worker, "store"
    )
    return taken


def age(catalogue: Catalogue, seconds: float) -> None:
    """Make every lease have beaten so long ago."""
    then = utcnow() - timedelta(seconds=seconds)
    catalogue.run(lambda c: c.execute(update(transfer_leases).values(heartbeat_at=then)) and None)


def everything(catalogue: Catalogue) -> list[Lease]:
    return sorted(catalogue.read(leases.thd_all), key=lambda lease: lease.image_id)


def test_taken_once_and_ended_once(catalogue: Catalogue) -> None:
    before = utcnow().replace(microsecond=0)
    taken = take(catalogue)
    assert taken is not None
    assert take(catalogue) is None
    assert take(catalogue, "other") is not None
    lease = everything(catalogue)[0]
    assert lease == Lease(taken, "i", "upload", "n", "w", "store", lease.heartbeat_at)
    assert before <= lease.heartbeat_at <= utcnow()
    assert catalogue.run(leases.thd_end, taken)
    assert not catalogue.run(leases.thd_end, taken)
    assert not catalogue.run(leases.thd_end, "unknown")
    assert take(catalogue) is not None


def test_who_does_not_get_the_lease_can_go_on_in_its_transaction(catalogue: Catalogue) -> None:
    image = catalogue.add()
    take(catalogue, image.id)

    def thd_try(connection: Connection) -> bool:
        images.thd_add_tag(connection, image.id, "before")
        refused = leases.thd_take(connection, image.id, leases.REMOVAL, "n", "w")
        images.thd_add_tag(connection, image.id, "after")
        return refused is None

    assert catalogue.run(thd_try)
    assert sorted(catalogue.get(image.id).tags) == ["after", "before"]


def test_a_lease_is_not_kept_when_its_transaction_fails(catalogue: Catalogue) -> None:
    def thd_fail(connection: Connection) -> None:
        assert leases.thd_take(connection, "i", leases.UPLOAD, "n", "w") is not None
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        catalogue.run(thd_fail)
    assert everything(catalogue) == []


def test_beating_keeps_and_tells_what_is_lost(catalogue: Catalogue) -> None:
    first, second = take(catalogue, "1"), take(catalogue, "2")
    age(catalogue, 100)
    assert catalogue.run(
        leases.thd_beat, {first: (leases.UPLOAD, 2**62), "gone": (leases.UPLOAD, 5)}
    ) == {"gone"}
    # Twice within the clock's precision is still two beats.
    assert catalogue.run(leases.thd_beat, {first: (leases.UPLOAD, 2**62)}) == set()
    assert catalogue.run(leases.thd_beat, {}) == set()
    beaten, still = everything(catalogue)
    assert (beaten.id, still.id) == (first, second)
    assert beaten.heartbeat_at - still.heartbeat_at > timedelta(seconds=90)
    done = catalogue.rows(select(transfer_leases.c.id, transfer_leases.c.bytes_done))
    assert {row["id"]: row["bytes_done"] for row in done} == {first: 2**62, second: 0}


def test_taking_over_what_no_longer_beats(catalogue: Catalogue) -> None:
    beating, dead = take(catalogue, "1"), take(catalogue, "2")
    age(catalogue, 100)
    listed = everything(catalogue)
    assert {lease.id for lease in listed} == {beating, dead}
    catalogue.run(leases.thd_beat, {beating: (leases.UPLOAD, 1)})
    ended = catalogue.run(leases.thd_end_unrenewed, listed)
    assert [lease.id for lease in ended] == [dead]
    assert catalogue.run(leases.thd_end_unrenewed, listed) == []
    assert take(catalogue, "2", worker="successor") is not None
    assert catalogue.run(leases.thd_beat, {dead: (leases.UPLOAD, 1)}) == {dead}
