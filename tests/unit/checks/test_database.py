import hashlib
from pathlib import Path

import pytest
from sqlalchemy import text

from glance.checks.database import lacking, standing, thd_schema
from glance.checks.results import Level
from glance.db import schema
from glance.db.engine import make_engine
from glance.db.own_tables import OWN
from glance.db.revisions import CATALOGUE_CHAIN, OWN_CHAIN
from glance.db.schema_status import SchemaStatus, State
from glance.db.tables import CATALOGUE
from glance.domain.errors import Unavailable
from tests.unit.checks.conftest import bad, levels

HEAD = CATALOGUE_CHAIN.head
OWN_HEAD = OWN_CHAIN.head


def at(revision, own=OWN_HEAD, **needs):
    return SchemaStatus(State.BEHIND, (revision,), (own,) if own else (), **needs)


@pytest.mark.parametrize(
    ("status", "dialect", "level", "words"),
    [
        (SchemaStatus(State.CURRENT, (HEAD,), (OWN_HEAD,)), "mysql", 0, ["this release's"]),
        (
            SchemaStatus(State.AHEAD, (HEAD,), ("9_expand01",), ("9_expand01",)),
            "mysql",
            1,
            ["9_expand01", "can go on working"],
        ),
        (SchemaStatus(State.UNKNOWN, ("zz",), (), ("zz",)), "mysql", 2, ["zz", "newer release"]),
        (SchemaStatus(State.UNVERSIONED), "mysql", 2, ["db version_control"]),
        (SchemaStatus(State.INCOMPLETE), "mysql", 1, ["db sync"]),
        (
            at(HEAD, own="", needs_expand=True, needs_contract=True),
            "postgresql",
            1,
            [HEAD, "left by the OpenStack", "db sync (or, while they run: glance-manage db expand"],
        ),
        (
            at("rocky_contract02", own="", needs_expand=True, needs_contract=True),
            "mysql",
            1,
            ["rocky_contract02", "db sync (or, while they run: glance-manage db expand"],
        ),
        (
            at("rocky_contract02", own="", needs_expand=True, needs_contract=True),
            "postgresql",
            1,
            ["db sync."],
        ),
        (
            at(HEAD, needs_migrate=True, needs_contract=True),
            "mysql",
            1,
            ["of an older release", "rows have to be changed", "glance-manage db migrate"],
        ),
        (at(HEAD, needs_contract=True), "mysql", 1, ["glance-manage db contract"]),
    ],
)
def test_standing(status, dialect, level, words):
    (finding,) = standing(status, dialect)
    assert finding.level == level
    for part in words:
        assert part in finding.text


def columns(*, without=()):
    tables = [*CATALOGUE.tables.values(), *OWN.tables.values()]
    return {
        table.name: {c.name for c in table.columns if f"{table.name}.{c.name}" not in without}
        for table in tables
        if table.name not in without
    }


class TestLacking:
    CURRENT = SchemaStatus(State.CURRENT, (HEAD,), (OWN_HEAD,))

    def test_nothing(self):
        assert list(lacking(self.CURRENT, columns())) == []

    @pytest.mark.parametrize(
        "name", ["tasks", "images.os_hidden", "cached_images", "transfer_leases", "images.size"]
    )
    def test_something(self, name):
        (finding,) = lacking(self.CURRENT, columns(without=[name]))
        assert finding.level is Level.FAILURE
        assert f"lacks {name}." in finding.text

    def test_what_comes_later_is_not_missed(self):
        later = ["cached_images", "node_reference", "tasks.user_id", "transfer_leases"]
        status = at("rocky_contract02", own="")
        assert list(lacking(status, columns(without=later))) == []
        (finding,) = lacking(status, columns(without=[*later, "images.os_hash_algo"]))
        assert "images.os_hash_algo" in finding.text


@pytest.mark.parametrize("revision", CATALOGUE_CHAIN.revisions)
def test_every_revision_can_be_adopted(make, database, revision):
    engine = make_engine(database)
    schema.thd_upgrade(engine, revision)
    with engine.connect() as connection:
        # The newest one brings what is our own.
        connection.execute(text("DROP TABLE IF EXISTS txglance_version"))
    engine.dispose()
    findings = list(thd_schema(make()))
    assert levels(findings) == [Level.WARNING]
    assert revision in findings[0].text
    assert "left by the OpenStack" in findings[0].text


class TestLooking:
    def test_current(self, make, engine):
        setting = make()
        assert levels(thd_schema(setting)) == [Level.SUCCESS]
        assert setting.schema.state is State.CURRENT

    def test_nothing_is_changed(self, make, tmp_path):
        # As other software leaves it: not in our journal mode.
        path = tmp_path / "glance.sqlite"
        engine = make_engine(f"sqlite:///{path}")
        schema.thd_upgrade(engine, "rocky_contract02")
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        engine.dispose()
        before = hashlib.sha256(path.read_bytes()).digest()
        assert bad(thd_schema(make()))
        assert hashlib.sha256(path.read_bytes()).digest() == before
        assert [name.name for name in tmp_path.glob("glance.sqlite*")] == ["glance.sqlite"]

    def test_no_file(self, make, tmp_path):
        (told,) = bad(thd_schema(make()))
        assert "glance-manage db sync" in told
        assert not (tmp_path / "glance.sqlite").exists()

    def test_an_empty_file(self, make, tmp_path):
        (tmp_path / "glance.sqlite").touch()
        (told,) = bad(thd_schema(make()))
        assert told.startswith("The database is empty.")

    def test_tables_of_a_revision_that_is_not_theirs(self, make, database):
        engine = make_engine(database)
        schema.thd_upgrade(engine, "queens_contract01")
        with engine.connect() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'rocky_contract02'"))
        engine.dispose()
        findings = list(thd_schema(make()))
        assert levels(findings) == [Level.FAILURE]
        assert "images.os_hidden" in findings[0].text
        assert "empty the table alembic_version" in findings[0].text

    def test_no_database(self, make, tmp_path):
        Path(tmp_path / "glance.sqlite").mkdir()
        with pytest.raises(Unavailable, match="cannot be reached"):
            list(thd_schema(make()))
