"""The schema on every database: made at once or through all revisions, always the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, Inspector, inspect, text

from glance.db import schema
from glance.db.engine import make_engine
from glance.db.own_tables import OWN
from glance.db.revisions import CATALOGUE_CHAIN, OWN_CHAIN
from glance.db.schema import SchemaError, State


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


def reflect(engine: Engine) -> dict[str, Any]:
    """Return everything the database tells of its tables, but for the order of columns."""
    with engine.connect() as connection:
        inspector = inspect(connection)
        return {name: reflect_table(inspector, name) for name in inspector.get_table_names()}


def reflect_table(inspector: Inspector, table: str) -> dict[str, Any]:
    return {
        "columns": {
            column["name"]: (
                column["type"].compile(inspector.dialect),
                column["nullable"],
                column["default"],
            )
            for column in inspector.get_columns(table)
        },
        "key": inspector.get_pk_constraint(table),
        "indexes": sorted(
            (index["name"], index["column_names"], bool(index["unique"]))
            for index in inspector.get_indexes(table)
        ),
        "uniques": sorted(
            (unique["name"], unique["column_names"])
            for unique in inspector.get_unique_constraints(table)
        ),
        "references": sorted(
            (key["constrained_columns"], key["referred_table"], key["referred_columns"])
            for key in inspector.get_foreign_keys(table)
        ),
        "checks": sorted(check["sqltext"] for check in inspector.get_check_constraints(table)),
        "options": inspector.get_table_options(table)
        if inspector.dialect.name == "mysql"
        else None,
    }


def drop_all(engine: Engine) -> None:
    """Empty the database."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
            return
        off = {"sqlite": "PRAGMA foreign_keys = OFF", "mysql": "SET foreign_key_checks = 0"}
        connection.execute(text(off[engine.dialect.name]))
        for table in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE {table}"))


def statements(engine: Engine, *lines: str) -> None:
    with engine.begin() as connection:
        for line in lines:
            connection.execute(text(line))


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_new_schema_equals_that_of_all_revisions(engine: Engine) -> None:
    assert schema.thd_sync(engine)
    at_once = reflect(engine)
    drop_all(engine)
    assert schema.thd_status(engine).state is State.FRESH
    schema.thd_upgrade(engine, "liberty")
    schema.thd_sync(engine)
    assert schema.thd_status(engine).state is State.CURRENT
    assert reflect(engine) == at_once
    assert "images" in at_once
    assert not any(name.startswith("artifact") for name in at_once)


def test_syncing_again_does_nothing(engine: Engine) -> None:
    lines: list[str] = []
    assert schema.thd_sync(engine, lines.append)
    assert lines
    lines.clear()
    assert not schema.thd_sync(engine, lines.append)
    assert lines == []
    assert rows(engine, "SELECT version_num FROM alembic_version") == [("2024_1_contract01",)]
    assert rows(engine, "SELECT version_num FROM txglance_version") == [(OWN_CHAIN.head,)]


@pytest.mark.parametrize("revision", CATALOGUE_CHAIN.revisions)
def test_every_revision_can_be_brought_up_to_date(sqlite_url: str, revision: str) -> None:
    # On SQLite alone: what differs between databases is in the revisions, and all run elsewhere.
    engine = make_engine(sqlite_url)
    schema.thd_upgrade(engine, revision)
    assert revision in CATALOGUE_CHAIN.applied(schema.thd_version(engine))
    schema.thd_sync(engine)
    assert schema.thd_status(engine).state is State.CURRENT
    engine.dispose()


OLD_ROWS = (
    "INSERT INTO images (id, status, is_public, min_disk, min_ram, protected, created_at, deleted)"
    " VALUES ('{}', 'active', {}, 0, 0, {}, '2015-01-01 00:00:00', {})"
)
OLD_MEMBER = (
    "INSERT INTO image_members (image_id, member, can_share, status, created_at, deleted)"
    " VALUES ('{}', 'someone', {}, 'accepted', '2015-01-01 00:00:00', {})"
)


def test_old_rows_survive_step_by_step(engine: Engine) -> None:
    yes, no = ("true", "false") if engine.dialect.name == "postgresql" else ("1", "0")
    schema.thd_upgrade(engine, "mitaka02")
    statements(
        engine,
        OLD_ROWS.format("public", yes, no, no),
        OLD_ROWS.format("private", no, yes, no),
        OLD_ROWS.format("shared", no, no, no),
        OLD_ROWS.format("unshared", no, no, yes),
        OLD_MEMBER.format("shared", no, no),
        OLD_MEMBER.format("unshared", no, yes),
    )
    with pytest.raises(SchemaError, match="expand"):
        schema.thd_migrate(engine)
    with pytest.raises(SchemaError, match="expand"):
        schema.thd_contract(engine)

    status = schema.thd_expand(engine)
    assert (status.needs_expand, status.needs_migrate, status.needs_contract) == (0, 1, 1)
    assert status.catalogue == ("2024_1_expand01",)
    with pytest.raises(SchemaError, match="migrate"):
        schema.thd_contract(engine)
    with pytest.raises(SchemaError, match="sync"):
        status.check_usable()

    # The visibility of each, and a tombstone for the one that is deleted.
    assert schema.thd_migrate(engine) == 5
    assert schema.thd_migrate(engine) == 0
    assert not schema.thd_status(engine).needs_migrate

    status = schema.thd_contract(engine)
    assert status.state is State.CURRENT
    status.check_usable()
    assert rows(engine, "SELECT id, visibility, protected FROM images ORDER BY id") == [
        ("private", "private", 1),
        ("public", "public", 0),
        ("shared", "shared", 0),
        ("unshared", "private", 0),
    ]
    assert len(rows(engine, "SELECT * FROM image_members")) == 2
    assert rows(engine, "SELECT id FROM image_tombstones") == [("unshared",)]


def test_location_metadata_names_the_store_by_its_new_key(engine: Engine) -> None:
    no = "false" if engine.dialect.name == "postgresql" else "0"
    schema.thd_upgrade(engine, "rocky_contract02")
    location = (
        "INSERT INTO image_locations (image_id, value, meta_data, created_at, deleted)"
        f" VALUES ('i', 'file:///x', '{{}}', '2018-09-01 00:00:00', {no})"
    )
    statements(
        engine,
        "INSERT INTO images (id, status, min_disk, min_ram, created_at, deleted)"
        f" VALUES ('i', 'active', 0, 0, '2018-09-01 00:00:00', {no})",
        *(
            location.format(data.replace(":", "\\:"))
            for data in (
                '{"backend": "fast", "a": 1}',
                '{"store":"kept","backend":"old"}',
                '{"note": "backend"}',
                '{"deep": {"backend": "untouched"}}',
                "{}",
            )
        ),
    )
    assert schema.thd_sync(engine)
    found = [row[0] for row in rows(engine, "SELECT meta_data FROM image_locations ORDER BY id")]
    assert found == [
        '{"store":"fast","a":1}',
        '{"store":"kept"}',
        '{"note": "backend"}',
        '{"deep": {"backend": "untouched"}}',
        "{}",
    ]


def test_renamed_resource_type(engine: Engine) -> None:
    no = "false" if engine.dialect.name == "postgresql" else "0"
    schema.thd_upgrade(engine, "mitaka01")
    statements(
        engine,
        "INSERT INTO metadef_resource_types (name, protected, created_at)"
        f" VALUES ('OS::Nova::Instance', {no}, '2016-01-01 00:00:00')",
    )
    schema.thd_sync(engine)
    assert rows(engine, "SELECT name FROM metadef_resource_types") == [("OS::Nova::Server",)]


def test_triggers_of_a_rolling_upgrade_are_dropped(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    schema.thd_upgrade(engine, "ocata_expand01")
    statements(
        engine,
        "CREATE TRIGGER theirs AFTER INSERT ON image_members BEGIN"
        " UPDATE images SET visibility = 'shared' WHERE id = NEW.image_id; END",
        "CREATE TRIGGER operators AFTER INSERT ON image_members BEGIN"
        " UPDATE tasks SET owner = NEW.member; END",
    )
    schema.thd_sync(engine)
    names = rows(engine, "SELECT name FROM sqlite_master WHERE type = 'trigger'")
    assert names == [("operators",)]
    engine.dispose()


def test_unknown_revision_is_named(engine: Engine) -> None:
    schema.thd_sync(engine)
    statements(engine, "UPDATE alembic_version SET version_num = '2099_1_contract01'")
    status = schema.thd_status(engine)
    assert status.state is State.UNKNOWN
    for action in (schema.thd_sync, schema.thd_expand, schema.thd_migrate, schema.thd_contract):
        with pytest.raises(SchemaError, match="2099_1_contract01"):
            action(engine)


def test_schema_expanded_by_a_newer_release_is_usable(engine: Engine) -> None:
    schema.thd_sync(engine)
    statements(engine, "INSERT INTO txglance_version VALUES ('2_0_expand01')")
    status = schema.thd_status(engine)
    assert status.state is State.AHEAD
    status.check_usable()
    assert not schema.thd_sync(engine)


def test_tables_without_a_revision_are_left_alone(engine: Engine) -> None:
    schema.thd_upgrade(engine, "rocky_contract02")
    statements(engine, "DELETE FROM alembic_version")
    before = reflect(engine)
    with pytest.raises(SchemaError, match="version_control"):
        schema.thd_sync(engine)
    assert reflect(engine) == before
    assert schema.thd_version_control(engine, "rocky_contract02") == "rocky_contract02"
    with pytest.raises(SchemaError, match="already"):
        schema.thd_version_control(engine)
    assert schema.thd_sync(engine)
    assert schema.thd_status(engine).state is State.CURRENT


def test_creation_that_broke_off(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(OWN, "create_all", fail)
        with pytest.raises(RuntimeError):
            schema.thd_sync(engine)
    status = schema.thd_status(engine)
    if engine.dialect.name == "mysql":
        assert status.state is State.INCOMPLETE
        # The break may also come between a table and its indexes.
        statements(engine, "DROP TABLE cached_images", "DROP INDEX owner_image_idx ON images")
        with pytest.raises(SchemaError, match="sync"):
            status.check_usable()
        with pytest.raises(SchemaError, match="sync"):
            schema.thd_version_control(engine)
    else:
        assert status.state is State.FRESH
        assert inspect(engine).get_table_names() == []
    assert schema.thd_sync(engine)
    resumed = reflect(engine)
    drop_all(engine)
    schema.thd_sync(engine)
    assert reflect(engine) == resumed


def test_revision_that_broke_off(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever part of the revisions ran, running them again leads to the same schema."""
    schema.thd_sync(engine)
    whole = reflect(engine)
    drop_all(engine)
    from glance.db.migrations import operations

    schema.thd_upgrade(engine, "liberty")
    for breaking in ("visibility_image_idx", "os_hash_value_image_idx", "ix_tasks_image_id"):
        real = operations.add_index

        def fail(name: str, *args: str, real: Any = real, breaking: str = breaking) -> None:
            if name == breaking:
                raise RuntimeError("power cut")
            real(name, *args)

        with monkeypatch.context() as patch:
            patch.setattr(operations, "add_index", fail)
            with pytest.raises(RuntimeError):
                schema.thd_sync(engine)
        if engine.dialect.name != "mysql":
            assert schema.thd_version(engine) == ("liberty",)
    schema.thd_sync(engine)
    assert reflect(engine) == whole


def _sync(url: str, barrier: Any, results: Any) -> None:
    engine = make_engine(url)
    barrier.wait(120)
    try:
        results.put(schema.thd_sync(engine))
    except BaseException as error:
        results.put(repr(error))
    finally:
        engine.dispose()


@pytest.mark.parametrize("start", ["empty", "old"])
def test_processes_that_start_at_once(database_url: str, start: str) -> None:
    if start == "old":
        engine = make_engine(database_url)
        schema.thd_upgrade(engine, "rocky_contract02")
        engine.dispose()
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_sync, args=(database_url, barrier, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(outcomes, key=str) == [False, False, False, True]
    engine = make_engine(database_url)
    assert schema.thd_status(engine).state is State.CURRENT
    engine.dispose()
