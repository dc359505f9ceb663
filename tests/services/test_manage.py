"""``glance-manage`` on every database: what it prints, how it exits, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from glance.cmd import manage, manage_schema
from glance.db import schema
from glance.db.engine import make_engine
from glance.db.own_tables import OWN, own_indexes
from glance.services import logs
from tests.services.managing import Run, configured, runner

HEAD = "2024_1_contract01"


@pytest.fixture
def bare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs the program, which finds no configuration file."""
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def run(bare: Run, database_url: str, tmp_path: Path) -> Run:
    """Runs the program on an empty database of each kind."""
    return configured(bare, tmp_path / "glance.conf", database_url)


@pytest.fixture
def run_sqlite(bare: Run, sqlite_url: str, tmp_path: Path) -> Run:
    """Runs the program on a SQLite file that is not there yet."""
    return configured(bare, tmp_path / "glance.conf", sqlite_url)


def test_sync(run: Run) -> None:
    assert run("db", "check").code == manage_schema.NEEDS_EXPAND
    done = run("db", "sync")
    assert (done.code, done.out) == (0, ["Database is synced successfully."])
    assert done.err
    assert run("db", "version") == (0, [HEAD], [])
    assert run("db", "check") == (0, ["Database is up to date. No upgrades needed."], [])
    nothing = ["Database is up to date. No migrations needed."]
    for action in ("sync", "expand", "migrate", "contract"):
        assert run("db", action) == (0, nothing, [])


def test_one_word_commands(run_sqlite: Run) -> None:
    assert run_sqlite("db_sync").out == ["Database is synced successfully."]
    assert run_sqlite("db_version").out == [HEAD]
    assert run_sqlite("db_check").code == 0
    assert run_sqlite("db_expand").code == 0
    assert run_sqlite("db_migrate").code == 0
    assert run_sqlite("db_contract").code == 0
    assert run_sqlite("db_upgrade").out == [f"Upgraded database, current revision(s): {HEAD}"]
    assert run_sqlite("db_version_control").code == 1


@pytest.mark.parametrize("words", [("db", "sync", "27"), ("db_sync", "--version", "27")])
def test_sync_takes_a_version_and_ignores_it(run_sqlite: Run, words: tuple[str, ...]) -> None:
    assert run_sqlite(*words).code == 0
    assert run_sqlite("db", "version").out == [HEAD]


def test_step_by_step(run: Run, database_url: str) -> None:
    upgraded = run("db", "upgrade", "--version", "mitaka02")
    assert upgraded.out == ["Upgraded database to: mitaka02, current revision(s): mitaka02"]
    engine = create_engine(database_url)
    no = "false" if engine.dialect.name == "postgresql" else "0"
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO images (id, status, is_public, min_disk, min_ram, created_at, deleted)"
                f" VALUES ('i', 'active', {no}, 0, 0, '2016-01-01 00:00:00', {no})"
            )
        )
    engine.dispose()
    check = run("db", "check")
    assert check.code == manage_schema.NEEDS_EXPAND
    if engine.dialect.name == "postgresql":
        assert check.out[-1].endswith("glance-manage db sync")
        for action in ("expand", "migrate", "contract"):
            refused = run("db", action)
            assert (refused.code, refused.out) == (1, [])
            assert "Rolling upgrades are currently supported only for" in refused.err[0]
        assert run("db", "sync").code == 0
        return
    assert check.out[-1].endswith("glance-manage db expand")
    for action in ("migrate", "contract"):
        refused = run("db", action)
        assert (refused.code, refused.out) == (1, [])
        assert refused.err[-1].endswith("glance-manage db expand")

    assert run("db", "expand").out == [
        "Upgraded database to: 2024_1_expand01, current revision(s): 2024_1_expand01"
    ]
    assert run("db", "expand").out == ["Database expansion is up to date. No expansion needed."]
    assert run("db", "check").code == manage_schema.NEEDS_MIGRATE
    refused = run("db", "contract")
    assert refused.code == 1
    assert refused.err[-1].endswith("glance-manage db migrate")

    assert run("db", "migrate").out == ["Migrated 1 rows"]
    assert run("db", "migrate").out == ["Database migration is up to date. No migration needed."]
    assert run("db", "check").code == manage_schema.NEEDS_CONTRACT
    assert run("db", "contract").out == [
        f"Upgraded database to: {HEAD}, current revision(s): {HEAD}"
    ]
    assert run("db", "check").code == 0


def test_adopting_a_database_of_other_software_in_steps(run: Run, database_url: str) -> None:
    engine = make_engine(database_url)
    schema.thd_sync(engine)
    with engine.connect() as connection:
        connection.execute(text("DROP TABLE txglance_version"))
        for table in OWN.tables:
            connection.execute(text(f"DROP TABLE {table}"))
        for index in own_indexes(engine.dialect.name):
            index.drop(connection)
    engine.dispose()
    assert run("db", "check").code == manage_schema.NEEDS_EXPAND
    # Our own revisions can be rolled in everywhere.
    assert run("db", "expand").out == [
        "Upgraded database to: 1_0_expand03, current revision(s): 1_0_expand03"
    ]
    assert run("db", "check").code == manage_schema.NEEDS_CONTRACT
    assert run("db", "migrate").code == 0
    assert run("db", "contract").out == [
        "Upgraded database to: 1_0_contract03, current revision(s): 1_0_contract03"
    ]
    assert run("db", "check").code == 0
    assert run("db", "version").out == [HEAD]


def test_version_control(run_sqlite: Run, sqlite_url: str) -> None:
    assert run_sqlite("db", "upgrade", "liberty").code == 0
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    engine.dispose()
    version = run_sqlite("db", "version")
    assert version.code == 0
    assert "db version_control" in version.out[0]
    failed = run_sqlite("db", "sync")
    assert (failed.code, failed.out) == (1, [])
    assert failed.err[-1].startswith("Failed to sync database: ERROR: The database has tables")
    assert run_sqlite("db", "version_control").out == [
        "Placed database under migration control at revision: liberty"
    ]
    assert run_sqlite("db", "sync").code == 0
    assert run_sqlite("db", "upgrade", "nonsense").code == 1


def test_version_control_of_nothing(run_sqlite: Run, sqlite_url: str) -> None:
    failed = run_sqlite("db", "version_control")
    assert failed.code == 1
    assert failed.err == [
        "ERROR: The database has no tables whose revision could be recorded; run: glance-manage db "
        "sync"
    ]
    assert run_sqlite("db", "check").code == 3
    assert run_sqlite("db", "sync").code == 0


def test_revision_without_its_tables(run_sqlite: Run, sqlite_url: str) -> None:
    run_sqlite("db", "upgrade", "liberty")
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE images"))
    engine.dispose()
    for action in ("sync", "expand"):
        failed = run_sqlite("db", action)
        assert failed.code == 1
        assert failed.err[-1].endswith(
            "ERROR: The database says that it is at revision liberty, but lacks the table images; "
            "see: glance-status upgrade check"
        )


def test_unknown_revision(run_sqlite: Run, sqlite_url: str) -> None:
    run_sqlite("db", "sync")
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '2099_1_contract01'"))
    engine.dispose()
    for action in ("check", "sync", "expand", "upgrade"):
        failed = run_sqlite("db", action)
        assert failed.code == 1
        assert "2099_1_contract01" in failed.err[-1]
    assert run_sqlite("db", "version").out == ["2099_1_contract01"]


@pytest.mark.parametrize("driver", ["postgresql", "mysql"])
@pytest.mark.parametrize("action", ["sync", "check", "version", "expand"])
def test_unreachable_database(bare: Run, tmp_path: Path, driver: str, action: str) -> None:
    url = f"{driver}://me:s3cret@127.0.0.1:1/glance"
    failed = configured(bare, tmp_path / "glance.conf", url)("db", action)
    assert (failed.code, failed.out, len(failed.err)) == (1, [], 1)
    assert "127.0.0.1:1/glance cannot be reached" in failed.err[0]
    assert "s3cret" not in failed.err[0]


@pytest.mark.service
def test_wrong_password_is_not_repeated(bare: Run, mariadb_url: str, tmp_path: Path) -> None:
    url = make_url(mariadb_url).set(username="nobody", password="s3cret")
    text_url = url.render_as_string(hide_password=False)
    failed = configured(bare, tmp_path / "glance.conf", text_url)("db", "check")
    assert failed.code == 1
    assert "denied" in failed.err[0]
    assert "s3cret" not in "".join(failed.err)


def test_without_any_configuration(bare: Run, tmp_path: Path) -> None:
    assert bare("db", "sync").code == 0
    assert bare("db", "version").out == [HEAD]
    assert list((tmp_path / "state").rglob("glance.sqlite"))


def test_state_directory_that_cannot_be_made(bare: Run, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    failed = bare("db", "sync")
    assert failed.code == 1
    assert "--state-dir" in failed.err[0]


def test_options_may_follow_the_command(bare: Run, sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "other.conf"
    path.write_text(f"[database]\nconnection = {sqlite_url}\n")
    assert bare("db", "sync", "--config-file", str(path)).code == 0
    assert bare("db_version", "--config-file", str(path)).out == [HEAD]
    assert Path(str(make_url(sqlite_url).database)).exists()


def test_log_file(
    bare: Run, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = logs.start_logging
    monkeypatch.setattr(logs, "start_logging", lambda *args: started.append(start(*args)))
    run = configured(bare, tmp_path / "glance.conf", sqlite_url)
    run("db", "upgrade", "liberty")
    log = tmp_path / "manage.log"
    try:
        assert run("--verbose", "--log-file", str(log), "db", "sync").code == 0
        assert "Running upgrade liberty -> mitaka01" in log.read_text()
    finally:
        # The program itself would end here.
        for logging in started:
            logging.stop()


def test_choices(bare: Run) -> None:
    listing = ["glance-manage category action [<args>]", "Available categories:"]
    listing += [f"\t{name}" for name in manage.CATEGORIES]
    assert bare() == (2, listing, [])
    actions = bare("db")
    assert actions.code == 2
    assert {f"\t{name}" for name in manage.CATEGORIES["db"].actions} <= set(actions.out)
    for wrong in (("nonsense",), ("db", "nonsense"), ("db_nonsense",)):
        assert bare(*wrong).code == 2
    assert bare("--version").code == 0
