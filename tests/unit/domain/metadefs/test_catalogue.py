"""The catalogue that comes with the service: all names, types and limits that users rely on.

``facts.json`` has them, without titles and descriptions: the names of files, and what of the
namespace in each is a contract.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glance.domain.metadefs.exportnames import file_names
from glance.domain.metadefs.files import read, render
from glance.domain.metadefs.names import LONGEST_DESCRIPTION

DIRECTORY = Path(__file__).parents[4] / "conf/metadefs"
FACTS: dict[str, Any] = json.loads(Path(__file__).with_name("facts.json").read_text())
#: What is ours to choose.
WORDS = ("title", "description")


def bare(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in WORDS}


def test_all_files_are_there() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == FACTS.keys()
    assert len({facts["namespace"] for facts in FACTS.values()}) == len(FACTS) == 33


@pytest.mark.parametrize("name", FACTS)
def test_what_is_in_a_file(name: str) -> None:
    document, facts = json.loads((DIRECTORY / name).read_bytes()), FACTS[name]
    for member in ("namespace", "visibility", "protected"):
        assert document.get(member) == facts[member]
    associations = [
        [one["name"], one.get("prefix"), one.get("properties_target")]
        for one in document.get("resource_type_associations", ())
    ]
    assert associations == facts["associations"]
    properties = document.get("properties", {})
    assert {one: bare(schema) for one, schema in properties.items()} == facts["properties"]
    objects = {one["name"]: one["properties"] for one in document.get("objects", ())}
    assert {
        one: {part: bare(schema) for part, schema in parts.items()}
        for one, parts in objects.items()
    } == facts["objects"]
    assert "tags" not in document
    assert "owner" not in document


@pytest.mark.parametrize("name", FACTS)
def test_everything_is_explained(name: str) -> None:
    document = json.loads((DIRECTORY / name).read_bytes())
    schemas = [*document.get("properties", {}).values()]
    for one in document.get("objects", ()):
        assert one["description"].endswith(".")
        schemas += one["properties"].values()
    assert document["display_name"]
    assert document["description"].endswith(".")
    # What clients may write back.
    assert len(document["description"]) <= LONGEST_DESCRIPTION
    for schema in schemas:
        assert schema["title"]
        assert schema["description"].endswith(".")


@pytest.mark.parametrize("name", FACTS)
def test_they_are_as_they_would_be_exported(name: str) -> None:
    content = (DIRECTORY / name).read_bytes()
    definition, ignored = read(content)
    assert ignored == []
    assert render(definition) == content


def test_each_is_exported_to_a_file_of_its_own_name() -> None:
    names = file_names(
        (one.name, one.own["display_name"])
        for one in (read(path.read_bytes())[0] for path in DIRECTORY.iterdir())
    )
    assert not any("-" in name for name in names)
