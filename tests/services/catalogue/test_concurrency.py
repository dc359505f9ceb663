"""Many threads and processes at work on one catalogue: no errors, nothing lost, one winner."""

from __future__ import annotations

import multiprocessing
import random
import threading
from dataclasses import replace
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from glance.db import images, leases
from glance.db.tables import (
    image_locations,
    image_properties,
    image_tags,
)
from glance.domain.errors import Conflict, Duplicate, NotFound
from glance.domain.image import Image, Location
from tests.services.catalogue.support import (
    ADMIN,
    PATIENCE,
    WRITERS,
    Catalogue,
    Crowd,
)


def test_one_of_two_moves_wins(crowd: Crowd, catalogue: Catalogue) -> None:
    barrier = threading.Barrier(2)

    def thd_move(connection: Connection, image_id: str, target: str) -> bool:
        if catalogue.kind != "sqlite":
            # On SQLite transactions follow one another.
            barrier.wait(PATIENCE)
        return images.thd_set_status(connection, image_id, "queued", target)

    for _ in range(10):
        image_id = catalogue.add().id
        outcomes = crowd.results(thd_move, (image_id, "saving"), (image_id, "uploading"))
        assert sorted(outcomes) == [False, True]
        winner = ("saving", "uploading")[outcomes.index(True)]
        assert catalogue.get(image_id).status == winner


def test_one_of_many_creations_of_an_id_wins(crowd: Crowd, catalogue: Catalogue) -> None:
    for _ in range(5):
        image_id = str(uuid4())
        made = [
            (Image(image_id, name=f"n{n}", properties={f"p{n}": "v"}, tags=[f"t{n}"]),)
            for n in range(WRITERS)
        ]
        outcomes = crowd.results(images.thd_insert, *made)
        assert sum(isinstance(outcome, Image) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Duplicate) for outcome in outcomes) == WRITERS - 1
        image = catalogue.get(image_id)
        assert (image.tags, image.properties) == (
            [f"t{(image.name or '')[1:]}"], {f"p{(image.name or '')[1:]}": "v"},
        )  # fmt: skip


def _thd_change(connection: Connection, image_id: str, worker: int, turn: int) -> None:
    """Change an image the way a PATCH does."""
    before = images.thd_get(connection, image_id, ADMIN, lock=True)
    count = int(before.properties["count"] or 0)
    mine = {"count": str(count + 1), f"of{worker}": str(turn)}
    after = replace(
        before,
        min_ram=before.min_ram + 1,
        properties={**before.properties, **mine},
        tags=[*before.tags, f"t{worker}-{turn}"],
    )
    images.thd_update(connection, before, after)


def test_no_change_under_the_lock_is_lost(crowd: Crowd, catalogue: Catalogue) -> None:
    image = catalogue.add(properties={"count": "0"})
    workers, turns = 8, 12
    changes = [(image.id, worker, turn) for turn in range(turns) for worker in range(workers)]
    outcomes = crowd.results(_thd_change, *changes)
    assert outcomes == [None] * len(changes)
    found = catalogue.get(image.id)
    assert found.min_ram == workers * turns
    assert found.properties["count"] == str(workers * turns)
    assert set(found.properties) == {"count", *(f"of{worker}" for worker in range(workers))}
    assert sorted(found.tags) == sorted(f"t{worker}-{turn}" for _, worker, turn in changes)
    count = select(func.count()).select_from(image_tags)
    assert catalogue.rows(count) == [{"count_1": workers * turns}]


def test_a_change_waits_for_the_lock_and_sees_what_was_done_under_it(
    crowd: Crowd, catalogue: Catalogue
) -> None:
    image = catalogue.add(properties={"count": "0"})
    locked = threading.Event()

    def thd_first(connection: Connection, _: str) -> None:
        _thd_change(connection, image.id, 1, 1)
        locked.set()
        if catalogue.kind != "sqlite":
            # Until the other waits for the lock: the database says so.
            waiting.wait(PATIENCE)

    def thd_second(connection: Connection, _: str) -> dict[str, Any]:
        assert locked.wait(PATIENCE)
        waiting.set_soon()
        return images.thd_get(connection, image.id, ADMIN, lock=True).properties

    class Waiting(threading.Event):
        def set_soon(self) -> None:
            threading.Thread(target=self._watch, daemon=True).start()

        def _watch(self) -> None:
            while not self.is_set():
                if _someone_waits(catalogue):
                    self.set()

    waiting = Waiting()

    def thd_both(connection: Connection, role: str) -> Any:
        return thd_first(connection, role) if role == "first" else thd_second(connection, role)

    _, seen = crowd.results(thd_both, ("first",), ("second",))
    assert seen == {"count": "1", "of1": "1"}


def _someone_waits(catalogue: Catalogue) -> bool:
    query = {
        "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
        "sqlite": "SELECT 1",
    }[catalogue.kind]
    with catalogue.engine.connect() as connection:
        return bool(connection.execute(text(query)).scalar())


def test_what_is_locked_cannot_be_changed_by_others(catalogue: Catalogue) -> None:
    image, other = catalogue.add(), catalogue.add()

    def thd_try(connection: Connection, image_id: str) -> bool:
        """Say whether another connection gets the image's lock without waiting."""
        with catalogue.engine.connect() as second:
            if catalogue.kind == "sqlite":
                second.exec_driver_sql("PRAGMA busy_timeout = 0")
                take = "BEGIN IMMEDIATE"
            else:
                take = f"SELECT id FROM images WHERE id = '{image_id}' FOR UPDATE NOWAIT"
            try:
                second.exec_driver_sql(take)
            except DBAPIError:
                return False
            return True

    def thd_look(connection: Connection, lock: bool) -> tuple[bool, bool]:
        images.thd_get(connection, image.id, ADMIN, lock=lock)
        return thd_try(connection, image.id), thd_try(connection, other.id)

    # SQLite knows one lock, which every transaction holds from its beginning.
    whole = catalogue.kind == "sqlite"
    assert catalogue.run(thd_look, True) == (False, not whole)
    assert catalogue.run(thd_look, False) == (not whole, not whole)
    assert catalogue.read(thd_look, False) == (True, True)


def _thd_work(connection: Connection, worker: int, turn: int, kept: bool) -> str:
    """Live the life of an image in one transaction, or leave it behind."""
    image = Image(str(uuid4()), name=f"w{worker}-{turn}", properties={"p": "v"}, tags=["t", "u"])
    images.thd_insert(connection, image)
    images.thd_add_location(connection, image.id, Location(f"file:///{image.id}"))
    before = images.thd_get(connection, image.id, ADMIN, lock=True)
    after = replace(before, properties={"q": "w"}, tags=["u", "w"], min_disk=turn)
    images.thd_update(connection, before, after)
    if not kept:
        now = images.thd_get(connection, image.id, ADMIN)
        assert images.thd_mark_deleted(connection, now, delayed=False)
    return image.id


def _thd_meddle(connection: Connection, image_id: str, how: str) -> None:
    """Do what requests of many callers do to one image."""
    image = images.thd_get(connection, image_id, ADMIN, lock=how != "delete")
    if how == "delete":
        if not images.thd_mark_deleted(connection, image, delayed=False):
            raise Conflict("moved")
    elif how == "tag":
        images.thd_add_tag(connection, image_id, f"tag{random.random()}")
    elif how == "move":
        images.thd_set_status(connection, image_id, image.status, "active")
    else:
        _thd_change(connection, image_id, 1, 1)


def check_consistency(catalogue: Catalogue) -> None:
    """No part of a deleted image stands, and each went with its image or before."""
    for table in (image_properties, image_tags, image_locations):
        left = catalogue.rows(
            select(table.c.id)
            .join(images.images, images.images.c.id == table.c.image_id)
            .where(images.images.c.deleted, ~table.c.deleted)
        )
        assert left == []
        half = select(table.c.id).where(table.c.deleted != table.c.deleted_at.is_not(None))
        assert catalogue.rows(half) == []
    image = images.images.c
    marked = select(image.id).where(image.deleted != (image.status == "deleted"))
    assert catalogue.rows(marked) == []


def test_many_writers(crowd: Crowd, catalogue: Catalogue) -> None:
    work = [(worker, turn, turn % 2 == 0) for turn in range(6) for worker in range(WRITERS)]
    outcomes = crowd.results(_thd_work, *work)
    assert [o for o in outcomes if not isinstance(o, str)] == []
    kept = [o for o, (_, _, stays) in zip(outcomes, work, strict=True) if stays]
    left = catalogue.rows(select(images.images.c.id).where(~images.images.c.deleted))
    assert sorted(row["id"] for row in left) == sorted(kept)
    for image_id in kept[:10]:
        image = catalogue.get(image_id)
        assert (image.properties, sorted(image.tags)) == ({"q": "w"}, ["u", "w"])
        assert [location.url for location in image.locations] == [f"file:///{image_id}"]
    check_consistency(catalogue)


def test_meddling_with_the_same_images(crowd: Crowd, catalogue: Catalogue) -> None:
    ids = [catalogue.add(properties={"count": "0"}).id for _ in range(4)]
    ways = [*["change", "tag", "move"] * 5, "delete"]
    meddling = [(image_id, how) for how in ways for image_id in ids * 2]
    outcomes = crowd.results(_thd_meddle, *meddling)
    # Who comes too late is told so; nothing else goes wrong.
    strange = [o for o in outcomes if o is not None and not isinstance(o, NotFound | Conflict)]
    assert strange == []
    for image_id in ids:
        deleted = [
            outcome
            for outcome, (of, how) in zip(outcomes, meddling, strict=True)
            if of == image_id and how == "delete"
        ]
        assert len(deleted) == 2
    check_consistency(catalogue)


def _process(url: str, worker: int, barrier: Any, results: Any) -> None:
    crowd = Crowd(url, threads=4)
    barrier.wait(PATIENCE)
    outcomes = crowd.results(_thd_work, *[(worker, turn, turn % 2 == 0) for turn in range(40)])
    crowd.stop()
    results.put([o if isinstance(o, str) else repr(o) for o in outcomes])


def test_two_processes_on_one_file(sqlite_catalogue: Catalogue, sqlite_catalogue_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_process, args=(sqlite_catalogue_url, n, barrier, results))
        for n in range(2)
    ]
    for process in processes:
        process.start()
    outcomes = [outcome for _ in processes for outcome in results.get(timeout=PATIENCE)]
    for process in processes:
        process.join()
    found = {row["id"] for row in sqlite_catalogue.rows(select(images.images.c.id))}
    assert found == set(outcomes)
    assert len(found) == 80
    check_consistency(sqlite_catalogue)


def test_one_of_many_takes_the_lease(crowd: Crowd, catalogue: Catalogue) -> None:
    for _ in range(5):
        image_id = str(uuid4())
        takers = [(image_id, leases.UPLOAD, "node", f"w{n}") for n in range(WRITERS)]
        outcomes = crowd.results(leases.thd_take, *takers)
        (taken,) = [outcome for outcome in outcomes if outcome is not None]
        assert catalogue.run(leases.thd_end, taken)


def test_one_of_many_ends_a_lease(crowd: Crowd, catalogue: Catalogue) -> None:
    for _ in range(5):
        taken = catalogue.run(leases.thd_take, str(uuid4()), leases.UPLOAD, "node", "w")
        (lease,) = catalogue.read(leases.thd_all)
        outcomes = crowd.results(leases.thd_end_unrenewed, *[([lease],)] * WRITERS)
        assert sorted(map(len, outcomes)) == [0] * (WRITERS - 1) + [1]
        assert not catalogue.run(leases.thd_end, taken)
