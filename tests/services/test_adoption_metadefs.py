"""Metadata definitions and the OpenStack Glance project's service: files and rows go both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glance.db.engine import make_engine
from glance.db.metadef_definitions import thd_names, thd_read
from glance.domain.metadefs.definition import Definition, Kind, Object
from tests.services.adoption import ask, check_same
from tests.services.managing import Run, child
from tests.services.original import Original

pytestmark = pytest.mark.service

CATALOGUE = Path(__file__).parents[2] / "conf/metadefs"
OWN = {
    "namespace": "Local::Things",
    "display_name": "Things",
    "visibility": "public",
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "th_"}],
    "properties": {"p": {"title": "P", "type": "integer", "minimum": 1, "default": 2}},
    "objects": [
        {
            "name": "o",
            "required": ["a", "b"],
            "properties": {
                "a": {"title": "A", "type": "string"},
                "b": {"title": "B", "type": "boolean"},
            },
        },
    ],
    "tags": [{"name": "t"}, {"name": "u"}],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def original(url: str, tmp_path: Path) -> Iterator[Original]:
    """The project's service, with an empty catalogue and running."""
    made = Original(tmp_path / "original", url)
    made.binaries()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def manage(tmp_path: Path, original: Original) -> Run:
    """Runs our ``glance-manage`` with the project's configuration file."""
    run = child(tmp_path, original.configuration)
    assert run("db", "sync").code == 0
    return run


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with all that comes along, and a namespace with everything that there is."""
    place = tmp_path / "files"
    place.mkdir()
    for path in CATALOGUE.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    (place / "own.json").write_text(json.dumps(OWN))
    return place


def kept(url: str) -> dict[str, Definition | None]:
    engine = make_engine(url)
    with engine.connect() as connection:
        found = {name: thd_read(connection, name) for name in thd_names(connection)}
    engine.dispose()
    return found


def shown(original: Original) -> dict[str, Any]:
    """Return what the project's service shows of all namespaces, but for times."""
    found = {}
    page = "/v2/metadefs/namespaces?limit=100"
    for one in ask(original, 200, "admin", "GET", page).json["namespaces"]:
        name = one["namespace"]
        whole = ask(original, 200, "admin", "GET", f"/v2/metadefs/namespaces/{name}").json
        for part in (
            whole, *whole.get("objects", ()), *whole.get("tags", ()),
            *whole.get("resource_type_associations", ()),
        ):  # fmt: skip
            part.pop("created_at", None)
            part.pop("updated_at", None)
        for member in ("tags", "resource_type_associations", "objects"):
            whole.get(member, []).sort(key=lambda part: part["name"])
        found[name] = whole
    return found


def without_required(definition: Definition | None) -> Definition:
    """Return what the project's program loads of it."""
    assert definition is not None
    objects = {
        name: Object(one.description, (), one.properties)
        for name, one in definition.parts[Kind.OBJECT].items()
    }
    parts = {**definition.parts, Kind.OBJECT: objects}
    return Definition(definition.name, definition.own, parts)


def test_both_ways(original: Original, manage: Run, files: Path, url: str, tmp_path: Path) -> None:
    original.manage("db_load_metadefs", str(files))
    theirs, they_show = kept(url), shown(original)
    assert len(theirs) == 34
    # Rows that it wrote are known again; its program leaves out which properties are required.
    merged = manage("db_load_metadefs", str(files), "--merge")
    assert merged.out[-1] == "Namespaces: 0 added, 0 changed, 34 unchanged, 0 skipped."
    # What it has can be taken out, loaded, and is what our own program makes of the same files.
    out = tmp_path / "theirs"
    out.mkdir()
    exported = manage("db_export_metadefs", str(out))
    assert (exported.code, exported.out[-1]) == (0, "34 namespaces exported.")
    assert manage("db_unload_metadefs").code == 0
    loaded = manage("db_load_metadefs", str(out))
    assert (loaded.code, loaded.out[-2].split(",")[0]) == (0, "Namespaces: 34 added")
    check_same(kept(url), theirs)
    check_same(shown(original), they_show)

    loaded = manage("db_load_metadefs", str(files), "--merge", "--prefer_new")
    assert (loaded.code, loaded.out[-1]) == (0, "Changed in them: 1 object.")
    ours = kept(url)
    assert manage("db_unload_metadefs").code == 0
    assert manage("db_load_metadefs", str(files)).code == 0
    check_same(kept(url), ours)
    check_same({name: without_required(one) for name, one in ours.items()}, theirs)
    we_show = shown(original)
    (thing,) = we_show["Local::Things"]["objects"]
    assert thing["required"] == ["a", "b"]
    thing["required"] = []
    check_same(we_show, they_show)

    # And back: what ours exports is what the project's program loads.
    out = tmp_path / "ours"
    out.mkdir()
    assert manage("db_export_metadefs", str(out)).code == 0
    original.manage("db_unload_metadefs")
    assert kept(url) == {}
    original.manage("db_load_metadefs", str(out))
    check_same(kept(url), theirs)
    check_same(shown(original), they_show)
