"""What an owner's images take: counted as the OpenStack service counts, and never taken twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, func, select
from twisted.internet.defer import Deferred

from glance.db import images, leases, quotas
from glance.db.own_tables import quota_owners
from glance.db.tables import image_locations, image_properties
from glance.domain.errors import Duplicate, LimitExceeded
from glance.domain.image import STATUSES, Image, Location
from glance.domain.quotas import NO_LIMITS, OtherOwner, OwnerLimits, Room, Usage
from glance.domain.viewer import Viewer
from tests.services.catalogue.support import ADMIN, Catalogue
from tests.services.catalogue.test_concurrency import WRITERS, Crowd

P = Viewer("p")
MINE: dict[str, Any] = {"owner": "p", "disk_format": "raw", "container_format": "bare"}


def bytes_limit(most: int) -> OwnerLimits:
    return OwnerLimits("p", size_total=most)


def add_active(catalogue: Catalogue, size: int, locations: int = 1, **fields: Any) -> Image:
    image = catalogue.add(**{**MINE, "status": "active", "size": size, **fields})
    for n in range(locations):
        catalogue.run(images.thd_add_location, image.id, Location(f"file:///{image.id}/{n}"))
    return image


def usage(catalogue: Catalogue, owner: str | None = "p") -> Usage:
    found: Usage = catalogue.read(quotas.thd_usage, owner)
    return found


class TestCounting:
    def test_nothing(self, catalogue: Catalogue) -> None:
        assert usage(catalogue) == usage(catalogue, None) == Usage()

    def test_bytes_count_once_for_each_location(self, catalogue: Catalogue) -> None:
        add_active(catalogue, 5)
        add_active(catalogue, 10, locations=3)
        add_active(catalogue, 100, locations=0)
        add_active(catalogue, 0)
        assert usage(catalogue).size_total == 35

    def test_numbers_beyond_32_bits(self, catalogue: Catalogue) -> None:
        add_active(catalogue, 2**60, locations=3)
        assert usage(catalogue).size_total == 3 * 2**60

    def test_locations_that_are_deleted_do_not_count(self, catalogue: Catalogue) -> None:
        image = add_active(catalogue, 10)
        for status, deleted in (
            ("deleted", True), ("pending_delete", True), ("uploading", False),
        ):  # fmt: skip
            catalogue.add_rows(
                image_locations,
                [{"image_id": image.id, "value": "file:///x", "meta_data": {}, "status": status,
                  "deleted": deleted}],
            )  # fmt: skip
        assert usage(catalogue).size_total == 30

    @pytest.mark.parametrize("status", STATUSES)
    def test_what_each_status_counts_for(self, catalogue: Catalogue, status: str) -> None:
        add_active(catalogue, 10, status=status)
        gone = status in ("killed", "deleted", "pending_delete")
        moving = status in ("uploading", "importing")
        assert usage(catalogue) == Usage(
            0 if gone else 10,
            10 if moving else 0,
            0 if gone else 1,
            1 if moving or status == "saving" else 0,
        )

    @pytest.mark.parametrize("delayed", [False, True])
    def test_deleted_images_do_not_count(self, catalogue: Catalogue, delayed: bool) -> None:
        image = add_active(catalogue, 10)
        assert catalogue.run(images.thd_mark_deleted, image, delayed=delayed)
        assert usage(catalogue) == Usage()

    def test_copies_under_way_are_staged(self, catalogue: Catalogue) -> None:
        def add(value: str | None, name: str = "os_glance_importing_to_stores") -> Image:
            return add_active(catalogue, 10, properties={name: value})

        add("fast")
        for value in ("", None):
            add(value)
        add("fast", "other")
        assert usage(catalogue) == Usage(40, 10, 4, 1)
        image = add("fast")
        assert usage(catalogue) == Usage(50, 20, 5, 2)
        row = {"image_id": image.id, "name": "os_glance_importing_to_stores", "value": "x"}
        image = add_active(catalogue, 10)
        catalogue.add_rows(image_properties, [{**row, "image_id": image.id, "deleted": True}])
        assert usage(catalogue) == Usage(60, 20, 6, 2)
        # What is moving anyway counts once.
        add_active(catalogue, 10, status="importing", properties={row["name"]: "a,b"})
        assert usage(catalogue) == Usage(70, 30, 7, 3)

    def test_owners_are_apart(self, catalogue: Catalogue) -> None:
        add_active(catalogue, 1)
        add_active(catalogue, 2, owner="q", status="importing")
        add_active(catalogue, 4, owner=None)
        add_active(catalogue, 8, owner="")
        sizes = [usage(catalogue, owner).size_total for owner in ("p", "q", None, "", "r")]
        assert sizes == [1, 2, 4, 8, 0]
        assert usage(catalogue) == Usage(1, 0, 1, 0)

    def test_reservations_of_uploads_count(self, catalogue: Catalogue) -> None:
        mine, others = catalogue.add(**MINE, status="saving"), catalogue.add(owner="q")
        for image in (mine, others):
            taken = catalogue.run(
                leases.thd_take, image.id, leases.UPLOAD, "n", "w", bytes_reserved=7
            )
        add_active(catalogue, 10)
        assert usage(catalogue).size_total == 17
        assert usage(catalogue, "q").size_total == 7
        catalogue.run(leases.thd_end, taken)
        assert usage(catalogue, "q").size_total == 0
        # Of an image that is deleted meanwhile nothing stays.
        assert catalogue.run(images.thd_mark_deleted, mine, delayed=False)
        catalogue.run(leases.thd_turn_to_removal, mine.id)
        assert usage(catalogue).size_total == 10

    def test_a_lease_that_is_taken_over_reserves_nothing(self, catalogue: Catalogue) -> None:
        image = catalogue.add(**MINE, status="saving")
        taken = catalogue.run(leases.thd_take, image.id, "upload", "n", "w", bytes_reserved=7)
        (lease,) = catalogue.read(leases.thd_all)
        assert lease.id == taken
        assert catalogue.run(leases.thd_end_unrenewed, [lease])
        catalogue.run(leases.thd_take, image.id, "upload", "n", "other")
        assert usage(catalogue).size_total == 0


class TestChecking:
    """One transaction each; what several at once do is below."""

    def check_upload(
        self, catalogue: Catalogue, image: Image, limits: OwnerLimits, size: int | None,
        viewer: Viewer = P,
    ) -> Room | None:  # fmt: skip
        room: Room | None = catalogue.run(quotas.thd_check_upload, image, limits, size, viewer)
        return room

    def test_known_size(self, catalogue: Catalogue) -> None:
        add_active(catalogue, 6)
        image = catalogue.add(**MINE)
        for size in (0, 3, 4):
            assert self.check_upload(catalogue, image, bytes_limit(10), size) is None
        with pytest.raises(LimitExceeded, match="10 bytes of image data; 6 are taken, so 4 "):
            self.check_upload(catalogue, image, bytes_limit(10), 5)

    def test_unknown_size(self, catalogue: Catalogue) -> None:
        add_active(catalogue, 6)
        image = catalogue.add(**MINE)
        room = self.check_upload(catalogue, image, bytes_limit(10), None)
        assert room == Room("bytes of image data", 10, 6)
        for limit in (6, 5):
            with pytest.raises(LimitExceeded):
                self.check_upload(catalogue, image, bytes_limit(limit), None)

    def test_no_limit(self, catalogue: Catalogue) -> None:
        image = catalogue.add(**MINE)
        for size in (None, 2**62):
            for limits in (NO_LIMITS, OwnerLimits("p", count_total=0)):
                assert self.check_upload(catalogue, image, limits, size) is None
        assert catalogue.rows(select(quota_owners)) == []

    def test_uploads_at_once(self, catalogue: Catalogue) -> None:
        catalogue.add(**MINE, status="saving")
        image = catalogue.add(**MINE)
        self.check_upload(catalogue, image, OwnerLimits("p", count_uploading=2), None)
        with pytest.raises(LimitExceeded, match="1 uploads and imports"):
            self.check_upload(catalogue, image, OwnerLimits("p", count_uploading=1), None)

    def test_more(self, catalogue: Catalogue) -> None:
        image = add_active(catalogue, 6)
        catalogue.run(quotas.thd_check_more, image, NO_LIMITS, 2**62, P)
        catalogue.run(quotas.thd_check_more, image, bytes_limit(12), 6, P)
        with pytest.raises(LimitExceeded):
            catalogue.run(quotas.thd_check_more, image, bytes_limit(11), 6, P)

    def test_images(self, catalogue: Catalogue) -> None:
        def create(limits: OwnerLimits) -> None:
            def thd_create(connection: Connection) -> None:
                image = images.thd_insert(connection, Image(str(uuid4()), owner="p"))
                quotas.thd_check_create(connection, image, limits)

            catalogue.run(thd_create)

        create(OwnerLimits("p", count_total=1))
        with pytest.raises(LimitExceeded, match="1 images; 1 are taken"):
            create(OwnerLimits("p", count_total=1))
        assert usage(catalogue).count_total == 1
        create(OwnerLimits("p"))
        create(OwnerLimits("p", count_total=3))

    def test_limits_of_another_owner(self, catalogue: Catalogue) -> None:
        image = catalogue.add(**{**MINE, "owner": None})
        limits = bytes_limit(1)
        for check in (
            (quotas.thd_check_upload, image, limits, 2, P),
            (quotas.thd_check_more, image, limits, 2, P),
            (quotas.thd_check_create, image, limits),
        ):
            with pytest.raises(OtherOwner):
                catalogue.run(*check)

    @pytest.mark.parametrize("viewer", [P, ADMIN, Viewer("q"), Viewer()])
    def test_who_is_told_the_numbers(self, catalogue: Catalogue, viewer: Viewer) -> None:
        told = viewer in (P, ADMIN)
        image = catalogue.add(**MINE)
        for check in (
            (quotas.thd_check_upload, image, bytes_limit(17), 18, viewer),
            (quotas.thd_check_upload, image, OwnerLimits("p", count_uploading=0), 1, viewer),
            (quotas.thd_check_more, image, bytes_limit(17), 18, viewer),
        ):
            with pytest.raises(LimitExceeded) as refusal:
                catalogue.run(*check)
            assert any(character.isdigit() for character in str(refusal.value)) is told
        room = self.check_upload(catalogue, image, bytes_limit(17), None, viewer)
        assert room is not None
        assert room.told is told


class TestIdentifiers:
    def test_a_chosen_one_is_not_used_again_after_a_purge(self, catalogue: Catalogue) -> None:
        image = catalogue.add(**MINE)
        assert catalogue.run(images.thd_mark_deleted, image, delayed=False)
        catalogue.run(lambda c: c.execute(images.images.delete()) and None)
        with pytest.raises(Duplicate, match=image.id):
            catalogue.run(images.thd_insert, Image(image.id), chosen=True)
        catalogue.run(images.thd_insert, Image(str(uuid4())), chosen=True)

    def test_deletion_of_what_was_restored(self, catalogue: Catalogue) -> None:
        image = catalogue.add(**MINE)
        for _ in range(2):
            assert catalogue.run(images.thd_mark_deleted, image, delayed=True)
            values = {"status": "queued", "deleted": False, "deleted_at": None}
            catalogue.run(lambda c, v=values: c.execute(images.images.update().values(v)) and None)
        assert catalogue.get(image.id).id == image.id

    def test_a_deletion_that_is_rolled_back_leaves_none(self, catalogue: Catalogue) -> None:
        image = catalogue.add(**MINE)

        def thd_fail(connection: Connection) -> None:
            assert images.thd_mark_deleted(connection, image, delayed=False)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            catalogue.run(thd_fail)
        catalogue.run(lambda c: c.execute(images.images.delete()) and None)
        catalogue.run(images.thd_insert, Image(image.id), chosen=True)


@pytest.fixture
def crowd(catalogue: Catalogue, catalogue_url: str) -> Iterator[Crowd]:
    crowd = Crowd(catalogue_url)
    yield crowd
    crowd.stop()


def _thd_begin(connection: Connection, image_id: str, limits: OwnerLimits, size: int | None) -> str:
    image = images.thd_get(connection, image_id, ADMIN, lock=True)
    quotas.thd_check_upload(connection, image, limits, size, ADMIN)
    lease = leases.thd_take(connection, image_id, "upload", "n", "w", bytes_reserved=size or 0)
    assert lease is not None
    assert images.thd_set_status(connection, image_id, "queued", "saving")
    return lease


def _thd_finish(
    connection: Connection, image_id: str, limits: OwnerLimits, size: int, lease: str, known: bool
) -> bool:
    assert images.thd_set_status(connection, image_id, "saving", "active", {"size": size})
    if not known:
        image = images.thd_get(connection, image_id, ADMIN)
        quotas.thd_check_more(connection, image, limits, size, ADMIN)
    assert leases.thd_end(connection, lease, "upload")
    images.thd_add_location(connection, image_id, Location("file:///x"))
    return True


def _active(catalogue: Catalogue) -> int:
    i = images.images.c
    (row,) = catalogue.rows(select(func.count().label("n")).where(i.status == "active"))
    return int(row["n"])


@pytest.mark.parametrize("known", ["known", "unknown", "mixed"])
def test_one_too_many(crowd: Crowd, catalogue: Catalogue, known: str) -> None:
    """Of N uploads into room for N-1, one is refused, wherever it is found out."""
    size, limits = 10, bytes_limit(10 * (WRITERS - 1) + 9)
    for _ in range(3):
        catalogue.empty()
        sizes = {
            catalogue.add(**MINE).id: size if known == "known" or (known == "mixed" and n % 2)
            else None
            for n in range(WRITERS)
        }  # fmt: skip
        run = crowd.database.runInteraction

        def upload(image_id: str, declared: int | None, run: Any = run) -> Deferred[Any]:
            begun = run(_thd_begin, image_id, limits, declared)
            return begun.addCallback(  # type: ignore[no-any-return]
                lambda lease: run(_thd_finish, image_id, limits, size, lease, declared is not None)
            )

        outcomes = crowd.reactor.results([upload(*one) for one in sizes.items()])
        assert outcomes.count(True) == WRITERS - 1
        assert sum(isinstance(outcome, LimitExceeded) for outcome in outcomes) == 1
        assert _active(catalogue) == WRITERS - 1
        assert usage(catalogue).size_total == size * (WRITERS - 1)


def test_no_more_uploads_at_once_than_may_be(crowd: Crowd, catalogue: Catalogue) -> None:
    limits = OwnerLimits("p", count_uploading=3)
    begun = [(catalogue.add(**MINE).id, limits, None) for _ in range(WRITERS)]
    outcomes = crowd.results(_thd_begin, *begun)
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, LimitExceeded) for outcome in outcomes) == WRITERS - 3
    assert usage(catalogue).count_uploading == 3


def test_no_more_images_than_may_be(crowd: Crowd, catalogue: Catalogue) -> None:
    limits = OwnerLimits("p", count_total=WRITERS - 1)

    def thd_create(connection: Connection, image_id: str) -> str:
        image = images.thd_insert(connection, Image(image_id, owner="p", tags=["t"]))
        quotas.thd_check_create(connection, image, limits)
        return image_id

    outcomes = crowd.results(thd_create, *[(str(uuid4()),) for _ in range(WRITERS)])
    assert sum(isinstance(outcome, str) for outcome in outcomes) == WRITERS - 1
    assert sum(isinstance(outcome, LimitExceeded) for outcome in outcomes) == 1
    assert usage(catalogue).count_total == WRITERS - 1


def test_many_owners_at_once(crowd: Crowd, catalogue: Catalogue) -> None:
    """Owners whose rows are made at the same moment, by several transactions each."""

    def thd_lock(connection: Connection, owner: str) -> None:
        quotas.thd_lock_owner(connection, owner)

    for turn in range(3):
        owners = [(f"owner {turn} {n % 4}",) for n in range(WRITERS * 2)]
        assert crowd.results(thd_lock, *owners) == [None] * len(owners)
    made = catalogue.rows(select(quota_owners))
    if catalogue.kind == "sqlite":
        assert made == []
    else:
        assert sorted(row["turns"] for row in made) == [8] * 12


def test_a_lock_is_held_until_the_transaction_ends(server_catalogue: Catalogue) -> None:
    catalogue = server_catalogue
    catalogue.run(quotas.thd_lock_owner, "p")

    def thd_try(connection: Connection) -> list[bool]:
        quotas.thd_lock_owner(connection, "p")
        free = []
        for owner in ("p", "q"):
            with catalogue.engine.connect() as second:
                second.exec_driver_sql("BEGIN")
                now = select(quota_owners.c.owner).where(quota_owners.c.owner == owner)
                try:
                    second.execute(now.with_for_update(nowait=True))
                    free.append(True)
                except Exception:
                    free.append(False)
        return free

    assert catalogue.run(thd_try) == [False, True]
