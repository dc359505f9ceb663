"""Purging on every database: what goes, what stays, and what goes on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from glance.cmd import manage_purge
from glance.db import leases, oneshot, purge, schema
from glance.db.columns import utcnow
from glance.db.engine import make_engine
from glance.db.exclusive import SchemaError
from glance.db.oneshot import Transactions
from glance.db.own_tables import image_tombstones
from glance.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)
from glance.domain.errors import Unavailable
from tests.services.managing import Run, configured, runner

CHILDREN = (image_properties, image_tags, image_locations, image_members)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    schema.thd_sync(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    database_url: str,
) -> Run:
    """Runs the program on the database."""
    return configured(runner(monkeypatch, capsys, tmp_path), tmp_path / "a.conf", database_url)


def marks(days: float | None) -> dict[str, Any]:
    """Return what marks a row as deleted so many days ago, or as not deleted."""
    if days is None:
        return {"deleted": False, "deleted_at": None}
    return {"deleted": True, "deleted_at": (utcnow() - timedelta(days=days)).replace(microsecond=0)}


def add(engine: Engine, table: Table, **values: Any) -> Any:
    """Add a row; return its key."""
    with engine.begin() as connection:
        return connection.execute(insert(table).values(**values)).inserted_primary_key[0]


def add_image(
    engine: Engine,
    name: str,
    days: float | None,
    *,
    status: str = "deleted",
    parts: float | None | str = "same",
) -> str:
    """Add an image with one of each part.

    :param days: since it was deleted.
    :param parts: days since they were.
    """
    add(engine, images, id=name, status=status, **marks(days))
    marked = marks(days) if parts == "same" else marks(parts)  # type: ignore[arg-type]
    location = {"pending_delete": "pending_delete"}.get(status, "deleted" if days else "active")
    for table, values in (
        (image_properties, {"name": "p", "value": "v"}),
        (image_tags, {"value": "t"}),
        (image_locations, {"value": f"file:///{name}", "status": location}),
        (image_members, {"member": "m"}),
    ):
        add(engine, table, image_id=name, **values, **marked)
    return name


def add_task(engine: Engine, name: str, days: float | None) -> None:
    add(engine, tasks, id=name, type="import", status="success", owner="o", **marks(days))
    add(engine, task_info, task_id=name, message="done")


def left(engine: Engine, table: Table) -> list[Any]:
    """Return the images, or the tasks, that a table still has rows of."""
    names = {"images": "id", "tasks": "id", "task_info": "task_id"}
    column = table.c[names.get(table.name, "image_id")]
    with engine.connect() as connection:
        return list(connection.scalars(select(column).order_by(column)))


def test_what_is_old_enough_goes(engine: Engine, run: Run) -> None:
    add_image(engine, "old", 31)
    add_image(engine, "recent", 29)
    add_image(engine, "present", None, status="active")
    add_task(engine, "old", 31)
    add_task(engine, "recent", 29)
    done = run("db", "purge")
    assert (done.code, done.err) == (0, [])
    assert done.out[0].startswith("Purged 6 rows that had been deleted before 2")
    # In the order in which they went.
    order = ["task_info", *(table.name for table in CHILDREN), "tasks"]
    assert done.out[1:] == [f"\t{name}: 1" for name in order]
    for table in CHILDREN:
        assert left(engine, table) == ["present", "recent"]
    for table in (tasks, task_info):
        assert left(engine, table) == ["recent"]
    assert left(engine, images) == ["old", "present", "recent"]
    (nothing,) = run("db_purge").out
    assert nothing.startswith("Purged 0 rows that")


def test_the_oldest_go_first_and_no_more_than_asked_for(engine: Engine, run: Run) -> None:
    for number in range(104):
        add(engine, images, id=f"{number:03}", status="deleted", **marks(200 + number))
        add(engine, image_tags, image_id=f"{number:03}", value="t", **marks(200 + number))
    done = run("db", "purge")
    assert done.out[1:] == [
        "\timage_tags: 100",
        "The limit of 100 rows of a table was reached; there may be more.",
    ]
    assert left(engine, image_tags) == ["000", "001", "002", "003"]
    assert run("db", "purge", "203", "1").code == 0
    assert left(engine, image_tags) == ["000", "001", "002"]
    assert run("db", "purge", "--age-in-days=202", "--max-rows=-1").code == 0
    assert left(engine, image_tags) == ["000", "001"]
    assert len(run("db_purge", "--max_rows", "0").out) == 1
    assert left(engine, image_tags) == ["000", "001"]
    assert run("db_purge", "30", "--max_rows", "-1").code == 0
    assert left(engine, image_tags) == []
    done = run("db", "purge_images_table")
    assert done.out[1] == "\timages: 100"
    assert left(engine, images) == ["000", "001", "002", "003"]
    assert run("db_purge_images_table", "--age_in_days", "203").code == 0
    assert left(engine, images) == ["000", "001", "002"]


def test_many_batches_and_windows(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "BATCH", 3)
    monkeypatch.setattr(purge, "WINDOW", 7)
    monkeypatch.setattr(manage_purge, "PROGRESS_INTERVAL", 0)
    for number in range(20):
        add_image(engine, f"{number:02}", 300 - number)
    held = add_image(engine, "held", 400, status="pending_delete")
    done = run("db", "purge", "30", "17")
    assert done.out[1] == "\timage_properties: 17"
    assert done.err[:3] == [f"image_properties: {n} rows so far" for n in (3, 6, 7)]
    for table in CHILDREN:
        assert left(engine, table) == ["17", "18", "19", held]
    assert run("db", "purge", "30", "-1").code == 0
    assert run("db", "purge_images_table", "180", "-1").out[1] == "\timages: 20"
    assert left(engine, images) == [held]


def test_what_leads_to_data_stays(engine: Engine, run: Run) -> None:
    add_image(engine, "scrub", 400, status="pending_delete")
    add_image(engine, "gone", 400)
    add_image(engine, "worked-on", 400)
    add_image(engine, "present", None, status="active")
    with Transactions.thd_on(engine) as transactions:
        assert transactions.thd_run(leases.thd_take, "worked-on", leases.REMOVAL, "n", "w")
    # Copies that were taken off their images, or whose deletion broke off.
    for name in ("present", "gone"):
        add(
            engine,
            image_locations,
            image_id=name,
            value="file:///copy",
            status="pending_delete",
            **marks(400),
        )
    done = run("db", "purge", "--max_rows", "-1")
    assert done.out[-2:] == [
        "3 images kept until glance-scrubber has removed the data.",
        "1 image kept because a service works on the data.",
    ]
    for table in (image_properties, image_tags, image_members):
        assert left(engine, table) == ["present", "scrub", "worked-on"]
    assert left(engine, image_locations) == ["gone", "present", "present", "scrub", "worked-on"]
    # It is not refused either: what waits is not to be purged yet.
    assert run("db", "purge_images_table").out[-2:] == done.out[-2:]
    assert left(engine, images) == ["gone", "present", "scrub", "worked-on"]

    with engine.begin() as connection:
        connection.execute(delete(leases.transfer_leases))
        connection.execute(update(images).where(images.c.id == "scrub").values(status="deleted"))
        connection.execute(
            update(image_locations)
            .where(image_locations.c.image_id.in_(["scrub", "gone"]))
            .values(status="deleted")
        )
    assert run("db", "purge").out[-1] == "1 image kept until glance-scrubber has removed the data."
    assert run("db", "purge_images_table").code == 0
    assert left(engine, images) == ["present"]
    assert left(engine, image_locations) == ["present", "present"]


def test_what_was_restored_stays(engine: Engine, run: Run) -> None:
    add_image(engine, "restored", None, status="active")
    with engine.begin() as connection:
        connection.execute(update(images).values(deleted_at=marks(400)["deleted_at"]))
    assert run("db", "purge_images_table", "--max_rows", "-1").code == 0
    assert left(engine, images) == ["restored"]


def test_images_that_are_referred_to(engine: Engine, run: Run) -> None:
    add(engine, images, id="bare", status="deleted", **marks(500))
    add_image(engine, "old", 400)
    add(engine, image_tags, image_id="bare", value="t", **marks(10))
    refused = run("db", "purge_images_table")
    assert (refused.code, refused.out, len(refused.err)) == (1, [], 1)
    assert refused.err[0].startswith("ERROR: Rows of image_properties, image_tags, image_loc")
    assert refused.err[0].endswith("glance-manage db purge")
    assert left(engine, images) == ["bare", "old"]
    # Only those count that would be purged.
    assert run("db", "purge").code == 0
    assert "Rows of image_tags still" in run("db", "purge_images_table").err[0]
    assert run("db", "purge", "--age_in_days", "5").code == 0
    assert run("db", "purge_images_table").out[1:] == ["\timages: 2"]


def test_an_image_that_comes_to_be_referred_to_meanwhile(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "_thd_check_unreferenced", lambda *args: None)
    add_image(engine, "old", 400)
    refused = run("db", "purge_images_table")
    assert (refused.code, refused.out) == (1, [])
    assert "Rows of other tables still refer" in refused.err[0]
    assert left(engine, images) == ["old"]


def test_tombstones_are_put_up(engine: Engine, run: Run) -> None:
    for name in ("ours", "theirs"):
        add(engine, images, id=name, status="deleted", **marks(200))
    add(engine, image_tombstones, id="ours")
    assert run("db", "purge_images_table").code == 0
    with engine.connect() as connection:
        assert set(connection.scalars(select(image_tombstones.c.id))) == {"ours", "theirs"}


def test_parts_that_came_while_the_image_was_deleted(engine: Engine, run: Run) -> None:
    add_image(engine, "stray", 400, parts=None)
    add_image(engine, "present", None, status="active")
    add_image(engine, "recent", 3, parts=None)
    add_image(engine, "scrub", 400, status="pending_delete", parts=None)
    assert run("db", "purge").code == 0
    for table in (image_properties, image_tags, image_members):
        assert left(engine, table) == ["present", "recent", "scrub"]
    # It may stand for data.
    assert left(engine, image_locations) == ["present", "recent", "scrub", "stray"]


def test_a_row_that_was_taken_up_again_stays(engine: Engine) -> None:
    add_image(engine, "i", None, status="active", parts=1)
    cutoff = utcnow()
    with engine.connect() as connection:
        for part in purge.PARTS:
            keys = list(connection.scalars(part.oldest(cutoff, 10)))
            if part.table not in CHILDREN or not keys:
                continue
            connection.execute(update(part.table).values(**marks(None)))
            assert part.thd_delete(connection, cutoff, keys) == 0
    for table in CHILDREN:
        assert left(engine, table) == ["i"]


def test_while_properties_come_and_go(engine: Engine, database_url: str) -> None:
    """A property that is set is there, though its row is marked and purged all the time."""
    add(engine, images, id="i", status="active", deleted=False)
    done = threading.Event()
    failed: list[BaseException] = []
    purged = [0]

    def thd_purge() -> None:
        other = make_engine(database_url)
        try:
            with Transactions.thd_on(other) as transactions:
                while not done.is_set():
                    for _, rows in purge.thd_purge(transactions, purge.PARTS, utcnow(), None):
                        purged[0] += rows
        except BaseException as error:
            failed.append(error)
        finally:
            other.dispose()

    thread = threading.Thread(target=thd_purge)
    thread.start()
    p = image_properties.c
    try:
        with Transactions.thd_on(engine) as mine:
            turn = 0
            while not failed and (turn < 100 or not purged[0]):
                turn += 1
                mine.thd_run(_thd_set_property, str(turn))
                found = mine.thd_run(lambda c: list(c.execute(select(p.value, p.deleted))))
                assert found == [(str(turn), False)]
                mine.thd_run(lambda c: c.execute(update(image_properties).values(**marks(1))))
    finally:
        done.set()
        thread.join()
    assert not failed


def _thd_set_property(connection: Any, value: str) -> None:
    """Set a property as the service does."""
    p = image_properties
    taken_up = connection.execute(update(p).values(value=value, deleted=False, deleted_at=None))
    if not taken_up.rowcount:
        connection.execute(insert(p).values(image_id="i", name="p", value=value, deleted=False))


def test_interrupted(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "BATCH", 2)
    for number in range(7):
        add_image(engine, f"{number}", 400)
    thd_delete = purge.Part.thd_delete

    def interrupted(part: purge.Part, connection: Any, cutoff: Any, keys: Any) -> int:
        rows = thd_delete(part, connection, cutoff, keys)
        with engine.connect() as other:
            if other.scalar(select(func.count()).select_from(image_properties)) == 3:
                raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(purge.Part, "thd_delete", interrupted)
    done = run("db", "purge")
    assert done.code == 130
    assert done.err == ["Interrupted; what was purged so far stays purged."]
    assert done.out[1:] == ["\timage_properties: 4"]
    assert len(left(engine, image_properties)) == 3


@pytest.mark.parametrize("action", ["purge", "purge_images_table"])
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["x"], "age_in_days must be an integer, not 'x'"),
        (["1.5"], "age_in_days must be an integer"),
        (["1_0"], "age_in_days must be an integer"),
        (["-1"], "age_in_days is -1, but must be at least 0"),
        (["--age_in_days", "99999"], "days since 1970-01-01"),
        (["--age-in-days", "9" * 30], "age_in_days must be an integer"),
        (["30", "x"], "max_rows must be an integer, not 'x'"),
        (["30", "-2"], "max_rows is -2, but must be at least -1"),
        (["--max-rows", "2147483648"], "max_rows is 2147483648"),
        (["30", "--age_in_days", "31"], "age_in_days is given twice: '30' and '31'"),
    ],
)
def test_wrong_values(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    action: str,
    words: list[str],
    complaint: str,
) -> None:
    done = runner(monkeypatch, capsys, tmp_path)("db", action, *words)
    assert (done.code, done.out, len(done.err)) == (1, [], 1)
    assert complaint in done.err[0]


def test_a_schema_of_before(database_url: str, run: Run) -> None:
    engine = make_engine(database_url)
    schema.thd_upgrade(engine, "rocky_contract02")
    engine.dispose()
    done = run("db", "purge")
    assert (done.code, done.out) == (1, [])
    assert done.err[0].endswith("run: glance-manage db sync")


def test_a_file_that_another_process_writes_to(sqlite_url: str) -> None:
    """A transaction that finds the file locked is tried again."""
    engine = make_engine(f"{sqlite_url}?timeout=0")
    schema.thd_sync(engine)
    other = engine.connect()
    other.exec_driver_sql("BEGIN IMMEDIATE")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.rollback()

    with Transactions.thd_on(engine, wait) as transactions:
        assert transactions.thd_run(lambda connection: "done") == "done"
        assert len(waits) == 3
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"too busy: database is locked"):
            transactions.thd_run(lambda connection: "never")
        assert len(waits) == 3 + oneshot.ATTEMPTS
        other.rollback()
        other.close()
        with pytest.raises(SchemaError, match="no such table: nonsense"):
            transactions.thd_run(lambda c: c.execute(text("SELECT 1 FROM nonsense")))
        with pytest.raises(IntegrityError):
            transactions.thd_run(lambda c: c.execute(insert(task_info).values(task_id="none")))
    engine.dispose()


@pytest.mark.service
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_connection_that_breaks(kind: str, request: pytest.FixtureRequest) -> None:
    engine = make_engine(request.getfixturevalue(f"{kind}_url"))
    own, kill = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "mariadb": ("SELECT CONNECTION_ID()", "KILL {}"),
    }[kind]

    def thd_breaking(connection: Any) -> None:
        number = connection.execute(text(own)).scalar()
        with engine.connect() as other:
            other.execute(text(kill.format(number)))
        connection.execute(text(own))

    with (
        Transactions.thd_on(engine) as transactions,
        pytest.raises(Unavailable, match=r"The database \S+ broke off"),
    ):
        transactions.thd_run(thd_breaking)
    engine.dispose()
