"""Timing loads of metadata definitions: what is left behind decides whether a time counts."""

import sqlite3
import sys
from pathlib import Path

import pytest

from bench import metadefs_load

_SCHEMA = "".join(f"CREATE TABLE {table} (id INTEGER);" for table in metadefs_load._TABLES)
_MAKE = f"import sqlite3; sqlite3.connect({{path!r}}).executescript({_SCHEMA!r})"
_LOAD = (
    "import sqlite3; c = sqlite3.connect({path!r}); "
    "c.execute('INSERT INTO metadef_namespaces SELECT 1 "
    "WHERE NOT EXISTS (SELECT * FROM metadef_namespaces)'); c.commit()"
)


def command(template: str, path: Path) -> str:
    return f'{sys.executable} -c "{template.format(path=str(path))}"'


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a.sqlite"
    path.touch()
    return path


def run(database: Path, *loads: str, rounds: int = 1) -> int:
    targets = [f"{name}={load}" for name, load in zip("ab", loads, strict=False)]
    options = [f"--rounds={rounds}", f"--database=sqlite:///{database}"]
    return metadefs_load.main([*targets, *options, f"--schema={command(_MAKE, database)}"])


def test_good_loads(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(database, *[command(_LOAD, database)] * 2, rounds=2) == 0
    out = capsys.readouterr().out
    assert "into an empty database" in out
    assert "all is there already" in out
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM metadef_namespaces").fetchone() == (0,)


@pytest.mark.parametrize("bad", ["pass", "raise SystemExit(1)"])
def test_a_load_that_leaves_less(
    database: Path, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    assert run(database, command(_LOAD, database), command(bad, database)) == 3
    assert "! b failed" in capsys.readouterr().out


def test_definitions_of_its_own(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(database) as connection:
        connection.executescript(_SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS"))
        connection.execute("INSERT INTO metadef_tags VALUES (1)")
    connection.close()
    assert metadefs_load.main([
        f"a={command(_LOAD, database)}", f"--database=sqlite:///{database}", "--schema=true",
    ]) == 2  # fmt: skip
    assert "has metadata definitions of its own" in capsys.readouterr().err
