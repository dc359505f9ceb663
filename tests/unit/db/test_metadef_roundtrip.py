"""What is exported and loaded again is the same, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glance.db import schema
from glance.db.engine import make_engine
from glance.db.metadef_definitions import thd_names, thd_read, thd_unload
from glance.db.metadef_exporting import thd_export
from glance.db.metadef_loading import thd_find_files, thd_load_files
from glance.db.oneshot import Transactions
from glance.domain.metadefs.changes import Mode
from glance.domain.metadefs.definition import (
    Association,
    Definition,
    Kind,
    Object,
)
from glance.domain.metadefs.files import read, render
from glance.domain.metadefs.names import LONGEST_NAME, TYPES, fits_path

CATALOGUE = Path(__file__).parents[3] / "conf/metadefs"

CHARACTERS = st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS, max_size=LONGEST_NAME)
NAMES = st.text(CHARACTERS, min_size=1, max_size=LONGEST_NAME) | st.sampled_from(
    ["a", "A", "x" * LONGEST_NAME]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
SCHEMAS = st.fixed_dictionaries(
    {"title": TEXT, "type": st.sampled_from(TYPES)},
    optional={
        "description": TEXT,
        "operators": st.lists(TEXT, max_size=3),
        "enum": st.lists(JSON, max_size=3),
        "default": JSON,
        "minimum": st.integers(-5, 5) | st.floats(-1, 1),
        "maxLength": st.integers(0, 9),
        "readonly": st.booleans(),
        "items": st.fixed_dictionaries({"type": st.sampled_from(TYPES)}),
        "x-other": JSON.filter(lambda value: value is not None),
    },
)
PROPERTIES = st.dictionaries(NAMES, SCHEMAS, max_size=4)
REQUIRED = NAMES.filter(lambda name: "," not in name)
OBJECTS = st.builds(
    Object,
    st.none() | TEXT,
    st.lists(REQUIRED, unique=True, max_size=3).map(tuple),
    PROPERTIES,
)
OWN = st.fixed_dictionaries(
    {"owner": NAMES},
    optional={
        "display_name": TEXT | st.sampled_from(["A b", "a.b", "?"]),
        "description": TEXT,
        "visibility": st.sampled_from(["public", "private"]),
        "protected": st.booleans(),
    },
)
PARTS = st.fixed_dictionaries(
    {
        Kind.RESOURCE_TYPE: st.dictionaries(
            NAMES, st.builds(Association, st.none() | TEXT, st.none() | TEXT), max_size=3
        ),
        Kind.PROPERTY: PROPERTIES,
        Kind.OBJECT: st.dictionaries(NAMES, OBJECTS, max_size=3),
        Kind.TAG: st.dictionaries(NAMES, st.none(), max_size=4),
    }
)
CATALOGUES = st.dictionaries(NAMES.filter(fits_path), st.tuples(OWN, PARTS), max_size=4).map(
    lambda found: [Definition(name, *rest) for name, rest in found.items()]
)


@pytest.fixture(scope="module")
def transactions() -> Iterator[Transactions]:
    """An empty catalogue in memory."""
    engine = make_engine("sqlite://")
    schema.thd_sync(engine)
    with Transactions.thd_on(engine) as made:
        yield made
    engine.dispose()


def loaded(transactions: Transactions, directory: Path) -> dict[str, Definition | None]:
    """Return what the catalogue has when nothing but a directory's files was loaded into it."""
    transactions.thd_run(thd_unload)
    for outcome in thd_load_files(transactions, thd_find_files(directory), Mode.SKIP):
        assert not outcome.problems
        assert outcome.changes is not None
        assert outcome.changes.new
    return transactions.thd_run(
        lambda connection: {name: thd_read(connection, name) for name in thd_names(connection)}
    )


def exported(transactions: Transactions, directory: Path) -> dict[str, bytes]:
    """Export into a new directory; return the files' contents by their namespaces."""
    directory.mkdir()
    # That a file outlives a loss of power is not what is tested.
    with mock.patch("os.fsync"):
        files = list(thd_export(transactions, str(directory)))
    return {name: path.read_bytes() for path, name in files}


def same(one: Any, other: Any) -> bool:
    # Resource types have no order.
    return one == other and all(
        list(one[name].parts[kind]) == list(other[name].parts[kind])
        for name in one
        for kind in (Kind.PROPERTY, Kind.OBJECT, Kind.TAG)
    )


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CATALOGUES.filter(bool))
def test_any_catalogue(
    transactions: Transactions,
    tmp_path_factory: pytest.TempPathFactory,
    catalogue: list[Definition],
) -> None:
    place = tmp_path_factory.mktemp("metadefs")
    for number, definition in enumerate(catalogue):
        (place / f"{number}.json").write_bytes(render(definition))
    first = loaded(transactions, place)
    assert same(first, {one.name: one for one in catalogue})
    files = exported(transactions, place / "first")
    assert len(files) == len(catalogue)
    assert same(loaded(transactions, place / "first"), first)
    assert exported(transactions, place / "second") == files


def test_ours(transactions: Transactions, tmp_path: Path) -> None:
    first = loaded(transactions, CATALOGUE)
    assert len(first) == 33
    files = exported(transactions, tmp_path / "first")
    assert len(list((tmp_path / "first").iterdir())) == 33
    assert same(loaded(transactions, tmp_path / "first"), first)
    assert exported(transactions, tmp_path / "second") == files
    # Whose they are is not in the files that come along, and is all that differs.
    for path in CATALOGUE.iterdir():
        definition, _ = read(path.read_bytes())
        owned = Definition(definition.name, definition.own | {"owner": "admin"}, definition.parts)
        assert first[definition.name] == owned
