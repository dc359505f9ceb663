"""``glance-manage db load_metadefs`` and its counterparts, on every database."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, insert, select, text, update

from glance.db import metadef_loading, schema
from glance.db.engine import make_engine
from glance.db.metadef_definitions import TABLES, thd_load, thd_read
from glance.db.metadef_loading import Outcome, thd_empty, thd_find_files, thd_load_files
from glance.db.oneshot import Transactions
from glance.db.tables_metadefs import (
    metadef_namespaces,
    metadef_objects,
    metadef_properties,
    metadef_resource_types,
    metadef_tags,
)
from glance.domain.errors import NotFound, Unavailable
from glance.domain.metadefs.changes import Mode
from glance.domain.metadefs.definition import Association, Definition, Kind, Object
from glance.domain.metadefs.files import read
from tests.services.managing import Run, configured, runner

CATALOGUE = Path(__file__).parents[2] / "conf/metadefs"

OLD: dict[str, Any] = {
    "namespace": "A::B",
    "display_name": "A B",
    "description": "old",
    "protected": True,
    "owner": "me",
    "resource_type_associations": [{"name": "OS::X", "prefix": "p_"}, {"name": "OS::Y"}],
    "properties": {"a": {"title": "A", "type": "integer"}, "b": {"title": "B", "type": "string"}},
    "objects": [{"name": "o", "required": ["x", "y"], "description": "d"}, {"name": "q"}],
    "tags": [{"name": "t"}, {"name": "u"}],
}
NEW: dict[str, Any] = {
    "namespace": "A::B",
    "description": "new",
    "visibility": "public",
    "resource_type_associations": [{"name": "OS::X", "prefix": "q_"}, {"name": "OS::Z"}],
    "properties": {"a": {"title": "A", "type": "string"}, "c": {"title": "C", "type": "string"}},
    "objects": [{"name": "o"}, {"name": "r"}],
    "tags": [{"name": "t"}, {"name": "v"}],
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    schema.thd_sync(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def bare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs the program, which finds no configuration file."""
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def run(bare: Run, engine: Engine, tmp_path: Path, database_url: str) -> Run:
    """Runs the program on the database."""
    return configured(bare, tmp_path / "a.conf", database_url)


def put(place: Path, *documents: dict[str, Any] | bytes) -> str:
    """Write files into a directory, in order; return its path."""
    place.mkdir(exist_ok=True)
    for number, document in enumerate(documents):
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        (place / f"{number}.json").write_bytes(content)
    return str(place)


def kept(engine: Engine, name: str = "A::B") -> Definition | None:
    with engine.connect() as connection:
        return thd_read(connection, name)


def rows(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in TABLES
        }


def defined(document: dict[str, Any], **own: Any) -> Definition:
    """Return what a file says, with other values of the namespace itself."""
    definition, _ = read(json.dumps(document).encode())
    said = {name: value for name, value in (definition.own | own).items() if value is not None}
    return Definition(definition.name, said, definition.parts)


def test_the_catalogue(run: Run, engine: Engine) -> None:
    done = run("db_load_metadefs", str(CATALOGUE))
    assert (done.code, done.err) == (0, [f"Loading metadata definitions from {CATALOGUE}"])
    assert len(done.out) == 35
    assert "OS::Compute::CPUPinning: added with 3 resource types, 2 properties." in done.out
    assert done.out[-2:] == [
        "Namespaces: 33 added, 0 changed, 0 unchanged, 0 skipped.",
        "Added in them: 63 resource types, 136 properties, 23 objects.",
    ]
    for path in CATALOGUE.iterdir():
        definition, _ = read(path.read_bytes())
        there = kept(engine, definition.name)
        assert there is not None
        assert there.parts == definition.parts
        assert there.own == definition.own | {"owner": "admin"}
    before = rows(engine)
    assert before["metadef_namespaces"] == 33
    with engine.connect() as connection:
        assert (
            connection.scalar(select(func.count()).where(~metadef_resource_types.c.protected)) == 0
        )

    done = run("db", "load_metadefs", "--path", str(CATALOGUE))
    assert "OS::Compute::CPUPinning: skipped, since it is in the catalogue already." in done.out
    assert done.out[-1] == "Namespaces: 0 added, 0 changed, 0 unchanged, 33 skipped."
    for flags in (["--merge"], ["--merge", "--prefer_new"], ["--merge", "--overwrite"]):
        done = run("db", "load_metadefs", str(CATALOGUE), *flags)
        assert done.out[-1] == "Namespaces: 0 added, 0 changed, 33 unchanged, 0 skipped."
    assert rows(engine) == before

    done = run("db_unload_metadefs")
    assert (done.code, done.err) == (0, [])
    assert done.out == [
        "All metadata definitions are removed.",
        "\tmetadef_properties: 136",
        "\tmetadef_objects: 23",
        "\tmetadef_tags: 0",
        "\tmetadef_namespace_resource_types: 63",
        "\tmetadef_namespaces: 33",
        f"\tmetadef_resource_types: {before['metadef_resource_types']}",
    ]
    assert not any(rows(engine).values())
    assert run("db", "unload_metadefs").code == 0


@pytest.mark.parametrize(
    ("flags", "places"),
    [
        ([], []),
        (["--merge"], ["true"]),
        (["--merge", "--prefer_new"], ["1", "Yes"]),
        (["--merge", "--overwrite"], ["t", "False", "on"]),
    ],
)
def test_modes(
    run: Run, engine: Engine, tmp_path: Path, flags: list[str], places: list[str]
) -> None:
    """The modes, as flags and, as they used to be, by their places."""
    old, new = put(tmp_path / "old", OLD), put(tmp_path / "new", NEW)
    results, definitions = [], []
    for words in (["db", "load_metadefs", new, *flags], ["db_load_metadefs", new, *places]):
        assert run("db_unload_metadefs").code == 0
        assert run("db_load_metadefs", old).out[0] == (
            "A::B: added with 2 resource types, 2 properties, 2 objects, 2 tags."
        )
        results.append(run(*words))
        definitions.append(kept(engine))
    assert results[0] == results[1]
    assert definitions[0] == definitions[1]
    added = "1 resource type added, 1 property added, 1 object added, 1 tag added"
    changed = "1 resource type changed, 1 property changed, 1 object changed"
    removed = "1 resource type removed, 1 property removed, 1 object removed, 1 tag removed"
    associations = [
        {"OS::X": Association("p_"), "OS::Y": Association(), "OS::Z": Association()},
        {"OS::X": Association("q_"), "OS::Y": Association(), "OS::Z": Association()},
    ]
    a, b, c = OLD["properties"]["a"], OLD["properties"]["b"], NEW["properties"]["c"]
    o = Object("d", ("x", "y"))
    tags = {"t": None, "u": None, "v": None}
    told, wanted = {
        0: ("skipped, since it is in the catalogue already", defined(OLD)),
        1: (
            f"changed: {added}",
            Definition("A::B", defined(OLD).own, {
                Kind.RESOURCE_TYPE: associations[0],
                Kind.PROPERTY: {"a": a, "b": b, "c": c},
                Kind.OBJECT: {"o": o, "q": Object(), "r": Object()},
                Kind.TAG: tags,
            }),
        ),
        2: (
            f"changed: description, visibility replaced, {added}, {changed}",
            Definition("A::B", defined(OLD, description="new", visibility="public").own, {
                Kind.RESOURCE_TYPE: associations[1],
                Kind.PROPERTY: {"a": NEW["properties"]["a"], "b": b, "c": c},
                Kind.OBJECT: {"o": Object(), "q": Object(), "r": Object()},
                Kind.TAG: tags,
            }),
        ),
        3: (
            "changed: display_name, description, visibility, protected, owner replaced, "
            f"{added}, {changed}, {removed}",
            defined(NEW, owner="admin"),
        ),
    }[len(places)]  # fmt: skip
    assert results[0].out[0] == f"A::B: {told}."
    assert definitions[0] == wanted
    assert results[0].code == 0
    totals = [line for line in results[0].out[1:] if "in them" in line]
    assert [line.split()[0] for line in totals] == [
        verb for verb in ("Added", "Changed", "Removed") if f"property {verb.lower()}" in told
    ]


def test_rows_that_do_not_change_stay_as_they_are(run: Run, engine: Engine, tmp_path: Path) -> None:
    assert run("db_load_metadefs", put(tmp_path / "old", OLD)).code == 0
    past = datetime(2020, 1, 1)
    with engine.begin() as connection:
        for table in (metadef_properties, metadef_objects, metadef_tags, metadef_namespaces):
            connection.execute(update(table).values(created_at=past, updated_at=past))
    assert run("db_load_metadefs", put(tmp_path / "new", NEW), "--merge", "--overwrite").code == 0
    with engine.connect() as connection:
        for table, fates in (
            (metadef_properties, {"a": "changed", "c": "new"}),
            (metadef_objects, {"o": "changed", "r": "new"}),
            (metadef_tags, {"t": "same", "v": "new"}),
        ):
            query = select(table.c.name, table.c.created_at, table.c.updated_at)
            found = {
                name: "same" if updated.year == 2020 else "changed" if made.year == 2020 else "new"
                for name, made, updated in connection.execute(query)
            }
            assert found == fates


def test_bad_files_leave_the_others_be_loaded(run: Run, engine: Engine, tmp_path: Path) -> None:
    wrong = {**OLD, "namespace": "wrong", "visibility": "no", "tags": [{"name": 1}]}
    place = put(
        tmp_path / "d",
        {"namespace": "first", "nonsense": 1},
        wrong,
        b"{",
        {"namespace": "last"},
        {"namespace": "first", "description": "again"},
    )
    Path(place, "gone.json").symlink_to("nowhere")
    Path(place, "other.txt").write_text("no JSON")
    done = run("db", "load_metadefs", place)
    assert done.code == 1
    assert done.out == [
        "first: added.",
        "last: added.",
        "first: skipped, since it is in the catalogue already.",
        "Namespaces: 2 added, 0 changed, 0 unchanged, 1 skipped.",
    ]
    assert done.err == [
        f"Loading metadata definitions from {place}",
        f"WARNING: {place}/0.json: /nonsense: means nothing here and was left out.",
        f"ERROR: {place}/1.json: /visibility: must be one of public, private, not 'no'.",
        f"ERROR: {place}/1.json: /tags/0/name: must be a string, not the number 1.",
        f"ERROR: {place}/2.json: is not JSON: line 1, column 2: Expecting property name enclosed "
        "in double quotes.",
        f"WARNING: {place}/4.json: /namespace: is the one of {place}/0.json as well.",
        f"ERROR: {place}/gone.json: cannot be read: No such file or directory.",
        "ERROR: 3 files could not be loaded.",
    ]
    assert rows(engine)["metadef_namespaces"] == 2


def test_a_namespace_is_loaded_whole_or_not_at_all(
    run: Run, engine: Engine, tmp_path: Path, database_url: str
) -> None:
    if not database_url.startswith("mysql"):
        # To others names that differ in case are different.
        place = put(tmp_path / "d", {"namespace": "n", "tags": [{"name": "t"}, {"name": "T"}]})
        assert run("db_load_metadefs", place).code == 0
        return
    place = put(
        tmp_path / "d", {**OLD, "tags": [{"name": "t"}, {"name": "T"}]}, {"namespace": "last"}
    )
    done = run("db_load_metadefs", place)
    assert done.code == 1
    assert done.out[0] == "last: added."
    assert done.err[1] == (
        f"ERROR: {place}/0.json: the database takes two of its names for the same, or one for "
        "another that is there."
    )
    assert {name for name, number in rows(engine).items() if number} == {"metadef_namespaces"}


def test_a_name_that_differs_in_case_is_another(
    run: Run, engine: Engine, tmp_path: Path, database_url: str
) -> None:
    """Where it cannot be beside the first, that is told, and the first is not touched."""
    assert run("db_load_metadefs", put(tmp_path / "old", OLD)).code == 0
    place = put(tmp_path / "new", {"namespace": "a::b"})
    for mode in ((), ("--merge", "--overwrite")):
        done = run("db_load_metadefs", place, *mode)
        if database_url.startswith("mysql"):
            assert done.code == 1
            assert done.err[1] == (
                f"ERROR: {place}/0.json: the database takes two of its names for the same, or one "
                "for another that is there."
            )
        else:
            assert done.out[0] == ("a::b: unchanged." if mode else "a::b: added.")
        assert kept(engine) == defined(OLD)


def test_names_do_not_meddle_with_the_terminal(run: Run, tmp_path: Path) -> None:
    """Whatever characters a file or an exported namespace has in its names."""
    odd = "caf\u00e9\n\x1b[31m"
    place = put(tmp_path / "d", {"namespace": odd}, {"namespace": "n", odd: 1}, b'{"\\u001b": 1}')
    done = run("db_load_metadefs", place)
    assert done.code == 1
    assert done.out[:2] == ["caf\u00e9\\n\\x1b[31m: added.", "n: added."]
    assert done.err[1:] == [
        f"WARNING: {place}/1.json: /caf\u00e9\\n\\x1b[31m: means nothing here and was left out.",
        f"ERROR: {place}/2.json: has no member 'namespace'.",
        "ERROR: 1 file could not be loaded.",
    ]
    assert run("db_export_metadefs", place).out[0].startswith("caf\u00e9\\n\\x1b[31m: ")


def test_one_file_of_any_name(run: Run, engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "definitions"
    path.write_text(json.dumps(OLD))
    assert run("db_load_metadefs", str(path)).out[0].startswith("A::B: added with")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{}/none"], 1, "ERROR: There is neither a file nor a directory {}/none."),
        (["x" * 300], 1, f"ERROR: There is neither a file nor a directory {'x' * 300}."),
        (["{}"], 1, "ERROR: The directory {} has no file *.json in it."),
        ([""], 1, "ERROR: The path is empty."),
        (["{}", "--path", "b"], 1, "ERROR: The path is given twice: '{}' and 'b'."),
        (["{}", "--prefer_new"], 2, "ERROR: --prefer_new goes with --merge."),
        (["{}", "--overwrite"], 2, "ERROR: --overwrite goes with --merge."),
        (["{}", "no", "y"], 2, "ERROR: --prefer_new goes with --merge."),
        (
            ["{}", "--merge", "--prefer-new", "--overwrite"],
            2,
            "ERROR: --prefer_new and --overwrite exclude each other.",
        ),
    ],
)
def test_wrong_usage(
    bare: Run, sqlite_url: str, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    run = configured(bare, tmp_path / "a.conf", sqlite_url)
    done = run("db_load_metadefs", *(word.format(empty) for word in words))
    assert (done.code, done.out, done.err) == (code, [], [message.format(empty)])


def test_neither_true_nor_false(
    bare: Run, sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = configured(bare, tmp_path / "a.conf", sqlite_url)
    done = run("db_load_metadefs", "x", "perhaps")
    assert (done.code, done.err[-1].split("error: ")[1]) == (
        2,
        "argument MERGE: 'perhaps' is neither true nor false",
    )


def test_a_directory_that_may_not_be_looked_into(
    bare: Run, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not said that there is nothing. Tests may be run by root, who may look anywhere."""
    run = configured(bare, tmp_path / "a.conf", sqlite_url)
    path = tmp_path / "closed/d"
    real = os.stat

    def closed(wanted: Any, **options: Any) -> os.stat_result:
        if os.fspath(wanted) == str(path):
            raise PermissionError(13, "Permission denied")
        return real(wanted, **options)

    monkeypatch.setattr(os, "stat", closed)
    done = run("db_load_metadefs", str(path))
    assert done.err == [f"ERROR: The path {path} cannot be followed: Permission denied"]
    assert done.code == 1


def test_where_the_configuration_says(bare: Run, sqlite_url: str, tmp_path: Path) -> None:
    place = put(tmp_path / "d", OLD)
    (tmp_path / "a.conf").write_text(
        f"[DEFAULT]\nmetadata_source_path = {place}\n[database]\nconnection = {sqlite_url}\n"
    )

    def run(*words: str) -> Any:
        return bare("--config-file", str(tmp_path / "a.conf"), *words)

    assert run("db_sync").code == 0
    assert run("db_load_metadefs").out[0].startswith("A::B: added with")
    assert run("db_export_metadefs").out == [
        f"A::B: {place}/AB.json",
        "1 namespace exported.",
    ]


def test_a_schema_that_is_not_up_to_date(bare: Run, sqlite_url: str, tmp_path: Path) -> None:
    run = configured(bare, tmp_path / "a.conf", sqlite_url)
    for words in (["load_metadefs", put(tmp_path / "d", OLD)], ["export_metadefs", str(tmp_path)]):
        done = run("db", *words)
        assert done.code == 1
        assert done.err[-1].endswith("glance-manage db sync")
    assert run("db_unload_metadefs").code == 1


def test_export(run: Run, engine: Engine, tmp_path: Path) -> None:
    assert run("db_load_metadefs", put(tmp_path / "d", OLD, {"namespace": "A b"})).code == 0
    out = tmp_path / "out"
    out.mkdir()
    (out / "AB.json").write_text("what was there")
    done = run("db_export_metadefs", str(out))
    assert (done.code, done.err) == (0, [])
    assert done.out == [
        f"A::B: {out}/AB.json",
        f"A b: {out}/Ab-2.json",
        "2 namespaces exported.",
    ]
    assert json.loads((out / "AB.json").read_text()) == OLD
    assert json.loads((out / "Ab-2.json").read_text()) == {"namespace": "A b", "owner": "admin"}
    mask = os.umask(0)
    os.umask(mask)
    assert (out / "AB.json").stat().st_mode & 0o777 == 0o666 & ~mask
    # Names that begin in a certain way; and a directory may have its slash.
    assert run("db", "export_metadefs", "--path", f"{out}/my-").out[0] == f"A::B: {out}/my-AB.json"
    assert run("db", "export_metadefs", f"{out}/").out[0] == f"A::B: {out}/AB.json"
    assert {path.name for path in out.iterdir()} == {
        "AB.json", "Ab-2.json", "my-AB.json", "my-Ab-2.json",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["none/", "none/x", "file/x"])
def test_export_to_nowhere(run: Run, tmp_path: Path, path: str) -> None:
    assert run("db_load_metadefs", put(tmp_path / "d", OLD)).code == 0
    (tmp_path / "file").touch()
    done = run("db_export_metadefs", f"{tmp_path}/{path}")
    assert (done.code, done.out, len(done.err)) == (1, [], 1)
    assert done.err[0].startswith(f"ERROR: The file {tmp_path}/{path}AB.json cannot be written: ")


def test_an_export_that_breaks_off_leaves_what_was_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("db_load_metadefs", put(tmp_path / "d", OLD)).code == 0
    out = tmp_path / "out"
    out.mkdir()
    (out / "AB.json").write_text("what was there")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run("db_export_metadefs", str(out))
    assert done.err == [f"ERROR: The file {out}/AB.json cannot be written: No space left on device"]
    assert [path.name for path in out.iterdir()] == ["AB.json"]
    assert (out / "AB.json").read_text() == "what was there"


def test_what_other_software_kept_is_exported(run: Run, engine: Engine, tmp_path: Path) -> None:
    """No schema, JSON that is null, numbers that JSON does not have: all of it can be seen."""
    with engine.begin() as connection:
        connection.execute(insert(metadef_namespaces).values(namespace="n", owner="x"))
        for table, extra in (
            (metadef_properties, "'p', '{\"default\": NaN, \"maximum\": 1e400}'"),
            (metadef_objects, "'o', 'null'"),
        ):
            connection.execute(
                text(
                    f"INSERT INTO {table.name} (namespace_id, name, json_schema, created_at) "
                    f"SELECT id, {extra.replace(':', chr(92) + ':')}, created_at "
                    "FROM metadef_namespaces"
                )
            )
    done = run("db_export_metadefs", str(tmp_path))
    assert done.code == 0
    document = json.loads((tmp_path / "n.json").read_text())
    assert document["objects"] == [{"name": "o"}]
    assert document["properties"].keys() == {"p"}


def test_two_at_once(engine: Engine, database_url: str) -> None:
    """Each namespace is added once, by the one or by the other."""
    files = thd_find_files(CATALOGUE)
    outcomes: list[Outcome] = []
    start = threading.Barrier(2)

    def thd_work() -> None:
        mine = make_engine(database_url)
        with Transactions.thd_on(mine) as transactions:
            start.wait()
            outcomes.extend(thd_load_files(transactions, files, Mode.SKIP))
        mine.dispose()

    threads = [threading.Thread(target=thd_work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 66
    assert not any(outcome.problems for outcome in outcomes)
    added = [outcome.namespace for outcome in outcomes if outcome.changes is not None]
    assert len(added) == len(set(added)) == 33
    assert rows(engine)["metadef_properties"] == 136


@pytest.mark.service
@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_another_was_faster(
    request: pytest.FixtureRequest, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What comes to be there between looking and adding is seen when this looks again."""
    database_url = request.getfixturevalue(f"{server}_url")
    engine = make_engine(database_url)
    schema.thd_sync(engine)
    files = thd_find_files(Path(put(tmp_path / "d", OLD)))
    others = make_engine(database_url)
    calls = []

    def thd_late(connection: Any, definition: Definition, mode: Mode) -> Any:
        if not calls:
            with others.begin() as other:
                thd_load(other, defined(OLD, description="theirs"), Mode.SKIP)
            calls.append(1)
            connection.execute(insert(metadef_namespaces).values(namespace="A::B", owner="x"))
        return thd_load(connection, definition, mode)

    monkeypatch.setattr(metadef_loading, "thd_load", thd_late)
    with Transactions.thd_on(engine) as transactions:
        (outcome,) = thd_load_files(transactions, files, Mode.SKIP)
    others.dispose()
    assert (outcome.changes, outcome.problems) == (None, [])
    there = kept(engine)
    engine.dispose()
    assert there is not None
    assert there.own["description"] == "theirs"


@pytest.mark.service
def test_unloading_while_others_add(postgresql_url: str) -> None:
    """What comes to be there while this removes the rest goes too."""
    engine, others = make_engine(postgresql_url), make_engine(postgresql_url)
    schema.thd_sync(engine)
    definition, _ = read(json.dumps(OLD).encode())
    late = []

    @event.listens_for(engine, "before_cursor_execute")
    def add(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith("DELETE FROM metadef_namespaces") and len(late) < limit:
            late.append(f"late {len(late)}")
            with others.begin() as other:
                thd_load(other, Definition(late[-1], definition.own, definition.parts), Mode.SKIP)

    with Transactions.thd_on(engine) as transactions:
        limit = 1
        assert thd_empty(transactions)["metadef_namespaces"] == 1
        assert not any(rows(engine).values())
        limit = 100
        with pytest.raises(Unavailable) as caught:
            thd_empty(transactions)
    assert "all the time" in caught.value.message
    assert rows(engine)["metadef_namespaces"] == len(late) - 1
    others.dispose()
    engine.dispose()


def test_a_database_that_breaks_off_says_what_is_loaded(
    run: Run, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = put(tmp_path / "d", {"namespace": "first"}, {"namespace": "second"})

    def thd_lost(connection: Any, definition: Definition, mode: Mode) -> Any:
        if definition.name == "second":
            raise Unavailable("The database broke off.")
        return thd_load(connection, definition, mode)

    monkeypatch.setattr(metadef_loading, "thd_load", thd_lost)
    done = run("db_load_metadefs", place)
    assert done.code == 1
    assert done.out == ["first: added.", "Namespaces: 1 added, 0 changed, 0 unchanged, 0 skipped."]
    assert done.err[-1] == "ERROR: The database broke off."
    assert kept(engine, "first") is not None
    assert kept(engine, "second") is None


def test_sqlite_waits_for_the_disk_as_before_afterwards(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    schema.thd_sync(engine)
    with Transactions.thd_on(engine) as transactions:

        def level() -> Any:
            return transactions.thd_run(
                lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar()
            )

        assert level() == 2
        with pytest.raises(NotFound), transactions.thd_synced_at_end():
            assert level() == 1
            raise NotFound("")
        assert level() == 2
    engine.dispose()
