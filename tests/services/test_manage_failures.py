"""What ``glance-manage`` says, on every database, when something is in the way: one clear line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from glance.db import exclusive, schema
from glance.db.engine import make_engine
from tests.functional.server import ROOT
from tests.services.managing import Outcome, Run, configured, runner
from tests.services.test_schema import reflect

HEAD = "2024_1_contract01"
SECRET = "s3cr%et"


@pytest.fixture
def bare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def run(bare: Run, database_url: str, tmp_path: Path) -> Run:
    return configured(bare, tmp_path / "a.conf", database_url)


def statements(url: str, *lines: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for line in lines:
            connection.execute(text(line))
    engine.dispose()


def check_refused(done: Outcome, *words: str) -> str:
    """Check that a run failed with one line on standard error, and return that."""
    assert (done.code, done.out, len(done.err)) == (1, [], 1), done
    for word in words:
        assert word in done.err[0]
    return done.err[0]


@pytest.mark.parametrize(
    "older", ["rocky_contract02", "rocky_expand02", "2024_1_expand01", "liberty"]
)
def test_downgrade(run: Run, older: str) -> None:
    assert run("db", "sync").code == 0
    check_refused(
        run("db", "upgrade", older), f"at revision {HEAD}, which comes after {older}", "downgrade"
    )
    assert run("db", "version").out == [HEAD]
    # Where it is, is not back.
    assert run("db", "upgrade", HEAD).code == 0


def test_downgrade_in_the_middle_of_an_upgrade(bare: Run, sqlite_url: str, tmp_path: Path) -> None:
    run = configured(bare, tmp_path / "a.conf", sqlite_url)
    assert run("db", "upgrade", "rocky_contract02").code == 0
    assert run("db", "upgrade", "train_expand01").code == 0
    check_refused(run("db", "upgrade", "rocky_expand02"), "train_expand01", "downgrade")
    assert run("db", "upgrade", "rocky_contract02").code == 0
    assert run("db", "upgrade", "train_contract01").code == 0
    check_refused(run("db", "upgrade", "rocky_contract02"), "train_contract01", "downgrade")


@pytest.mark.service
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_no_such_database(
    bare: Run, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = make_url(request.getfixturevalue(f"{kind}_url")).set(database="nonesuch")
    run = configured(bare, tmp_path / "a.conf", url.render_as_string(hide_password=False))
    for words in (("version",), ("check",), ("sync",), ("purge",)):
        check_refused(run("db", *words), "/nonesuch cannot be reached: ", "nonesuch", "database")


def test_no_such_directory(bare: Run, tmp_path: Path) -> None:
    run = configured(bare, tmp_path / "a.conf", f"sqlite:///{tmp_path}/none/glance.sqlite")
    for action in ("version", "sync", "purge"):
        check_refused(run("db", action), "none/glance.sqlite cannot be reached: unable to open")


def test_a_file_that_is_no_database(bare: Run, sqlite_url: str, tmp_path: Path) -> None:
    Path(str(make_url(sqlite_url).database)).write_text("something else entirely\n" * 100)
    run = configured(bare, tmp_path / "a.conf", sqlite_url)
    for action in ("version", "sync"):
        check_refused(run("db", action), "cannot be reached: file is not a database")


@pytest.fixture
def reader_url(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], str]]:
    """Makes the URL for an account that has a password and may only read a database."""
    undo = []

    def make(kind: str, url: str) -> str:
        server = request.getfixturevalue(kind)
        name = f"reader{os.getpid()}"
        if kind == "mariadb":
            server.execute(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{SECRET}'")
            server.execute(f"GRANT SELECT ON {make_url(url).database}.* TO {name}@'127.0.0.1'")
            undo.append(lambda: server.execute(f"DROP USER {name}@'127.0.0.1'"))
        else:
            server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
            undo.append(lambda: server.execute(f"DROP ROLE {name}"))
        account = make_url(url).set(username=name, password=SECRET)
        return account.render_as_string(hide_password=False)

    yield make
    for step in undo:
        step()


@pytest.mark.service
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_no_permission(
    bare: Run,
    kind: str,
    reader_url: Callable[[str, str], str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    account = reader_url(kind, url)
    run = configured(bare, tmp_path / "a.conf", url)
    limited = configured(bare, tmp_path / "b.conf", account)
    # On an empty database.
    refused = limited("db", "sync")
    assert refused.code == 1
    assert "refused a statement" in refused.err[-1] and "denied" in refused.err[-1]
    assert SECRET not in "".join(refused.err)
    # On an old one.
    assert run("db", "upgrade", "rocky_contract02").code == 0
    if kind == "postgresql":
        name = make_url(account).username
        statements(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    assert limited("db", "version").out == ["rocky_contract02"]
    assert limited("db", "check").code == 3
    for action in ("sync", "upgrade"):
        check_refused(limited("db", action), "refused a statement: ", "denied")
    assert run("db", "version").out == ["rocky_contract02"]
    if kind == "postgresql":
        statements(url, f"DROP OWNED BY {make_url(account).username}")


@pytest.mark.service
def test_wrong_password(bare: Run, tmp_path: Path, postgresql: Any, mariadb_url: str) -> None:
    with postgresql.twin() as server:
        server.execute("CREATE ROLE reader LOGIN PASSWORD 'right'")
        (server.data / "pg_hba.conf").write_text(
            "host all glance 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        server.stop()
        server.start()
        for url, who in ((server.url("postgres"), "reader"), (mariadb_url, "root")):
            wrong = make_url(url).set(username=who, password=SECRET)
            written = wrong.render_as_string(hide_password=False)
            run = configured(bare, tmp_path / "a.conf", written)
            for action in ("version", "sync", "purge"):
                line = check_refused(run("db", action), "cannot be reached", who)
                assert "denied" in line or "password authentication failed" in line
                assert SECRET not in line and "s3cr" not in line


def test_two_at_once(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second says that it waits, and finds nothing left to do."""
    monkeypatch.setattr(exclusive, "_SQLITE_TRY", 10)
    assert run("db", "upgrade", "rocky_contract02").code == 0
    engine = make_engine(database_url)
    waits = threading.Event()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        waits.set()

    changed: list[bool] = []
    second = threading.Thread(target=lambda: changed.append(schema.thd_sync(engine, say)))
    first = make_engine(database_url)
    with exclusive.thd_exclusively(first) as connection:
        second.start()
        assert waits.wait(60)
        schema._thd_expand(connection, lambda line: None)
        schema._thd_migrate(connection, lambda line: None)
        schema._thd_contract(connection, lambda line: None)
    second.join()
    assert (said, changed) == (
        ["Another process is at work on the database; waiting for it."],
        [False],
    )
    for made in (engine, first):
        made.dispose()


def test_another_that_does_not_end(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive, "_SQLITE_TRY", 10)
    monkeypatch.setattr(exclusive, "PATIENCE", 1)
    engine = make_engine(database_url)
    with exclusive.thd_exclusively(engine):
        refused = run("db", "sync")
    engine.dispose()
    assert (refused.code, refused.out) == (1, [])
    assert refused.err[-1].startswith("Failed to sync database: ERROR: Another process has been")


#: Runs the program, which is killed before a statement that changes the schema.
KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from sqlalchemy import Engine, event
    from glance.cmd import manage

    left = int(sys.argv.pop(1))

    @event.listens_for(Engine, "before_cursor_execute")
    def count(connection, cursor, statement, *rest):
        global left
        if statement.split()[0] in {"CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"}:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    manage.main()
    """
)


@pytest.mark.parametrize(("start", "step"), [(None, 15), ("rocky_contract02", 4)])
def test_killed_in_the_middle(
    run: Run, database_url: str, tmp_path: Path, start: str | None, step: int
) -> None:
    """Whenever ``db sync`` is killed, another run gets further, and the last gets it done."""
    if start is not None:
        assert run("db", "upgrade", start).code == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    transactional = make_url(database_url).get_backend_name() != "mysql"
    killed = 0
    while True:
        process = subprocess.run(
            [
                sys.executable,
                "-c",
                KILLED,
                str(step),
                "--config-file",
                str(tmp_path / "a.conf"),
                "db",
                "sync",
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, process.stderr
        killed += 1
        # Where changes of a schema can be rolled back they are, and nothing gets further.
        step = 10_000 if transactional else step
    assert killed >= (1 if transactional else 3)
    engine = make_engine(database_url)
    try:
        assert schema.thd_status(engine).state is schema.State.CURRENT
        resumed = reflect(engine)
        wanted = make_engine(f"sqlite:///{tmp_path}/whole")
        schema.thd_sync(wanted)
        assert resumed.keys() == reflect(wanted).keys()
        wanted.dispose()
    finally:
        engine.dispose()


def test_where_configuration_files_are_found(bare: Run, tmp_path: Path) -> None:
    """``glance-manage.conf`` wins, and each file is taken from the first place that has it."""

    def write(name: str, database: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/{database}\n")

    for number, (name, database) in enumerate(
        [
            ("glance-api.conf", "api-home"),
            (".glance/glance-api.conf", "api-dot"),
            ("glance-manage.conf", "manage-home"),
            (".glance/glance-manage.conf", "manage-dot"),
        ]
    ):
        write(name, database)
        assert bare("db", "version").code == 0
        made = [path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix == ""]
        assert len(made) == number + 1 and database in made
